"""The analyst: answers with the keys people use, talk, and the two commands in front of it."""

import json
import pickle
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import LLAMA, ROOT, SAMPLE, save_tiny

from mlx_cc.centre import Centre
from mlx_cc.commands import analyze, chat
from mlx_cc.conversation import Conversation, Reasoning
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.terminal import safe_output

TALK = "Agent: Hello, this is Ana.\nCustomer: My bill is wrong.\nAgent: I will refund you.\nCustomer: Thank you."
CALL = SAMPLE / "transcripts" / "sample-022.txt"


@pytest.fixture(scope="module")
def analyst(trained: Path) -> Any:
    import mlx_cc

    return mlx_cc.load(trained)


def run(command: Any, *arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], **options)


def fault(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


# From Python


def test_an_analysis_has_the_keys_that_people_act_on(analyst: Any):
    found = analyst.analyze(TALK)
    centre: Centre = analyst.centre
    assert 0 <= found["quality_score"] <= 100
    assert found["effectiveness"] == centre.band(found["quality_score"])
    assert 1 <= found["csat_score"] <= 5
    assert found["issue"] == found["root_cause"][0]
    assert set(found["root_cause"]) <= set(centre.issue_classes)
    assert 0 <= found["churn_risk"] <= 100
    assert found["journey_type"] in centre.journeys
    assert found["contact_role"] in centre.contact_roles
    assert set(found["confidence"]) == {"quality", "csat", "issue", "churn", "journey"}
    assert all(0 < p <= 1 for p in found["confidence"].values())
    assert all(low <= high for low, high in found["interval"].values())
    assert set(found["likely"]) == {"issue", "journey"}
    assert found["likely"]["issue"][:3] == found["root_cause"][: len(found["likely"]["issue"])]
    assert isinstance(found["critical_issues"], list)
    assert found.get("reasoning") is None
    assert (found["needs_review"], found["review"]) == (False, [])
    json.dumps(found)


def test_many_are_analysed_as_one_is(analyst: Any, sample_conversations: list[Conversation]):
    asked = [TALK, *sample_conversations[:3]]
    stream = analyst.analyze_all(asked, coaching=False, batch=2)
    first = next(stream)  # before the rest is asked for
    for found, one in zip([first, *stream], asked, strict=True):
        alone = analyst.analyze(one, coaching=False)
        assert found.keys() == alone.keys()
        assert found["conversation_id"] == alone["conversation_id"]
        assert found["confidence"] == pytest.approx(alone["confidence"], abs=2e-4)
        assert found["quality_score"] == pytest.approx(alone["quality_score"], abs=0.11)


def test_several_texts_are_decoded_at_once_as_each_is_alone(
    analyst: Any, sample_conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
):
    from mlx_cc import analyst as module
    from mlx_cc.model.decode import decode, schema_grammar
    from mlx_cc.tasks import all_tasks

    schema = all_tasks()["coaching"].schema
    assert schema is not None
    several = sorted(sample_conversations, key=lambda c: sum(len(t.text) for t in c.turns))[:3]
    compared = []

    def both(model: Any, tokenizer: Any, prompts: Any, trunks: Any, constraints: Any, most: int) -> list[str]:
        texts = decode_all(model, tokenizer, prompts, trunks, constraints, most)
        for place, text in enumerate(texts):
            fresh = analyst.grammars.constraint(schema_grammar(schema(len(several[place].turns), 0)))
            compared.append((text, "".join(decode(model, tokenizer, prompts[place], trunks.one(place), fresh, most))))
        return texts

    decode_all = module.decode_all
    monkeypatch.setattr(module, "decode_all", both)
    monkeypatch.setattr(module, "COACHING_TOKENS", 60)
    monkeypatch.setattr(module, "groups", lambda trees, *_: [list(trees)])  # padding or not
    analyst.answer_all(several, ["csat", "coaching"])
    assert len(compared) == 3
    for together, alone in compared:
        assert len(alone) > 60
        assert together == alone


def test_coaching_is_sound_and_quotes_a_turn_that_exists(analyst: Any, sample_conversations: list[Conversation]):
    conversation = sample_conversations[0]
    advice = analyst.analyze(conversation)["coaching"]
    assert 1 <= len(advice) <= 3
    for item in advice:
        assert set(item) == {"skill", "action", "expected_outcome", "turn", "quote"}
        assert item["quote"] == conversation.turns[item["turn"] - 1].text


def test_the_reasoning_has_its_three_blocks_and_is_written_when_somebody_asks_for_it_or_looks_at_it(
    analyst: Any, monkeypatch: pytest.MonkeyPatch
):
    from mlx_cc import reasoning

    monkeypatch.setattr(reasoning, "grammar", partial(reasoning.grammar, point_characters=8))
    found = analyst.analyze(TALK, coaching=False)
    assert found["coaching"] == []
    assert json.loads(json.dumps(found))["reasoning"] is None
    assert pickle.loads(pickle.dumps(found)) == dict(found)
    assert found["reasoning"]["thinking"].startswith("Step 1 - Customer Sentiment Analysis:")
    assert f"- Overall Quality Score: {found['quality_score']:.0f}/100 because" in found["reasoning"]["analysis"]
    assert found["reasoning"]["insights"].startswith("Immediate Coaching Recommendations:\n1. ")
    text = reasoning.text_of(Reasoning(model="m", **{k: v for k, v in found["reasoning"].items() if k != "citations"}))
    written: list[Any] = []
    monkeypatch.setattr(type(analyst), "chains", lambda *asked: [written.append(asked) or text])
    assert json.loads(json.dumps(found))["reasoning"] == found["reasoning"] and not written
    asked_for = analyst.analyze(TALK, include_reasoning=True, coaching=False)
    assert len(written) == 1 and asked_for.get("reasoning") == found["reasoning"]


def test_text_without_speakers_is_one_unknown_turn(analyst: Any):
    conversation = analyst.conversation("Your transcript here...")
    assert [(turn.role, turn.text) for turn in conversation.turns] == [("unknown", "Your transcript here...")]
    assert conversation.temporal is not None
    assert 0 <= analyst.analyze("Your transcript here...", coaching=False)["quality_score"] <= 100
    with pytest.raises(UserError, match="no turn with text"):
        analyst.conversation(" \n")


def test_front_matter_of_a_text_is_read(analyst: Any):
    text = f"---\nid: call-7\nstarted_at: 2025-03-10T14:05:12-05:00\ntimezone: America/Chicago\n---\n{TALK}"
    conversation = analyst.conversation(text)
    assert (conversation.id, len(conversation.turns), conversation.temporal.hour) == ("call-7", 4, 14)


def test_the_same_conversation_gets_the_same_answers(analyst: Any):
    from mlx_cc.analyst import difference

    conversation = analyst.conversation(TALK)
    whole = analyst.answer(conversation, decoded=False)
    assert difference(whole, analyst.answer(conversation, decoded=False)) == 0
    alone = {name: analyst.answer(conversation, [name])[name] for name in whole}
    assert difference(whole, alone) < 1e-5
    for answer in whole.values():
        assert sum(answer.distribution.values()) == pytest.approx(1)


def test_conversations_of_any_lengths_get_the_same_answers_together_as_alone(
    analyst: Any, sample_conversations: list[Conversation]
):
    from mlx_cc.analyst import difference

    ragged = [analyst.conversation(text) for text in ("Agent: Hi.\nCustomer: Bye.", TALK, TALK * 4)]
    asked = [ragged[2], *sample_conversations[:4], *ragged, *sample_conversations[4:9]]
    together = list(analyst.answers(asked, decoded=False, batch=3))
    assert [conversation.id for conversation, _ in together] == [conversation.id for conversation in asked]
    for conversation, found in together:
        assert difference(found, analyst.answer(conversation, decoded=False)) < 1e-4


def test_an_answer_s_probability_is_that_of_its_tokens_in_the_plain_model(analyst: Any, trained: Path):
    from mlx_lm import load

    base = json.loads((trained / "adapter_config.json").read_text())["model"]
    model, _ = load(base, adapter_path=str(trained))
    conversations = [analyst.conversation(TALK), analyst.conversation(TALK * 3)]
    for conversation, found in analyst.answers(conversations, ["csat", "quality"], decoded=False):
        expected = plain_probabilities(model, analyst, conversation, ["csat", "quality"])
        for name, answer in found.items():
            assert answer.distribution == pytest.approx(expected[name], abs=1e-4)


def plain_probabilities(model: Any, analyst: Any, conversation: Conversation, names: list[str]) -> dict[str, Any]:
    """Task -> allowed answer -> probability, each answer scored by a forward pass over its whole row."""
    import mlx.core as mx
    import numpy as np

    from mlx_cc.prompt import build_task_tree
    from mlx_cc.tasks import pick

    tasks = pick(names)
    tree = build_task_tree(conversation, tasks, analyst.centre, analyst.encoder, analyst.prompt, analyst.max_tokens)
    found = {}
    for task, branch in zip(tasks, tree.branches, strict=True):
        assert task.answers is not None
        texts, scores = task.answers(analyst.centre), []
        for text in texts:
            answer = analyst.encoder.answer(text)
            row = [*tree.trunk, *branch.prompt, *answer]
            logits = np.array(model(mx.array([row[:-1]]))[0, -len(answer) :], dtype=np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            scores.append(log[np.arange(len(answer)), list(answer)].sum())
        p = np.exp(np.array(scores) - max(scores))
        found[task.name] = dict(zip(texts, p / p.sum(), strict=True))
    return found


def test_a_model_that_cannot_share_a_trunk_answers_row_by_row_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    from mlx_lm.utils import load_model

    import mlx_cc

    layers = ["sliding_attention", "full_attention"]
    folder = save_tiny(tmp_path / "sliding", {**LLAMA, "layer_types": layers, "sliding_window": 16})
    analyst = mlx_cc.load(folder)
    assert [record.getMessage() for record in caplog.records] == [
        "model type 'llama' uses RotatingKVCache, so it can't share a trunk. "
        "Each answer is computed as a row of its own, which is slower."
    ]
    names = ["quality", "csat", "issue"]
    conversations = [analyst.conversation(TALK), analyst.conversation("Agent: Hi.\nCustomer: Bye.")]
    for conversation, found in analyst.answers(conversations, names):
        expected = plain_probabilities(load_model(folder)[0], analyst, conversation, names)
        for name, answer in found.items():
            assert answer.distribution == pytest.approx(expected[name], abs=1e-4)
    assert 1 <= len(analyst.answer(conversations[0], ["coaching"])["coaching"].value) <= 3
    assert len(caplog.records) == 1


def test_what_the_first_lines_of_the_readme_do(trained: Path):
    sys.path.insert(0, str(ROOT))
    try:
        from scripts.train_mac import load_model
    finally:
        sys.path.remove(str(ROOT))
    model, tokenizer = load_model(trained)
    reply = model.generate("Hello", max_tokens=5)
    assert isinstance(reply, str)
    assert reply == model.generate("Hello", max_tokens=5)
    assert len(tokenizer.encode(reply)) <= 6


def test_a_run_is_found_under_the_name_of_its_model(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import mlx_cc

    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "adapters" / "mine")
    assert mlx_cc.load("models/mine").max_tokens == 1024


def test_a_list_that_was_cut_off_keeps_its_whole_objects():
    from mlx_cc.analyst import _closed

    assert _closed('[{"a": "x } y", "turn": 1}, {"a": "z }') == '[{"a": "x } y", "turn": 1}]'
    assert _closed('[{"a": "x ] y]') == "[]"
    assert _closed('[{"a": 1}]') == '[{"a": 1}]'


# mlx_cc analyze


def test_analyze_prints_a_table_with_what_stands_out(trained: Path):
    done = run(analyze.command, CALL, "--model", trained)
    assert done.exit_code == 0, done.output
    for word in (
        "quality",
        "csat",
        "issue",
        "churn",
        "journey",
        "confidence",
        "80% of the probability",
        "Coaching: ",
        "  [T",
    ):
        assert word in done.stdout


def test_analyze_answers_every_conversation_of_a_file_as_json_lines(trained: Path, prepared: Path):
    done = run(analyze.command, prepared / "validation_chatml.jsonl", "--model", trained, "--no-coaching", "--json")
    assert done.exit_code == 0, done.output
    ids = [json.loads(line)["conversation_id"] for line in done.stdout.splitlines()]
    rows = (prepared / "validation_chatml.jsonl").read_text().splitlines()
    assert ids == list(dict.fromkeys(json.loads(row)["conversation_id"] for row in rows))


def test_analyze_reads_json_transcripts_and_standard_input(trained: Path):
    options = ["--model", trained, "--no-coaching", "--json"]
    from_file = run(analyze.command, SAMPLE / "transcripts" / "sample-004.json", *options)
    text = (SAMPLE / "transcripts" / "sample-004.json").read_text()
    piped = run(analyze.command, "-", *options, input=text)
    assert json.loads(from_file.stdout) == json.loads(piped.stdout)
    done = run(analyze.command, "-", *options, input=TALK)
    assert json.loads(done.stdout)["conversation_id"] == "stdin"


def test_analyze_tells_what_it_cannot_read(trained: Path, tmp_path: Path, sample_conversations: list[Conversation]):
    assert "no such file" in fault(run(analyze.command, tmp_path / "none.txt"))
    (tmp_path / "notes.txt").write_text("hello there\nno speakers here")
    assert "--default-role" in fault(run(analyze.command, tmp_path / "notes.txt"))
    assert "stdin: line 1: no speaker" in fault(run(analyze.command, "-", input="hello"))
    (tmp_path / "empty.jsonl").write_text("")
    assert "empty" in fault(run(analyze.command, tmp_path / "empty.jsonl"))

    records = tmp_path / "records.jsonl"
    write_conversations(records, sample_conversations[:2])
    records.write_text(records.read_text() + '{"id": "broken"}\n')
    done = run(analyze.command, records, "--model", trained, "--no-coaching", "--json")
    assert done.exit_code == 3
    assert len(done.stdout.splitlines()) == 2
    assert "line 3: has neither turns nor transcript" in done.stderr


def test_analyze_chooses_the_only_model_there_is(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "Run `mlx_cc train`" in fault(run(analyze.command, CALL))
    shutil.copytree(trained, tmp_path / "adapters" / "mine")
    done = run(analyze.command, CALL, "--no-coaching", "--json")
    assert json.loads(done.stdout)["model"] == "adapters/mine"
    shutil.copytree(trained, tmp_path / "adapters" / "other")
    message = fault(run(analyze.command, CALL))
    assert "adapters/mine" in message
    assert "adapters/other" in message


def test_nothing_from_outside_controls_the_terminal(analyst: Any, capsys: pytest.CaptureFixture[str]):
    hostile = "a\x1b[2J\x07 [bold]b[/bold]\r"
    found = analyst.analyze(TALK, coaching=False)
    item = {"skill": hostile, "action": hostile, "expected_outcome": hostile, "turn": 1, "quote": hostile}
    chain = {"thinking": hostile, "analysis": hostile, "insights": hostile, "citations": {"T1": hostile}}
    with safe_output():  # as the command line does around every command
        analyze.tell({**found, "conversation_id": hostile, "coaching": [item], "reasoning": chain}, as_json=False)
    printed = capsys.readouterr().out
    assert printed.count("[bold]b[/bold]") == 9
    assert not set("\x1b\x07\r") & set(printed)


# mlx_cc chat


def test_piped_questions_get_one_line_each(trained: Path):
    lines = ["What?", "", "/nonsense", "/analyze", f"/open {CALL}", "Why?", "/analyze", "/reset", "/quit", "unheard"]
    done = run(chat.command, "--model", trained, "--max-tokens", 8, input="\n".join(lines))
    assert done.exit_code == 0, done.output
    first, about, analysis = done.stdout.splitlines()
    assert first
    assert about
    assert json.loads(analysis)["conversation_id"] == "sample-022"
    assert "no command /nonsense" in done.stderr
    assert "no conversation is open" in done.stderr
    assert "About sample-022: 18 turns" in done.stderr


def test_a_chat_opens_with_its_file_and_ends_with_its_input(trained: Path):
    done = run(chat.command, CALL, "--model", trained, "--max-tokens", 4, input="/help\nWhy?")
    assert done.exit_code == 0, done.output
    assert "/open FILE" in done.stdout
    several = run(chat.command, SAMPLE / "transcripts", "--model", trained)
    assert "more than one conversation" in fault(several)


def test_a_chat_forgets_its_oldest_exchanges_first(analyst: Any):
    from mlx_cc.serve.chat import Chat

    talk = Chat(analyst)
    seen: list[int] = []
    for n in range(12):
        "".join(talk.ask(f"question {n} " + "with more words " * 40, max_tokens=16))
        seen.append(talk._length("next"))
    assert talk.exchanges[-1][0].startswith("question 11")
    assert not talk.exchanges[0][0].startswith("question 0")
    assert max(seen) <= analyst.max_tokens
    with pytest.raises(UserError, match="Shorten it"):
        "".join(talk.ask("word " * 2000))


def test_a_long_conversation_opens_without_its_middle(analyst: Any, sample_conversations: list[Conversation]):
    from mlx_cc.serve.chat import Chat

    longest = max(sample_conversations, key=lambda c: sum(len(t.text) for t in c.turns))
    twice = Conversation(id="long", turns=longest.turns * 3)
    talk = Chat(analyst)
    omitted = talk.open(twice)
    assert 0 < omitted < len(twice.turns)
    assert longest.turns[-1].text in talk._opening[0]["content"]
    assert "".join(talk.ask("Why?", max_tokens=4)) is not None


def test_a_stopped_reply_is_not_remembered(analyst: Any):
    from mlx_cc.serve.chat import Chat

    talk = Chat(analyst)
    pieces = talk.ask("Tell me more.", max_tokens=50)
    next(pieces)
    pieces.close()
    assert talk.exchanges == []
