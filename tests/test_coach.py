"""A coaching plan cites what is there, asks for one thing at a time, and is sent by nobody."""

import email
import email.policy
import json
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from mlx_cc.agents.coaching_email import draft, page
from mlx_cc.agents.coaching_plan import already_done, check_plan, coaching_plan, contacts_to_load
from mlx_cc.agents.fingerprint import AgentFingerprinter
from mlx_cc.agents.skill_turns import skill_turn
from mlx_cc.centre import SKILLS
from mlx_cc.commands.coach import command
from mlx_cc.commands.fingerprint import command as fingerprint
from mlx_cc.conversation import Conversation, Label, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.simulate import Parameters, World, simulate

PRIORITY = {"skill": "empathy", "reason": "empathy 50", "action": "Name the concern first.", "expected_effect": None}


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    """A simulated centre: its file, the folder of its profiles, the profiles, and its conversations."""
    folder = tmp_path_factory.mktemp("centre")
    source = folder / "conversations.jsonl"
    conversations = list(simulate(World(Parameters(1200, 40))))
    write_conversations(source, conversations)
    profiles = AgentFingerprinter().compute_agent_profiles(conversations)
    arguments = ["--input", str(source), "--output-dir", str(folder / "profiles")]
    assert CliRunner().invoke(fingerprint, arguments).exit_code == 0
    return source, folder / "profiles", profiles, {one.id: one for one in conversations}


def weak(profiles) -> str:
    """The agent with most to work on."""
    return max(profiles, key=lambda agent: (len(profiles[agent]["coaching_priorities"]), agent))


def talk(*said: str, **fields) -> Conversation:
    roles = ("customer", "agent")
    turns = tuple(Turn(role=roles[place % 2], text=text) for place, text in enumerate(said))
    return Conversation(id=fields.pop("id", "own"), turns=turns, agents=("a",), **fields)


def test_a_plan_cites_turns_of_the_agent_in_the_agent_s_own_contacts_and_in_colleagues(centre):
    _, _, profiles, conversations = centre
    agent = weak(profiles)
    found = coaching_plan(agent, profiles, conversations, SKILLS)
    assert len(found["work_on"]) >= 3
    for step in found["work_on"]:
        assert 1 <= len(step["own"]) + len(step["left_out"]) <= 3
        for example in (*step["own"], *step["peers"]):
            conversation = conversations[example["conversation"]]
            assert conversation.agents == (example["agent"],)
            turn = conversation.turns[example["turn"] - 1]
            assert turn.role == "agent" and example["quote"].rstrip("…") in " ".join(turn.text.split())
        assert {example["agent"] for example in step["own"]} <= {agent}
        assert agent not in {example["agent"] for example in step["peers"]}
        assert len({example["agent"] for example in step["peers"]}) == len(step["peers"])
    assert any(step["peers"] for step in found["work_on"])
    assert set(found["checks"].values()) == {True} and len(found["checks"]) == 4


def test_colleagues_are_strong_in_it_and_their_contacts_are_about_the_same_issue_where_there_are_any(centre):
    _, _, profiles, conversations = centre
    found = coaching_plan(weak(profiles), profiles, conversations, SKILLS)
    for step in found["work_on"]:
        for example in step["peers"]:
            assert step["skill"] in {one["skill"] for one in profiles[example["agent"]]["strengths"]}
        issues = {conversations[one["conversation"]].label("issue") for one in step["own"]}
        strong = [p for p in profiles.values() if step["skill"] in {one["skill"] for one in p["strengths"]}]
        evidence = [
            i for p in strong for one in p["strengths"] if one["skill"] == step["skill"] for i in one["evidence"]
        ]
        if any(conversations[i].label("issue") in issues for i in evidence) and step["peers"]:
            assert conversations[step["peers"][0]["conversation"]].label("issue") in issues


def test_a_plan_needs_only_the_conversations_it_says_it_wants(centre):
    _, _, profiles, conversations = centre
    agent = weak(profiles)
    few = {name: conversations[name] for name in contacts_to_load(profiles, [agent])}
    assert len(few) < len(conversations)
    assert coaching_plan(agent, profiles, few, SKILLS) == coaching_plan(agent, profiles, conversations, SKILLS)


def test_a_changed_plan_fails_its_checks(centre):
    _, _, profiles, conversations = centre
    steps = coaching_plan(weak(profiles), profiles, conversations, SKILLS)["work_on"]

    def checked(**changes):
        first = {**steps[0], **changes}
        return {name for name, passed in check_plan([first, *steps[1:]], conversations, SKILLS).items() if not passed}

    own = steps[0]["own"][0]
    assert checked() == set()
    assert checked(own=[{**own, "turn": 999}]) == {"cites_existing_turns"}
    assert checked(own=[{**own, "quote": "never said"}]) == {"cites_existing_turns"}
    assert checked(own=[{**own, "conversation": "gone"}]) == {"cites_existing_turns"}
    assert checked(action=steps[1]["action"]) == {"one_action_each"}
    assert checked(action=" ") == {"one_action_each"}
    said = conversations[own["conversation"]].turns[0].text
    assert "no_history_in_scoring" in checked(reason=said)


def test_a_contact_in_which_the_action_was_taken_already_is_not_held_against_the_agent(centre):
    _, _, profiles, conversations = centre
    agent = weak(profiles)
    step = next(
        s for s in coaching_plan(agent, profiles, conversations, SKILLS)["work_on"] if SKILLS[s["skill"]].done_by
    )
    shown = conversations[step["own"][0]["conversation"]]
    sorry = Turn(role="agent", text=f"Well, {SKILLS[step['skill']].done_by[0].upper()}, of course.")
    changed = {**conversations, shown.id: replace(shown, turns=(*shown.turns, sorry))}
    assert already_done(changed[shown.id], SKILLS[step["skill"]])
    again = coaching_plan(agent, profiles, changed, SKILLS)
    redone = next(s for s in again["work_on"] if s["skill"] == step["skill"])
    assert shown.id in redone["left_out"] and shown.id not in {one["conversation"] for one in redone["own"]}
    assert again["checks"]["not_already_done"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"turn": 2}, None),
        ({"turn": 1}, "cites_existing_turns"),
        ({"turn": 9}, "cites_existing_turns"),
        ({"action": "1.1.1.1.1.1.1.1"}, "in_words"),
        ({"expected_outcome": "so so so so so"}, "in_words"),
        ({"action": "Ask how they are. Then wait for what they say."}, "one_action_each"),
        ({"action": "Name first the concern."}, "not_copied"),
        ({"action": "Promise the refund before Friday."}, "not_already_done"),
    ],
)
def test_a_model_s_recommendation_is_kept_only_where_it_passes_the_checks(said, fault):
    own = talk("You charged me twice, this is awful.", "The refund comes before Friday, promise.", id="c1")
    profile = {
        "team": None, "status": "ok", "conversations": 9, "strengths": [],
        "weaknesses": [{"skill": "empathy", "reason": "empathy 50", "gap_sd": -1.0, "evidence": ["c1"]}],
        "coaching_priorities": [{**PRIORITY, "evidence": ["c1"]}],
    }  # fmt: skip
    written = {
        "action": "Tell the customer how that must feel.",
        "expected_outcome": "They calm down sooner.",
        "turn": 2,
    }
    asked = []

    def write(conversation, priority, turns):
        asked.append((conversation.id, priority["reason"], list(turns)))
        return {**written, **said}

    found = coaching_plan("a", {"a": profile}, {"c1": own}, SKILLS, write)
    assert asked == [("c1", "empathy 50", [2])]
    assert found["rejected"] == ({fault: 1} if fault else {})
    assert ("advice" in found["work_on"][0]) == (fault is None)
    assert ("written by a model" in found["text"]) == (fault is None)
    assert set(found["checks"].values()) == {True}


def test_a_model_that_writes_without_end_is_left_out(centre):
    _, _, profiles, conversations = centre

    def write(conversation, priority, turns):
        raise ValueError("cut off")

    found = coaching_plan(weak(profiles), profiles, conversations, SKILLS, write)
    assert found["rejected"] == {"complete": len([step for step in found["work_on"] if step["own"]])}


def test_the_turn_to_go_to_follows_from_the_shape_of_the_talk():
    own = talk(
        "Hi.",
        "Hello, Ana here.",
        "My bill is wrong since March.",
        "Number?",
        "12.",
        "That is all paid, see.",
        "Bye.",
        "Bye.",
    )
    turns = {
        measure: skill_turn(own, measure).turn for measure in ("empathy", "communication", "technical_skill", "fcr")
    }
    assert turns == {"empathy": 4, "communication": 6, "technical_skill": 6, "fcr": 8}
    times = [(0, 1), (1, 3), (3, 5), (20, 25), (25, 26), (26, 60), (60, 61), (61, 62)]
    timed = tuple(replace(t, start_s=a, end_s=b) for t, (a, b) in zip(own.turns, times, strict=True))
    assert skill_turn(replace(own, turns=timed), "handle_time_s").turn == 4
    labelled = {"coaching": Label(value=[{"skill": "empathy", "turn": 6}], source="human_qa")}
    assert skill_turn(replace(own, labels=labelled), "empathy")[::2] == (6, "named in the contact's coaching label")
    silent = replace(own, turns=tuple(replace(turn, role="customer") for turn in own.turns))
    assert skill_turn(silent, "empathy") is None


class Seen(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onerror", "onload"}

    def handle_data(self, data):
        self.text += data


def test_a_draft_holds_text_and_html_of_the_same_plan_with_everything_said_escaped(centre):
    _, _, profiles, conversations = centre
    agent = weak(profiles)
    found = coaching_plan(agent, profiles, conversations, SKILLS)
    found["work_on"][0]["own"][0]["quote"] = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"
    message = email.message_from_bytes(draft(found, "ana@example.com"), policy=email.policy.default)
    assert (message["To"], message["X-Unsent"], message["From"]) == ("ana@example.com", "1", None)
    text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert text.splitlines() == found["text"].splitlines()
    seen = Seen(html)
    assert not seen.tags & {"img", "script"} and "<img src=x onerror=alert(1)>" in seen.text
    for step in found["work_on"]:
        assert step["action"] in seen.text and step["own"][0]["conversation"] in seen.text
    assert "http" not in page(found)


def test_an_agent_s_name_cannot_add_headers(centre):
    _, _, profiles, conversations = centre
    found = coaching_plan(weak(profiles), profiles, conversations, SKILLS) | {"agent_id": "x\r\nBcc: spy@example.com"}
    with pytest.raises(ValueError, match="linefeed|newline"):
        draft(found)


def run(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_the_command_prints_a_plan_and_finds_the_conversations_itself(centre):
    _, folder, profiles, _ = centre
    agent = weak(profiles)
    done = run(agent, "--profiles", folder)
    assert done.exit_code == 0, done.output
    assert f"Coaching plan for {agent}" in done.stdout and "[T" in done.stdout
    (line,) = run(agent, "--profiles", folder, "--json").stdout.splitlines()
    assert json.loads(line)["agent_id"] == agent


def test_drafts_are_written_one_an_agent_with_the_addresses_of_a_file(centre, tmp_path):
    _, folder, profiles, _ = centre
    agent = weak(profiles)
    staff = tmp_path / "staff.csv"
    staff.write_text(f"agent,email\n{agent},ana@example.com\n")
    done = run(
        "--team",
        profiles[agent]["team"],
        "--profiles",
        folder,
        "--email",
        "--addresses",
        staff,
        "--output-dir",
        tmp_path / "out",
    )
    assert done.exit_code == 0, done.output
    drafts = sorted(path.name for path in (tmp_path / "out").iterdir())
    with_work = [a for a, p in profiles.items() if p["team"] == profiles[agent]["team"] and p["coaching_priorities"]]
    assert drafts == sorted(f"{a}.eml" for a in with_work)
    assert b"To: ana@example.com" in (tmp_path / "out" / f"{agent}.eml").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["agent_0"], "no agent 'agent_0' among 40 profiles. Did you mean"),
        ([], "whom to coach"),
        (["--team", "nobody"], "no team 'nobody'. Use one of team_01"),
        (["agent_001", "--all"], "whom to coach"),
    ],
)
def test_whom_to_coach_is_said_clearly(centre, arguments, fault):
    with pytest.raises(UserError, match=fault):
        raise run(*arguments, "--profiles", centre[1]).exception


def test_missing_or_broken_profiles_and_addresses_are_named(centre, tmp_path):
    with pytest.raises(UserError, match="agent_profiles.json: not found. Run mlx_cc fingerprint"):
        raise run("agent_001", "--profiles", tmp_path).exception
    (tmp_path / "agent_profiles.json").write_text("{")
    with pytest.raises(UserError, match="agent_profiles.json: .* Correct the file or make it again"):
        raise run("agent_001", "--profiles", tmp_path).exception
    staff = tmp_path / "staff.csv"
    for text, fault in (
        (
            '{"text": "my card, 4111"}\n{}\n',
            "staff.csv: has no columns agent and email. Make its first line: agent,email$",
        ),
        ("agent,email\na,x@y@z\n", "is no e-mail"),
        ("agent,email\nJörg,j@y.z\n", "staff.csv: can't be read .* Save it as CSV in UTF-8"),
    ):
        staff.write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match=fault):
            raise run("agent_001", "--profiles", centre[1], "--email", "--addresses", staff).exception


def test_conversations_that_were_moved_are_asked_for(centre, tmp_path):
    source, folder, profiles, _ = centre
    moved = source.rename(tmp_path / "moved.jsonl")
    try:
        with pytest.raises(UserError, match="is not there. Pass its new path with --input"):
            raise run(weak(profiles), "--profiles", folder).exception
        assert run(weak(profiles), "--profiles", folder, "--input", moved).exit_code == 0
    finally:
        moved.rename(source)


def test_contacts_that_are_gone_are_counted_and_the_plan_does_without_them(centre, tmp_path):
    _, folder, profiles, conversations = centre
    agent = weak(profiles)
    own = {name for one in profiles[agent]["coaching_priorities"] for name in one["evidence"]}
    write_conversations(tmp_path / "fewer.jsonl", (c for c in conversations.values() if c.id not in own))
    done = run(agent, "--profiles", folder, "--input", tmp_path / "fewer.jsonl")
    assert done.exit_code == 0 and f"{len(own)} of " in done.stderr and "Your contact" not in done.stdout


def test_a_model_writes_under_a_grammar_that_knows_the_agent_s_turns(tiny_model):
    import mlx_cc

    analyst = mlx_cc.load(tiny_model)
    own = talk("You charged me twice.", "I see.", "And?", "It is done.")
    said = analyst.advise(own, "empathy", "empathy 50", "Name the concern first.", [2, 4])
    assert set(said) == {"action", "expected_outcome", "turn"} and said["turn"] in (2, 4)
