"""Simulated conversations: reproducible, valid, true to the ground truth, and not readable off one phrase."""

import json
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from mlx_cc.centre import Centre
from mlx_cc.commands.simulate import command
from mlx_cc.conversation import check
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.simulate import Parameters, World, simulate
from mlx_cc.simulate.transcript import Phrases, load_phrases
from mlx_cc.simulate.world import ISSUES, QUEUES
from mlx_cc.tasks import all_tasks
from mlx_cc.tasks.coaching import LONGEST

AGENTS = 40


@pytest.fixture(scope="module")
def world():
    return World(Parameters(1600, AGENTS, seed=3))


@pytest.fixture(scope="module")
def conversations(world):
    return list(simulate(world))


def texts_of(conversations):
    return ["\n".join(turn.text for turn in conversation.turns) for conversation in conversations]


def test_the_seed_decides_every_conversation():
    parameters = Parameters(60, 5, seed=1)
    world = World(parameters)
    first = list(simulate(world))
    assert list(simulate(world)) == first
    assert list(simulate(World(parameters))) == first
    assert texts_of(simulate(World(parameters._replace(seed=2)))) != texts_of(first)


def test_records_are_valid_and_survive_the_disk(conversations, tmp_path):
    for conversation in conversations:
        check(conversation)
    path = tmp_path / "simulated.jsonl"
    assert write_conversations(path, conversations) == 1600
    assert list(read_conversations(path)) == conversations
    assert len({conversation.id for conversation in conversations}) == 1600


def test_labels_are_what_the_tasks_allow(conversations):
    centre, tasks = Centre(), all_tasks()
    for conversation in conversations:
        assert {label.source for label in conversation.labels.values()} == {"simulated"}
        for name in ("quality", "csat", "issue", "churn", "journey", "coaching"):
            fault = tasks[name].fault(conversation.label(name), centre, len(conversation.turns))
            assert fault is None, (conversation.id, name, fault)
        assert conversation.label("resolution") in ("resolved", "partial", "unresolved")
        assert all(0 <= conversation.label(n) <= 100 for n in ("empathy", "technical_skill", "communication"))
    assert {c.label("csat") for c in conversations} == {1, 2, 3, 4, 5}
    assert {c.label("issue") for c in conversations} == set(centre.issue_classes) == set(ISSUES)
    assert {c.label("journey")["type"] for c in conversations} == set(centre.journeys)
    assert {c.label("journey")["contact_role"] for c in conversations} == set(centre.contact_roles)


def test_contacts_come_in_order_of_time_within_the_period(conversations):
    assert all(a.started_at <= b.started_at for a, b in pairwise(conversations))
    assert date(2025, 1, 1) <= conversations[0].started_at.date()
    assert conversations[-1].started_at.date() < date(2025, 7, 1)
    weekend = sum(c.started_at.weekday() >= 5 for c in conversations)
    assert weekend < 0.2 * len(conversations)


def test_a_follow_up_is_the_same_customer_with_the_same_issue_coming_back(conversations):
    seen = {}
    followups = 0
    for conversation in conversations:
        seen[conversation.id] = conversation
        assert conversation.is_followup == (conversation.previous_contact_id is not None)
        if conversation.is_followup:
            followups += 1
            before = seen[conversation.previous_contact_id]
            assert before.customer_id == conversation.customer_id
            assert before.label("issue") == conversation.label("issue")
            assert before.started_at < conversation.started_at
    assert followups > 0.1 * len(conversations)


def test_customers_beyond_the_bound_do_not_come_back():
    world = World(Parameters(100, 3), open_cases=0)
    assert not any(conversation.is_followup for conversation in simulate(world))


def test_coaching_points_at_a_turn_of_the_agent(conversations):
    skills = Counter()
    for conversation in conversations:
        for item in conversation.label("coaching"):
            assert conversation.turns[item["turn"] - 1].role == "agent"
            skills[item["skill"]] += 1
    assert set(skills) == {"empathy", "technical_skill", "communication", "ownership", "retention", "consistency"}


def test_voice_turns_have_times_that_run_forward_and_chat_turns_have_none(conversations):
    for conversation in conversations:
        if conversation.channel == "chat":
            assert all(turn.start_s is None and turn.end_s is None for turn in conversation.turns)
            continue
        times = [moment for turn in conversation.turns for moment in (turn.start_s, turn.end_s)]
        assert times == sorted(times)
        assert conversation.handle_time_s > times[-1]


def test_quality_follows_skill(world, conversations):
    scores = defaultdict(list)
    for conversation in conversations:
        scores[conversation.agents[0]].append(conversation.label("quality")["score"])
    skill = [agent.skill for agent in world.agents]
    assert spearmanr(skill, [np.mean(scores[agent.id]) for agent in world.agents]).statistic > 0.7


def test_hard_queues_pull_down_the_raw_means_of_those_who_take_them(world, conversations):
    by_queue, scores, hardness = defaultdict(list), defaultdict(list), defaultdict(list)
    for conversation in conversations:
        score = conversation.label("quality")["score"]
        by_queue[conversation.queue].append(score)
        scores[conversation.agents[0]].append(score)
        hardness[conversation.agents[0]].append(QUEUES[conversation.queue].difficulty)
    difficulty = [QUEUES[name].difficulty for name in by_queue]
    assert spearmanr(difficulty, [np.mean(found) for found in by_queue.values()]).statistic < -0.7
    mean = np.array([np.mean(scores[agent.id]) for agent in world.agents])
    design = np.array([[1, agent.skill, np.mean(hardness[agent.id])] for agent in world.agents])
    _, skill_effect, hardness_effect = np.linalg.lstsq(design, mean, rcond=None)[0]
    assert skill_effect > 5
    assert hardness_effect < -3


def test_inconsistent_agents_vary_most(world, conversations):
    group = {agent.id: agent.group for agent in world.agents}
    scores = defaultdict(list)
    for conversation in conversations:
        scores[conversation.agents[0]].append(conversation.label("quality")["score"])
    spread = defaultdict(list)
    for agent, found in scores.items():
        spread[group[agent]].append(np.std(found))
    means = {name: np.mean(found) for name, found in spread.items()}
    assert max(means, key=means.__getitem__) == "Inconsistent"


def test_an_outcome_and_a_wait_show_in_satisfaction(conversations):
    csat = defaultdict(list)
    for conversation in conversations:
        csat[conversation.label("resolution")].append(conversation.label("csat"))
    assert np.mean(csat["resolved"]) > np.mean(csat["partial"]) + 0.4 > np.mean(csat["unresolved"]) + 0.8
    waits = [conversation.queue_wait_s for conversation in conversations]
    assert spearmanr(waits, [conversation.label("csat") for conversation in conversations]).statistic < -0.08


def test_the_issue_can_be_learned_from_the_text(conversations):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, issues = texts_of(conversations[:800]), [c.label("issue") for c in conversations[:800]]
    vectors = TfidfVectorizer(min_df=2, sublinear_tf=True)
    learned = LogisticRegression(C=10, max_iter=200).fit(vectors.fit_transform(texts[:600]), issues[:600])
    accuracy = learned.score(vectors.transform(texts[600:]), issues[600:])
    majority = Counter(issues[600:]).most_common(1)[0][1] / 200
    assert accuracy > majority + 0.3


def test_no_phrase_gives_satisfaction_away(conversations):
    from sklearn.feature_extraction.text import CountVectorizer

    counts = (
        CountVectorizer(ngram_range=(1, 3), binary=True, min_df=0.05).fit_transform(texts_of(conversations)).tocsc()
    )
    support = np.asarray(counts.sum(0)).ravel()
    csat = np.array([conversation.label("csat") for conversation in conversations])
    for chosen in (csat <= 2, csat >= 4):
        purity = np.asarray(counts[chosen].sum(0)).ravel() / support
        assert purity.max() <= 0.97


def test_satisfaction_can_still_be_learned_from_the_text(conversations):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    csat = np.array([conversation.label("csat") for conversation in conversations], dtype=float)
    vectors = TfidfVectorizer(min_df=3, sublinear_tf=True)
    texts = texts_of(conversations)
    learned = Ridge().fit(vectors.fit_transform(texts[:1200]), csat[:1200])
    assert spearmanr(learned.predict(vectors.transform(texts[1200:])), csat[1200:]).statistic > 0.4


def test_nothing_of_the_grammar_is_left_in_what_is_said(conversations):
    for text in texts_of(conversations):
        assert not set("{|}") & set(text)
        assert "  " not in text


def test_the_phrases_are_many_and_used_correctly():
    phrases = load_phrases()
    lines = [phrase for rule in phrases.rules.values() for phrase in rule]
    lines += [phrase for parts in phrases.issues.values() for rule in parts.values() for phrase in rule]
    assert len(lines) > 600
    for options in phrases.coaching.values():
        for action, outcome in options:
            assert len(action) <= LONGEST["action"]
            assert len(outcome) <= LONGEST["expected_outcome"]


def test_alternatives_and_rules_expand():
    phrases = Phrases(
        "slots: {agent: Dana}\n"
        "rules:\n  name: '{agent}{| Lee}'\n  hello: '{Hi|Oh, {name}}, {yes|no}'\n"
        "issues: {}\ncoaching: {}"
    )
    rng = np.random.default_rng(0)
    said = set()
    for _ in range(200):
        out = []
        phrases.expand(phrases.rules["hello"], ["Dana"], rng.random, out)
        said.add("".join(out))
    assert said == {f"{start}, {end}" for start in ("Hi", "Oh, Dana", "Oh, Dana Lee") for end in ("yes", "no")}


def test_a_brace_that_does_not_match_is_refused():
    with pytest.raises(ValueError, match="braces"):
        Phrases("slots: {agent: Dana}\nrules:\n  hello: 'Hi}'\nissues: {}\ncoaching: {}")


@pytest.mark.parametrize("turns", [4, 14, 40])
def test_conversations_are_as_long_as_asked_for(turns):
    lengths = [len(conversation.turns) for conversation in simulate(World(Parameters(300, 4, turns=turns)))]
    assert abs(np.mean(lengths) - turns) < 0.15 * turns


@pytest.mark.parametrize("agents", [1, 3, 1007])
def test_any_number_of_agents_can_work(agents):
    world = World(Parameters(30, agents))
    agents_of_world = world.truth()["agents"]
    assert len(agents_of_world) == agents
    assert all(conversation.agents[0] in agents_of_world for conversation in simulate(world))
    assert list(agents_of_world)[0] == ("agent_0001" if agents > 999 else "agent_001")


def test_the_command_writes_conversations_and_truth(tmp_path):
    out, truth = tmp_path / "simulated.jsonl", tmp_path / "truth.json"
    arguments = ["--conversations", "25", "--agents", "6", "--seed", "9", "--start", "2024-02-29", "--months", "12"]
    result = CliRunner().invoke(command, [*arguments, "--out", str(out), "--truth", str(truth), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["conversations"] == 25
    assert len(list(read_conversations(out))) == 25
    written = json.loads(truth.read_text())
    assert written["parameters"]["start"] == "2024-02-29"
    assert set(written["queues"]) == set(QUEUES)
    assert written["agents"]["agent_006"].keys() >= {"skill", "group", "empathy", "technical_skill", "communication"}


def test_too_few_turns_are_refused(tmp_path):
    result = CliRunner().invoke(command, ["--turns", "1", "--out", str(tmp_path / "x.jsonl")])
    assert result.exit_code == 2
    assert "--turns" in result.output
