"""Fingerprints say of an agent what the labels support, and no more."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from mlx_cc.agents.clusters import cluster
from mlx_cc.agents.coaching import generate_coaching
from mlx_cc.agents.fingerprint import AgentFingerprinter, agent_of
from mlx_cc.commands.fingerprint import command
from mlx_cc.conversation import Conversation, Label, Turn
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations

TURNS = (
    Turn(role="customer", text="My bill is wrong.", start_s=0, end_s=10),
    Turn(role="agent", text="I will correct it right now.", start_s=12, end_s=42),
)


def contact(number: int, agent: str, *, turns=TURNS, previous=None, handle_time_s=None, **labels) -> Conversation:
    return Conversation(
        id=f"c{number:04d}",
        turns=turns,
        agents=(agent,),
        team="north",
        previous_contact_id=previous,
        handle_time_s=handle_time_s,
        labels={name: Label(value=value, source="simulated") for name, value in labels.items()},
    )


def scored(agent: str, scores, start: int = 0) -> list[Conversation]:
    return [contact(start + i, agent, quality={"score": score}) for i, score in enumerate(scores)]


def centre(seed: int = 0, agents: int = 40, contacts: int = 30) -> list[Conversation]:
    """A centre of good, middling, low, very low and erratic agents, `agents` of them in turn."""
    rng = np.random.default_rng(seed)
    kinds = [(90, 3), (78, 4), (66, 4), (48, 4), (73, 22)]
    made = []
    for place in range(agents):
        mean, spread = kinds[place % len(kinds)]
        for _ in range(contacts):
            quality = float(np.clip(rng.normal(mean, spread), 0, 100))
            made.append(
                contact(
                    len(made),
                    f"agent_{place:03d}",
                    quality={"score": quality},
                    csat=int(np.clip(round(1 + quality / 25), 1, 5)),
                    empathy=float(np.clip(quality + rng.normal(0, 3), 0, 100)),
                    technical_skill=float(rng.normal(70, 5)),
                    resolution="resolved" if rng.random() < quality / 100 else "unresolved",
                )
            )
    return made


def test_a_mean_has_student_s_interval():
    scores = [70, 75, 80, 85, 90, 60]
    metric = AgentFingerprinter().compute_agent_profiles(scored("a", scores))["a"]["metrics"]["quality"]
    low, high = stats.t.interval(0.95, 5, np.mean(scores), stats.sem(scores))
    assert (metric["value"], metric["n"]) == (pytest.approx(np.mean(scores), abs=1e-4), 6)
    assert (metric["low"], metric["high"]) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_first_contact_resolution_counts_a_contact_that_came_back_as_unresolved_with_wilson_s_interval():
    outcomes = ["resolved"] * 8 + ["partial", "unresolved"]
    contacts = [contact(i, "a", resolution=outcome) for i, outcome in enumerate(outcomes)]
    contacts.append(contact(99, "b", previous="c0003"))
    metric = AgentFingerprinter().compute_agent_profiles(contacts)["a"]["metrics"]["fcr"]
    expected = stats.binomtest(7, 10).proportion_ci(method="wilson")
    assert (metric["value"], metric["n"]) == (0.7, 10)
    assert metric["low"] == pytest.approx(expected.low, abs=1e-4)
    assert metric["high"] == pytest.approx(expected.high, abs=1e-4)
    assert "no other contact" in metric.get("method", "")


def test_below_the_minimum_an_agent_gets_no_value_and_no_judgement():
    few = [contact(9000 + i, "new", quality={"score": 5}, empathy=5) for i in range(4)]
    profile = AgentFingerprinter(min_conversations=5).compute_agent_profiles([*centre(), *few])["new"]
    assert profile["status"] == "not enough data"
    assert profile["metrics"]["quality"] == {"value": None, "n": 4, "low": None, "high": None, "shrunk": None}
    assert (profile["strengths"], profile["weaknesses"], profile["coaching_priorities"]) == ([], [], [])


def test_talk_ratio_and_handle_time_come_from_timings_where_there_are_any():
    timed = [contact(i, "a") for i in range(5)] + [contact(10 + i, "b", handle_time_s=300) for i in range(5)]
    silent = tuple(Turn(role=turn.role, text=turn.text) for turn in TURNS)
    profiles = AgentFingerprinter().compute_agent_profiles(
        timed + [contact(20 + i, "c", turns=silent) for i in range(5)]
    )
    assert profiles["a"]["metrics"]["talk_ratio"]["value"] == 0.75
    assert [profiles[agent]["metrics"]["handle_time_s"]["value"] for agent in "abc"] == [42, 300, None]
    assert profiles["c"]["metrics"]["talk_ratio"]["n"] == 0


def test_the_fewer_the_contacts_the_nearer_the_shrunk_value_is_to_the_centre():
    many, few = scored("many", [95, 97, 99] * 20, 5000), scored("few", [95, 97, 99] * 2, 6000)
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles([*centre(), *many, *few])
    mean = fingerprinter.centre_["quality"].mean
    shrunk = [profiles[agent]["metrics"]["quality"]["shrunk"] for agent in ("few", "many")]
    assert mean < shrunk[0] < shrunk[1] < 97


def test_the_variance_between_agents_is_found():
    rng = np.random.default_rng(1)
    contacts = []
    for agent in range(200):
        level = rng.normal(60, 6)
        contacts += scored(f"a{agent:03d}", rng.normal(level, 8, 12), len(contacts))
    spread = AgentFingerprinter().fit(contacts).centre_["quality"]
    assert spread.mean == pytest.approx(60, abs=1.5)
    assert spread.between**0.5 == pytest.approx(6, abs=1)
    assert spread.within**0.5 == pytest.approx(8, abs=0.4)


def test_agents_who_differ_by_chance_alone_get_no_strengths_no_weaknesses_and_one_group():
    rng = np.random.default_rng(2)
    contacts = []
    for agent in range(60):
        for _ in range(20):
            labels = {name: float(rng.normal(70, 10)) for name in ("empathy", "communication", "technical_skill")}
            contacts.append(
                contact(len(contacts), f"a{agent:02d}", quality={"score": float(rng.normal(70, 8))}, **labels)
            )
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles(contacts)
    assert sum(len(profile["strengths"]) + len(profile["weaknesses"]) for profile in profiles.values()) <= 2
    assert list(fingerprinter.cluster_agents(profiles)["groups"]) == ["Solid"]


def test_an_agent_far_below_the_centre_is_shown_where_and_in_which_contacts():
    contacts = centre()
    profile = AgentFingerprinter().compute_agent_profiles(contacts)["agent_003"]
    weak = {finding["skill"]: finding for finding in profile["weaknesses"]}
    assert "empathy" in weak and "technical_skill" not in weak
    own = sorted((c.label("empathy"), c.id) for c in contacts if c.agents == ("agent_003",))
    assert weak["empathy"]["evidence"] == [name for _, name in own[:3]]
    assert weak["empathy"]["gap_sd"] < 0


def test_priorities_are_ranked_by_the_gap_and_carry_an_action():
    profile = AgentFingerprinter().compute_agent_profiles(centre())["agent_003"]
    gaps = {finding["skill"]: finding["gap_sd"] for finding in profile["weaknesses"]}
    ranked = [priority["skill"] for priority in profile["coaching_priorities"]]
    assert len(ranked) >= 2
    assert ranked == sorted(gaps, key=gaps.__getitem__)
    assert all(
        set(p) == {"skill", "reason", "action", "evidence"} and p["action"] for p in profile["coaching_priorities"]
    )


def test_an_erratic_agent_is_weak_in_consistency():
    profiles = AgentFingerprinter().compute_agent_profiles(centre())
    assert "consistency" in {finding["skill"] for finding in profiles["agent_004"]["weaknesses"]}
    assert profiles["agent_004"]["metrics"]["quality_deviation"]["value"] > 10


def test_short_contacts_are_no_strength_when_customers_call_again():
    rng = np.random.default_rng(3)
    contacts = []
    for place in range(20):
        hasty = place < 4
        for i in range(30):
            outcome = "resolved" if i % 10 < (1 if hasty or place == 4 else 8) else "unresolved"
            seconds = float(rng.normal(100 if hasty or place == 5 else 400, 20))
            contacts.append(contact(len(contacts), f"a{place:02d}", handle_time_s=seconds, resolution=outcome))
    profiles = AgentFingerprinter().compute_agent_profiles(contacts)
    assert [f["skill"] for f in profiles["a00"]["strengths"]] == []
    assert [f["skill"] for f in profiles["a05"]["strengths"]] == ["efficiency"]


def test_new_agents_are_judged_against_the_centre_that_was_fitted():
    fingerprinter = AgentFingerprinter().fit(centre())
    new = [contact(9000 + i, "new", empathy=20 + i % 3, quality={"score": 30}) for i in range(10)]
    profiles = fingerprinter.transform(new)
    assert list(profiles) == ["new"]
    assert "empathy" in {finding["skill"] for finding in profiles["new"]["weaknesses"]}


def test_a_contact_with_several_agents_counts_for_the_one_who_spoke_most_or_for_nobody():
    turns = (
        Turn(role="agent", text="One moment.", agent_id="a"),
        Turn(role="agent", text="All is done now.", agent_id="b"),
    )
    assert agent_of(Conversation(id="c", turns=turns, agents=("a", "b"))) == "b"
    assert agent_of(Conversation(id="c", turns=TURNS, agents=("a", "b"))) is None
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles([Conversation(id="c", turns=TURNS, agents=("a", "b"))])
    assert profiles == {}
    assert list(fingerprinter.summary(profiles)["left_out"].values()) == [1]


def test_profiles_do_not_depend_on_the_order_of_conversations():
    contacts = centre(agents=10)
    shuffled = [contacts[i] for i in np.random.default_rng(0).permutation(len(contacts))]
    assert AgentFingerprinter().compute_agent_profiles(iter(contacts)) == AgentFingerprinter().compute_agent_profiles(
        shuffled
    )


@pytest.mark.parametrize("labels", [{"csat": "high"}, {"resolution": "yes"}, {"quality": {"score": True}}])
def test_a_label_that_is_not_what_it_should_be_names_the_conversation(labels):
    with pytest.raises(UserError, match="conversation c0007: label"):
        AgentFingerprinter().compute_agent_profiles([contact(7, "a", **labels)])


def test_five_kinds_of_agents_make_the_five_groups_named_by_what_they_are():
    fingerprinter = AgentFingerprinter()
    clusters = fingerprinter.cluster_agents(fingerprinter.compute_agent_profiles(centre()))
    named = {f"agent_{place:03d}": clusters["assignments"][f"agent_{place:03d}"] for place in range(40)}
    kinds = ["Top Performers", "Solid", "Developing", "High-Focus", "Inconsistent"]
    assert named == {agent: kinds[place % 5] for place, agent in enumerate(named)}
    assert clusters["silhouette"] > 0.5
    assert sum(group["n"] for group in clusters["groups"].values()) == 40


def test_ten_groups_have_ten_names_that_do_not_depend_on_the_order_of_agents():
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles(centre())
    clusters = fingerprinter.cluster_agents(profiles, n_clusters=10)
    assert len(clusters["groups"]) == clusters["n_clusters"] == 10
    assert any(name.endswith(" 2") for name in clusters["groups"])
    assert cluster(dict(reversed(profiles.items())), 10) == clusters


@pytest.mark.parametrize("agents", [0, 1, 3])
def test_fewer_agents_than_groups_is_no_fault(agents):
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles(centre(agents=agents))
    clusters = fingerprinter.cluster_agents(profiles)
    assert clusters["n_clusters"] <= agents
    assert sorted(clusters["assignments"]) == sorted(profiles)


def test_coaching_is_a_plan_in_order_of_priority_and_always_the_same():
    profile = json.loads(json.dumps(AgentFingerprinter().compute_agent_profiles(centre())["agent_003"]))
    given = {name: profile[name] for name in ("strengths", "weaknesses", "coaching_priorities")}
    coaching = generate_coaching(**given)
    assert coaching == generate_coaching(**given)
    assert coaching["work_on"] == [priority["skill"] for priority in profile["coaching_priorities"]]
    first = profile["coaching_priorities"][0]
    assert first["action"] in coaching["plan"] and first["evidence"][0] in coaching["plan"]


def test_an_agent_like_the_centre_gets_a_plan_that_says_so():
    assert "No skill stands clearly above or below" in generate_coaching([], [], [])["plan"]


def test_the_default_input_is_the_file_with_temporal_features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/train_temporal.jsonl nor data/train_chatml.jsonl"):
        AgentFingerprinter().compute_agent_profiles()
    (tmp_path / "data").mkdir()
    write_conversations("data/train_chatml.jsonl", scored("old", [50] * 5))
    write_conversations("data/train_temporal.jsonl", scored("new", [50] * 5))
    assert list(AgentFingerprinter().compute_agent_profiles()) == ["new"]


def test_the_command_writes_three_files_whole(tmp_path):
    source, folder = tmp_path / "train.jsonl", tmp_path / "agent_profiles"
    write_conversations(source, centre())
    arguments = ["--input", str(source), "--output-dir", str(folder)]
    result = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert sorted(path.name for path in folder.iterdir()) == [
        "agent_clusters.json",
        "agent_profiles.json",
        "agent_summary.json",
    ]
    summary = json.loads((folder / "agent_summary.json").read_text())
    assert json.loads(result.stdout) == summary
    assert (summary["agents"], summary["label_sources"]["csat"]) == (40, {"simulated": 1200})
    profiles = json.loads((folder / "agent_profiles.json").read_text())
    assert generate_coaching(
        strengths=profiles["agent_003"]["strengths"],
        weaknesses=profiles["agent_003"]["weaknesses"],
        coaching_priorities=profiles["agent_003"]["coaching_priorities"],
    )["actions"]
    assert "Top Performers" in CliRunner().invoke(command, arguments, catch_exceptions=False).output


def test_a_file_that_names_no_agent_is_an_error_that_says_so(tmp_path):
    source = tmp_path / "train.jsonl"
    write_conversations(source, [Conversation(id="c", turns=TURNS)])
    result = CliRunner().invoke(command, ["--input", str(source), "--output-dir", str(tmp_path)])
    assert isinstance(result.exception, UserError)


def test_fingerprints_need_no_model_library():
    program = (
        "import sys; from mlx_cc.agents.fingerprint import AgentFingerprinter;"
        "AgentFingerprinter().compute_agent_profiles([]);"
        "print({'mlx', 'torch', 'transformers', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
