"""Training data: what `prepare` writes, where each conversation goes, and what the numbers say."""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mlx_cc.centre import Centre, read_centre
from mlx_cc.commands.prepare import command
from mlx_cc.conversation import Conversation, Label, Turn
from mlx_cc.errors import UserError
from mlx_cc.export import row_maker, write_chatml
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.folders import DataFolder
from mlx_cc.prepare import Options, baseline, percentiles, prepare
from mlx_cc.prompt import PromptSettings, messages
from mlx_cc.splits import split_of, unit_interval
from mlx_cc.tasks import all_tasks, pick

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"
STAR = ROOT.parent / "shared" / "data" / "star.jsonl.gz"
SPLIT_FILES = {split: f"{split}_chatml.jsonl" for split in ("train", "validation", "test")}

COACHING = [{"skill": "listening", "action": "Ask first.", "expected_outcome": "Fewer repeats.", "turn": 1}]


def call(n, **fields):
    """A labelled conversation; labels vary with n."""
    values = {
        "quality": {"score": n % 101},
        "csat": 1 + n % 5,
        "issue": Centre().issue_classes[n % 4],
        "churn": 5 * (n % 20),
        "journey": {"type": Centre().journeys[n % 3], "contact_role": "first_contact"},
        "coaching": COACHING,
    }
    fields.setdefault("labels", {name: Label(value=value, source="simulated") for name, value in values.items()})
    turns = (
        Turn(role="agent", text=f"Hello, line {n}."),
        Turn(role="customer", text="My bill\nis wrong </transcript>"),
    )
    return Conversation(
        **{"id": f"call-{n}", "turns": turns, "agents": (f"agent_{n % 7}",), "customer_id": f"cust_{n % 30}", **fields}
    )


def rows_in(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_row_is_worded_as_the_prompt_module_words_it():
    settings = PromptSettings(customer_turns=1)
    rows = row_maker(Centre(), settings)(call(3))
    assert [row.task for row in rows] == [task.name for task in pick([])]
    for row in rows:
        task = all_tasks()[row.task]
        answer = task.write(call(3).label(row.task), Centre())
        assert row.messages == messages(call(3), task.question(Centre()), answer, settings)


def test_a_chatml_file_gives_its_conversations_back(tmp_path):
    calls = [call(1), call(2, labels={}), call(3, labels={"csat": Label(value=2, source="survey")})]
    assert write_chatml(tmp_path / "x.jsonl", calls, Centre()) == 7
    assert list(read_conversations(tmp_path / "x.jsonl")) == [calls[0], calls[2]]
    rows = rows_in(tmp_path / "x.jsonl")
    assert ["conversation" in row for row in rows] == [True] + [False] * 5 + [True]
    assert {row["conversation_id"] for row in rows} == {"call-1", "call-3"}


def test_chatml_rows_load_in_mlx_lms_own_dataset(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    datasets = pytest.importorskip("mlx_lm.tuner.datasets")
    byte_level = tokenizers.Tokenizer(tokenizers.models.BPE())
    byte_level.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    byte_level.model = tokenizers.models.BPE(vocab={c: i for i, c in enumerate(["<end>", *alphabet])}, merges=[])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level, eos_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    prepare(map(call, range(60)), tmp_path, Centre())
    rows = rows_in(tmp_path / "train_chatml.jsonl")

    class Config:
        mask_prompt = True

    dataset = datasets.create_dataset(rows, tokenizer, Config())
    assert type(dataset).__name__ == "ChatDataset"
    assert len(dataset) == len(rows)
    tokens, offset = dataset.process(dataset[1])
    assert tokenizer.decode(tokens[offset:]) == rows[1]["messages"][2]["content"] + "<end>"

    from mlx_cc.prompt import Encoder

    statistics = prepare(map(call, range(60)), tmp_path, Centre(), Options(encoder=Encoder(tokenizer)))
    assert statistics["lengths"]["unit"] == "tokens"
    assert statistics["lengths"]["train"]["max"] == max(len(dataset.process(dataset[i])[0]) for i in range(len(rows)))


def test_the_rows_of_a_conversation_never_straddle_splits(tmp_path):
    prepare(map(call, range(200)), tmp_path, Centre())
    ids = {split: {row["conversation_id"] for row in rows_in(tmp_path / name)} for split, name in SPLIT_FILES.items()}
    assert all(ids.values())
    assert sum(map(len, ids.values())) == 200
    assert len(set.union(*ids.values())) == 200
    for split, name in SPLIT_FILES.items():
        assert all(split_of(found) == split for found in read_conversations(tmp_path / name))
        assert set(Counter(row["conversation_id"] for row in rows_in(tmp_path / name)).values()) == {6}


@pytest.mark.parametrize("by", ["agent", "customer"])
def test_agents_or_customers_can_be_kept_in_one_split(tmp_path, by):
    calls = [call(n) for n in range(200)] + [call(900, agents=(), customer_id=None)]
    statistics = prepare(calls, tmp_path, Centre(), Options(split_by=by))
    splits = {}
    for split, name in SPLIT_FILES.items():
        for found in read_conversations(tmp_path / name):
            splits.setdefault(found.agents[0] if by == "agent" else found.customer_id, set()).add(split)
    assert {len(found) for found in splits.values()} == {1}
    assert statistics["left_out"] == {f"no {by} to split by": 1}
    assert (statistics["agents"]["in_several_splits"] == 0) == (by == "agent")


def test_the_training_limit_keeps_the_lowest_hashes_and_leaves_the_other_splits_alone(tmp_path):
    calls = [call(n) for n in range(200)] + [call(n, labels={}) for n in range(200, 300)]
    statistics = prepare(calls, tmp_path, Centre(), Options(train_limit=25))
    train = {found.id for found in read_conversations(tmp_path / "train_chatml.jsonl")}
    side = [found.id for found in calls[:200] if split_of(found) == "train"]
    assert train == set(sorted(side, key=unit_interval)[:25])
    assert statistics["left_out"] == {
        "no analysis: kept for inference": 100,
        "train side beyond the limit": len(side) - 25,
    }
    rest = {split: n for split, n in statistics["conversations"].items() if split != "train"}
    assert rest == {split: sum(split_of(found) == split for found in calls[:200]) for split in rest}
    assert len(list(read_conversations(tmp_path / "conversations.jsonl"))) == 300


def test_the_same_input_gives_the_same_files_in_any_number_of_runs(tmp_path):
    write_conversations(tmp_path / "in.jsonl", map(call, range(50)))
    made = []
    for source in ("in.jsonl", "in.jsonl", "conversations.jsonl"):
        done = CliRunner().invoke(command, [str(tmp_path / source), "--output-dir", str(tmp_path)])
        assert done.exit_code == 0, done.output
        made.append({file.name: file.read_bytes() for file in DataFolder(tmp_path).prepared})
    assert made[0] == made[1] == made[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*made[0], "in.jsonl"])


def test_a_run_that_fails_leaves_earlier_files_as_they_were(tmp_path):
    prepare(map(call, range(20)), tmp_path, Centre())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="nothing to train on"):
        prepare([call(n, labels={}) for n in range(20)], tmp_path, Centre())
    with pytest.raises(UserError, match="no conversation could be read"):
        prepare([], tmp_path, Centre())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_labels_outside_the_centres_taxonomy_are_dropped_counted_and_named_when_nothing_is_left(tmp_path):
    odd = {"issue": Label(value="gossip", source="teacher")}
    statistics = prepare([*map(call, range(20)), call(30, labels=odd)], tmp_path, Centre())
    assert statistics["labels_dropped"] == {"issue: 'gossip' is not one of the centre's issue classes": 1}
    with pytest.raises(UserError, match="'gossip' is not one of the centre's issue classes.*--issues auto"):
        prepare([call(30, labels=odd)], tmp_path, Centre())


def test_issue_classes_can_come_from_the_labels(tmp_path):
    names = ["b_class", "a_class", "other", "x, y"]
    calls = [call(n, labels={"issue": Label(value=names[n % 4], source="human_qa")}) for n in range(40)]
    statistics = prepare(calls, tmp_path, Centre(), Options(issues_from_labels=True))
    assert read_centre(tmp_path / "centre.yaml").issue_classes == ("a_class", "b_class", "other")
    assert statistics["labels_dropped"] == {"issue: not a name without commas": 10}
    assert (
        "Answer with one of: a_class, b_class, other."
        in rows_in(tmp_path / "train_chatml.jsonl")[0]["messages"][1]["content"]
    )


def test_temporal_features_are_filled_and_a_conversation_without_a_calendar_is_set_aside(tmp_path):
    from datetime import UTC, datetime

    when = {"started_at": datetime(2025, 3, 10, 19, 5, tzinfo=UTC), "timezone": "America/Chicago"}
    rejects = []
    calls = [*map(call, range(20)), call(50, **when), call(51, **when, country="XX")]
    prepare(calls, tmp_path, Centre(), Options(rejects=rejects.append))
    found = {c.id: c for c in read_conversations(tmp_path / "conversations.jsonl")}
    assert found["call-50"].temporal.hour == 14
    assert "call-51" not in found
    assert "country 'XX'" in rejects[0].reason


def test_statistics_count_rows_classes_sources_and_measure_baselines(tmp_path):
    statistics = prepare(map(call, range(200)), tmp_path, Centre())
    assert json.loads((tmp_path / "statistics.json").read_text()) == json.loads(json.dumps(statistics))
    split = statistics["conversations"]
    assert statistics["rows"]["total"] == 1200 == 6 * sum(split.values())
    assert statistics["rows"]["train"]["csat"] == split["train"]
    assert statistics["label_sources"]["churn"] == {"simulated": 200}
    assert sum(statistics["classes"]["csat"]["3"].values()) == 40
    held_out = [c for c in map(call, range(200)) if split_of(c) != "train"]
    base = statistics["baselines"]["csat"]
    assert base["n"] == len(held_out)
    expected = sum(abs(c.label("csat") - base["answer"]) for c in held_out) / len(held_out)
    assert base["metrics"]["MAE"] == pytest.approx(expected, abs=1e-4)
    low, high = base["interval"]["MAE"]
    assert low <= expected <= high
    assert statistics["baselines"]["quality"]["metrics"]["Spearman"] is None
    longest = max(
        sum(len(message["content"].split()) for message in row["messages"])
        for row in rows_in(tmp_path / "train_chatml.jsonl")
    )
    assert statistics["lengths"]["unit"] == "words"
    assert statistics["lengths"]["train"]["max"] == longest


def test_percentiles_cover_their_share():
    assert percentiles(Counter({10: 50, 20: 45, 90: 5})) == {"p50": 10, "p95": 20, "max": 90}
    assert percentiles(Counter({7: 1})) == {"p50": 7, "p95": 7, "max": 7}


def test_a_baseline_is_fitted_on_train_alone():
    found = baseline(all_tasks()["issue"], ["billing_error", "billing_error", "other"], ["other", "other"])
    assert found["answer"] == "billing_error"
    assert found["metrics"]["accuracy"] == 0


# The command, with the original README's flags


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_transcripts_without_analysis_are_kept_for_inference(tmp_path):
    transcripts, analyses = tmp_path / "t", tmp_path / "a"
    transcripts.mkdir()
    analyses.mkdir()
    for n in range(30):
        (transcripts / f"c{n}.txt").write_text(f"Agent: hello {n}\nCustomer: bye\n")
        if n:
            (analyses / f"c{n}.json").write_text(json.dumps({"csat_score": 1 + n % 5, "quality_score": 140}))
    done = run("--transcripts-dir", transcripts, "--analyses-dir", analyses, "--output-dir", tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert "1 conversations without rows: no analysis: kept for inference" in done.output
    assert "29 x label dropped: quality: 140 is outside 0-100" in done.output
    assert "Lengths are in words" in done.output
    assert len(list(read_conversations(tmp_path / "data" / "conversations.jsonl"))) == 30


@pytest.mark.parametrize(("issues", "advised"), [("centre", True), ("auto", False)])
def test_who_loses_labels_of_other_classes_is_told_how_to_keep_them(tmp_path, issues, advised):
    odd = [call(n, labels={**call(n).labels, "issue": Label(value="gossip", source="teacher")}) for n in range(20)]
    write_conversations(tmp_path / "in.jsonl", odd)
    done = run(tmp_path / "in.jsonl", "--output-dir", tmp_path / "data", "--issues", issues)
    assert ("Pass --issues auto" in done.output) == advised, done.output


def test_rejects_are_reported_with_exit_status_3(tmp_path):
    write_conversations(tmp_path / "in.jsonl", map(call, range(20)))
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write("{}\n")
    done = run("--input", tmp_path / "in.jsonl", "--output-dir", tmp_path / "data", "--json")
    assert done.exit_code == 3
    assert json.loads(done.output)["rejected"] == {"has no conversation_id (or id).": 1}
    assert rows_in(tmp_path / "data" / "rejects.jsonl") == [
        {"file": str(tmp_path / "in.jsonl"), "line": 21, "reason": "has no conversation_id (or id)."}
    ]


def test_nothing_to_prepare_is_an_error(tmp_path):
    assert "nothing to prepare" in str(run("--output-dir", tmp_path).exception)
    assert "no files here" in str(run("--transcripts-dir", tmp_path, "--output-dir", tmp_path / "data").exception)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_centre_settings_are_read_and_kept_beside_the_data(tmp_path):
    write_conversations(tmp_path / "in.jsonl", map(call, range(20)))
    (tmp_path / "centre.yaml").write_text("timezone: Europe/Paris\ncountry: FR\n")
    done = run(
        tmp_path / "in.jsonl",
        "--output-dir",
        tmp_path / "data",
        "--centre",
        tmp_path / "centre.yaml",
        "--country",
        "GB",
    )
    assert done.exit_code == 0, done.output
    kept = yaml.safe_load((tmp_path / "data" / "centre.yaml").read_text())
    assert (kept["timezone"], kept["country"]) == ("Europe/Paris", "GB")
    assert {c.timezone for c in read_conversations(tmp_path / "data" / "conversations.jsonl")} == {"Europe/Paris"}


@pytest.mark.skipif(not (SAMPLE / "transcripts").is_dir(), reason="the sample set is not in this checkout")
def test_the_sample_set_prepares_without_rejects(tmp_path):
    done = run(
        "--transcripts-dir",
        SAMPLE / "transcripts",
        "--analyses-dir",
        SAMPLE / "analyses",
        "--output-dir",
        tmp_path,
        "--json",
    )
    assert done.exit_code == 0, (tmp_path / "rejects.jsonl").read_text()
    statistics = json.loads(done.output)
    assert statistics["labels_dropped"] == {}
    assert statistics["left_out"] == {}
    assert statistics["rows"]["total"] == 6 * statistics["conversations_read"] > 0


@pytest.mark.skipif(not STAR.exists(), reason="the STAR dialogues are not beside this repository")
def test_the_star_dialogues_prepare_with_their_own_issue_classes(tmp_path):
    done = run(
        STAR,
        "--map",
        ROOT / "configs/maps/star.yaml",
        "--issues",
        "auto",
        "--split-by",
        "agent",
        "--train-limit",
        100,
        "--output-dir",
        tmp_path,
        "--json",
    )
    assert done.exit_code == 0
    statistics = json.loads(done.output)
    assert statistics["conversations"]["train"] == 100
    assert statistics["agents"]["in_several_splits"] == 0
    assert len(statistics["settings"]["issue_classes"]) == 25
    assert statistics["left_out"]["no analysis: kept for inference"] == 1345
