"""Fingerprints say of an agent what the labels support, and no more."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import run_python
from scipy import stats

from mlx_cc.agents.clusters import cluster
from mlx_cc.agents.coaching import generate_coaching
from mlx_cc.agents.contact_table import agent_of
from mlx_cc.agents.fingerprint import AgentFingerprinter
from mlx_cc.agents.measures import MEASURES
from mlx_cc.centre import SKILLS, Skill
from mlx_cc.commands.fingerprint import command
from mlx_cc.conversation import Conversation, Label, Turn, replace
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
    """A centre of good, middling, low, unfriendly and erratic agents, `agents` of them in turn."""
    rng = np.random.default_rng(seed)
    kinds = [(90, 3), (78, 4), (45, 4), (68, 4), (73, 22)]
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
                    empathy=float(np.clip(quality - 15 * (place % 5 == 3) + rng.normal(0, 3), 0, 100)),
                    technical_skill=float(rng.normal(85 if place % 5 == 3 else 70, 5)),
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
    metric = profile["metrics"]["quality"]
    assert metric.pop("n") == 4
    assert set(metric.values()) == {None}
    assert profile["trend"] is None
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
    profile = AgentFingerprinter().compute_agent_profiles(contacts)["agent_002"]
    weak = {finding["skill"]: finding for finding in profile["weaknesses"]}
    assert "empathy" in weak and "consistency" not in weak
    own = sorted((c.label("empathy"), c.id) for c in contacts if c.agents == ("agent_002",))
    assert weak["empathy"]["evidence"] == [name for _, name in own[:3]]
    assert weak["empathy"]["gap_sd"] < 0


def test_priorities_are_ranked_by_what_they_are_worth_and_carry_an_action():
    profile = AgentFingerprinter().compute_agent_profiles(centre())["agent_002"]
    ranked = profile["coaching_priorities"]
    assert len(ranked) >= 2
    worth = [priority["expected_effect"]["change"] for priority in ranked]
    assert worth == sorted(worth, reverse=True)
    assert all(set(p) == {"skill", "reason", "action", "expected_effect", "evidence"} and p["action"] for p in ranked)


def test_priorities_of_which_nothing_tells_the_worth_are_ranked_by_the_gap():
    bare = [replace(c, labels={n: v for n, v in c.labels.items() if n in ("empathy", "resolution")}) for c in centre()]
    profile = AgentFingerprinter().compute_agent_profiles(bare)["agent_002"]
    gaps = {finding["skill"]: finding["gap_sd"] for finding in profile["weaknesses"]}
    assert len(gaps) == 2
    assert [p["expected_effect"] for p in profile["coaching_priorities"]] == [None, None]
    assert [p["skill"] for p in profile["coaching_priorities"]] == sorted(gaps, key=gaps.__getitem__)


def test_what_a_skill_is_worth_is_the_slope_within_agents_and_not_between_them():
    rng = np.random.default_rng(4)
    contacts = []
    for place in range(30):
        level = rng.normal(70, 8)
        for _ in range(20):
            empathy = level + rng.normal(0, 5)
            csat = 3 + 0.02 * (empathy - level) - 0.03 * (level - 70) + rng.normal(0, 0.1)
            contacts.append(contact(len(contacts), f"a{place:02d}", empathy=empathy, csat=float(csat)))
    slope = AgentFingerprinter().fit(contacts).slopes_["empathy"]
    assert slope.value == pytest.approx(0.02, abs=4 * slope.error)
    assert slope.error < 0.002


def hard_and_easy(seed: int = 5) -> list[Conversation]:
    """Equal agents, half of whom take four in five contacts from a queue that costs 15 points of quality."""
    rng = np.random.default_rng(seed)
    contacts = []
    for place in range(40):
        for _ in range(30):
            hard = rng.random() < (0.8 if place % 2 else 0.2)
            quality = float(80 - 15 * hard + rng.normal(0, 5))
            one = contact(len(contacts), f"a{place:02d}", quality={"score": quality})
            contacts.append(replace(one, queue="fraud" if hard else "sales", team=f"team {place % 4}"))
    return contacts


def test_a_hard_queue_does_not_make_a_bad_agent():
    profiles = AgentFingerprinter().compute_agent_profiles(hard_and_easy())
    metrics = [profile["metrics"]["quality"] for profile in profiles.values()]
    easy, hard = (np.mean([m["value"] for m in metrics[side::2]]) for side in (0, 1))
    assert easy - hard > 7
    easy, hard = (np.mean([m["adjusted"] for m in metrics[side::2]]) for side in (0, 1))
    assert abs(easy - hard) < 1
    assert profiles["a01"]["queue"] == "fraud"


def test_good_agents_with_hard_contacts_do_not_make_the_queue_look_easy():
    contacts = [
        replace(
            c,
            labels={
                "quality": Label(
                    value={"score": c.label("quality")["score"] + 10 * (int(c.agents[0][1:]) % 2)}, source="simulated"
                )
            },
        )
        for c in hard_and_easy()
    ]
    profiles = AgentFingerprinter().compute_agent_profiles(contacts)
    worse, better = (
        np.mean([p["metrics"]["quality"]["adjusted"] for p in list(profiles.values())[s::2]]) for s in (0, 1)
    )
    assert better - worse == pytest.approx(10, abs=1)


def test_new_agents_are_adjusted_by_what_the_fitted_centre_taught():
    fingerprinter = AgentFingerprinter().fit(hard_and_easy())
    new = [replace(contact(9000 + i, "new", quality={"score": 65 + i % 3}), queue="fraud") for i in range(10)]
    metric = fingerprinter.transform(new)["new"]["metrics"]["quality"]
    assert metric["value"] == pytest.approx(66, abs=0.2)
    assert metric["adjusted"] == pytest.approx(66 + 7.5, abs=1)
    elsewhere = [replace(c, queue="a queue never seen") for c in new]
    assert fingerprinter.transform(elsewhere)["new"]["metrics"]["quality"]["adjusted"] == pytest.approx(66, abs=0.2)


def test_agents_are_shrunk_toward_their_team():
    rng = np.random.default_rng(6)
    contacts = []
    for place in range(60):
        level = (60 if place % 2 else 80) + rng.normal(0, 3)
        for _ in range(6):
            one = contact(len(contacts), f"a{place:02d}", quality={"score": float(rng.normal(level, 10))})
            contacts.append(replace(one, team="south" if place % 2 else "north"))
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles(contacts)
    spread = fingerprinter.centre_["quality"]
    assert spread.between**0.5 == pytest.approx(3, abs=1.5)
    assert spread.teams["north"][0] == pytest.approx(80, abs=2) and spread.teams["south"][0] == pytest.approx(60, abs=2)
    errors = {key: [] for key in ("adjusted", "shrunk")}
    for agent, profile in profiles.items():
        for key in errors:
            errors[key].append(abs(profile["metrics"]["quality"][key] - (60 if int(agent[1:]) % 2 else 80)))
    assert np.mean(errors["shrunk"]) < 0.7 * np.mean(errors["adjusted"])


def test_the_shrunk_interval_holds_what_is_true_of_nineteen_agents_in_twenty():
    rng = np.random.default_rng(7)
    levels = {f"a{place:03d}": rng.normal(70, 4) for place in range(300)}
    contacts = []
    for agent, level in levels.items():
        contacts += scored(agent, rng.normal(level, 9, 8), len(contacts))
    profiles = AgentFingerprinter().compute_agent_profiles(contacts)
    held = [
        profiles[agent]["metrics"]["quality"]["shrunk_low"]
        <= level
        <= profiles[agent]["metrics"]["quality"]["shrunk_high"]
        for agent, level in levels.items()
    ]
    assert 0.91 < np.mean(held) < 0.985


def timed(*turns, channel="voice"):
    spoken = tuple(Turn(role=role, text="word", start_s=start, end_s=end) for role, start, end in turns)
    return Conversation(id="c", turns=spoken, channel=channel)


def test_dead_air_is_the_share_of_the_talk_in_silences_of_five_seconds_and_more():
    talk = timed(("agent", 0, 10), ("customer", 12, 20), ("agent", 30, 40))
    assert MEASURES["dead_air"].value_of(talk) == 10 / 40
    assert MEASURES["dead_air"].value_of(replace(talk, channel="chat")) is None
    assert MEASURES["dead_air"].value_of(timed(("agent", 0, 30), ("customer", 5, 6), ("agent", 33, 40))) == 0


def test_cross_talk_is_the_share_of_the_talk_in_which_both_speak():
    assert MEASURES["cross_talk"].value_of(timed(("agent", 0, 10), ("customer", 8, 20), ("agent", 19, 40))) == 3 / 40
    assert MEASURES["cross_talk"].value_of(timed(("agent", 0, 10), ("agent", 5, 20))) is None


def at(day: float, agent: str = "a", number: int = 0, **fields) -> Conversation:
    labels = {name: fields.pop(name) for name in ("resolution", "issue", "quality") if name in fields}
    one = contact(number, agent, **labels)
    return replace(one, started_at=datetime(2026, 1, 5, 12, tzinfo=UTC) + timedelta(days=day), **fields)


def test_without_resolution_labels_a_customer_who_comes_back_was_not_resolved():
    contacts = [at(place, number=place, customer_id=f"k{place}", issue="bill") for place in range(10)]
    contacts += [
        at(3, "b", 20, customer_id="k1", issue="bill"),
        at(3, "b", 21, customer_id="k2", issue="delivery"),
        at(13, "b", 22, customer_id="k3", issue="bill"),
        at(30, "b", 23, customer_id="k4", issue="bill"),
    ]
    fingerprinter = AgentFingerprinter()
    metric = fingerprinter.compute_agent_profiles(contacts)["a"]["metrics"]["fcr"]
    assert (metric["value"], metric["n"]) == (0.9, 10)
    assert "within 7 days" in metric["method"] and metric["method"] == fingerprinter.summary({})["methods"]["fcr"]
    wide = AgentFingerprinter(fcr="repeat", repeat_days=14).compute_agent_profiles(contacts)["a"]["metrics"]["fcr"]
    assert (wide["value"], wide["n"]) == (0.8, 10)


def test_the_last_days_say_nothing_of_who_will_come_back():
    contacts = [at(place, number=place, customer_id=f"k{place}") for place in range(20)]
    assert AgentFingerprinter().compute_agent_profiles(contacts)["a"]["metrics"]["fcr"]["n"] == 13


def test_resolution_by_survey_counts_surveys_alone():
    contacts = [contact(i, "a", resolution="resolved") for i in range(5)]
    contacts += [
        replace(contact(10 + i, "a"), labels={"resolution": Label(value="unresolved", source="survey")})
        for i in range(5)
    ]
    by = {
        fcr: AgentFingerprinter(fcr=fcr).compute_agent_profiles(contacts)["a"]["metrics"]["fcr"]
        for fcr in ("flag", "survey")
    }
    assert (by["flag"]["value"], by["survey"]["value"], by["survey"]["n"]) == (0.5, 0.0, 5)


def falling(seed: int = 8) -> list[Conversation]:
    rng = np.random.default_rng(seed)
    return [
        at(
            day,
            f"a{place:02d}",
            place * 100 + day,
            quality={"score": float(rng.normal(80 - 12 * (place == 3 and day >= 40), 5))},
        )
        for place in range(30)
        for day in range(0, 80, 2)
    ]


def test_a_change_is_found_in_its_week_and_nowhere_else():
    fingerprinter = AgentFingerprinter()
    profiles = fingerprinter.compute_agent_profiles(falling())
    changed = {agent: p["trend"]["changes"] for agent, p in profiles.items() if p["trend"]["changes"]}
    assert list(changed) == ["a03"]
    (change,) = changed["a03"]
    assert change["metric"] == "quality" and change["week"] in ("2026-02-09", "2026-02-16")
    assert change["before"] - change["after"] == pytest.approx(12, abs=3) and change["p"] < 0.001
    assert fingerprinter.summary(profiles)["changes"] == 1


def test_a_trend_has_the_mean_and_n_of_each_week_and_a_slope():
    trend = AgentFingerprinter().compute_agent_profiles(falling())["a03"]["trend"]
    assert trend["weeks"][:2] == ["2026-01-05", "2026-01-12"] and len(trend["weeks"]) == 12
    quality = trend["metrics"]["quality"]
    assert sum(quality["n"]) == 40 and len(quality["mean"]) == 12
    assert quality["per_week"]["high"] < 0 and "csat" not in trend["metrics"]


def test_weeks_without_contacts_have_no_mean_and_contacts_without_a_time_are_in_no_week():
    contacts = [at(day, number=day, quality={"score": 70 + day % 5}) for day in (*range(6), *range(21, 27))]
    contacts += [contact(100 + i, "a", quality={"score": 10}) for i in range(5)]
    quality = AgentFingerprinter().compute_agent_profiles(contacts)["a"]["trend"]["metrics"]["quality"]
    assert quality["n"] == [6, 0, 0, 6] and quality["mean"][1] is None and min(filter(None, quality["mean"])) >= 70


def test_skills_are_those_of_the_centre_s_settings():
    skills = {"kindness": Skill("empathy", "more", "Be kind.")}
    profile = AgentFingerprinter(skills=skills).compute_agent_profiles(centre())["agent_002"]
    assert [(p["skill"], p["action"]) for p in profile["coaching_priorities"]] == [("kindness", "Be kind.")]
    with pytest.raises(UserError, match="skill kindness: no measure 'warmth'"):
        AgentFingerprinter(skills={"kindness": Skill("warmth", "more", "Be kind.")})
    assert len(SKILLS) == 6


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
    assert clusters["stability"]["mean"] > 0.9
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
    profile = json.loads(json.dumps(AgentFingerprinter().compute_agent_profiles(centre())["agent_002"]))
    given = {name: profile[name] for name in ("strengths", "weaknesses", "coaching_priorities")}
    coaching = generate_coaching(**given)
    assert coaching == generate_coaching(**given)
    assert coaching["work_on"] == [priority["skill"] for priority in profile["coaching_priorities"]]
    first = profile["coaching_priorities"][0]
    assert first["action"] in coaching["plan"] and first["evidence"][0] in coaching["plan"]


def test_an_agent_like_the_centre_gets_a_plan_that_says_so():
    assert "No skill is clearly above or below" in generate_coaching([], [], [])["plan"]


def test_the_default_input_is_the_file_with_temporal_features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no train split under data/"):
        AgentFingerprinter().compute_agent_profiles()
    (tmp_path / "data").mkdir()
    write_conversations("data/train_chatml.jsonl", scored("old", [50] * 5))
    write_conversations("data/train_temporal.jsonl", scored("new", [50] * 5))
    profiles = AgentFingerprinter().compute_agent_profiles()
    assert list(profiles) == ["new"]
    path = "data/train_temporal.jsonl"
    assert AgentFingerprinter().fit(path).transform(path) == profiles


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
        strengths=profiles["agent_002"]["strengths"],
        weaknesses=profiles["agent_002"]["weaknesses"],
        coaching_priorities=profiles["agent_002"]["coaching_priorities"],
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
    done = run_python("-c", program)
    assert done.stdout == "set()\n"
