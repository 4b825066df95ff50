"""A coaching plan with its contacts: the agent's own, colleagues' who do it well, each with the turn to go to."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from mlx_cc.agents.coaching import Priority, words, worth
from mlx_cc.agents.moments import agent_turns, customer_words, moment
from mlx_cc.centre import Centre, Skill
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.prompt import PromptSettings, messages, question_of
from mlx_cc.tasks import pick

OWN, PEERS = 2, 2
"""Contacts shown of the agent's own, and of colleagues."""
QUOTE = 240
"""Characters of a quoted turn."""
SAID = 0.6
"""Share of an action's words in one turn of the agent from which on it was done in that contact; the same share of
them in the agreed action makes it a copy."""


class Example(TypedDict):
    """A contact and the turn in it to go to."""

    agent: str
    conversation: str
    turn: int
    quote: str
    why: str


class Advice(TypedDict):
    """What a model wrote about one of the agent's own contacts."""

    conversation: str
    turn: int
    quote: str
    action: str
    expected_outcome: str


class Step(TypedDict):
    """One priority, with what shows the need and what good looks like."""

    rank: int
    skill: str
    reason: str
    action: str
    expected_effect: Any
    own: list[Example]
    peers: list[Example]
    left_out: list[str]
    """The agent's contacts that were evidence, but in which the action was taken already."""
    advice: NotRequired[Advice]


class Plan(TypedDict):
    """A coaching plan, as `mlx_cc coach --json` prints it."""

    agent_id: str
    team: str | None
    conversations: int
    build_on: list[str]
    work_on: list[Step]
    checks: dict[str, bool]
    rejected: dict[str, int]
    """Check -> recommendations of the model that did not pass it and were left out."""
    text: str


Write = Callable[[Conversation, Priority, Sequence[int]], Mapping[str, Any]]
"""Has a model write one recommendation (action, expected_outcome, turn) about a contact, citing one of its turns."""


def wanted(profiles: Mapping[str, Mapping[str, Any]], agents: Iterable[str]) -> set[str]:
    """Ids of the conversations that the plans of these agents may show.

    Raises:
        UserError: there is no such agent.
    """
    found: set[str] = set()
    for agent in agents:
        if agent not in profiles:
            raise UserError(f"no agent {agent!r} among {len(profiles)} profiles. {_nearest(agent, profiles)}")
        for priority in profiles[agent]["coaching_priorities"]:
            found |= set(priority["evidence"])
            for _, ids in _peers(profiles, agent, priority["skill"]):
                found |= set(ids)
    return found


def plan(
    agent: str,
    profiles: Mapping[str, Mapping[str, Any]],
    conversations: Mapping[str, Conversation],
    skills: Mapping[str, Skill],
    write: Write | None = None,
) -> Plan:
    """The plan of one agent.

    Args:
        profiles: agent id -> profile.
        conversations: those of `wanted`, by id; a plan shows only contacts that are among them.
        skills: the centre's, by name.
        write: has a model write about one contact of each step; without it the plan is rules and numbers alone.
    """
    profile = profiles[agent]
    steps: list[Step] = []
    rejected: dict[str, int] = {}
    for rank, priority in enumerate(profile["coaching_priorities"], 1):
        skill = skills.get(priority["skill"])
        measure = skill.measure if skill else priority["skill"]
        known = [conversations[name] for name in priority["evidence"] if name in conversations]
        done = [one.id for one in known if skill and already_done(one, skill)]
        own = [one for one in known if one.id not in done][:OWN]
        step = Step(
            rank=rank,
            skill=priority["skill"],
            reason=priority["reason"],
            action=priority["action"],
            expected_effect=priority.get("expected_effect"),
            own=[found for one in own if (found := _example(agent, one, measure))],
            peers=_examples_of_peers(agent, priority, profiles, conversations, own or known, measure),
            left_out=done,
        )
        if write is not None and own:
            advice, fault = _advice(own[0], priority, skill, write)
            if fault:
                rejected[fault] = rejected.get(fault, 0) + 1
            elif advice:
                step["advice"] = advice
        steps.append(step)
    found = Plan(
        agent_id=agent,
        team=profile.get("team"),
        conversations=profile["conversations"],
        build_on=[strength["skill"] for strength in profile["strengths"]],
        work_on=steps,
        checks=checks(steps, conversations, skills),
        rejected=rejected,
        text="",
    )
    found["text"] = text(found, profile)
    return found


def already_done(conversation: Conversation, skill: Skill) -> bool:
    """Whether the agent says one of the skill's `done_by` words in a contact."""
    said = [turn.text.casefold() for turn in conversation.turns if turn.role == "agent"]
    return any(words.casefold() in text for words in skill.done_by for text in said)


def checks(
    steps: Sequence[Step], conversations: Mapping[str, Conversation], skills: Mapping[str, Skill]
) -> dict[str, bool]:
    """What a plan has to keep to; all are true of a plan that `plan` made, and a changed one may fail."""
    examples = [one for step in steps for one in (*step["own"], *step["peers"], *_cited(step))]
    actions = [step["action"] for step in steps]
    return {
        "cites_existing_turns": all(
            one["conversation"] in conversations
            and one["turn"] in agent_turns(conversations[one["conversation"]])
            and one["quote"] == _short(conversations[one["conversation"]].turns[one["turn"] - 1].text)
            for one in examples
        ),
        "not_already_done": not any(
            step["skill"] in skills and already_done(conversations[one["conversation"]], skills[step["skill"]])
            for step in steps
            for one in step["own"]
            if one["conversation"] in conversations
        ),
        "one_action_each": len(set(actions)) == len(actions)
        and all(step["action"].strip() for step in steps)
        and all(_is_one(one["action"]) for step in steps for one in _cited(step)),
        "no_history_in_scoring": not any(
            step["reason"] in asked
            for step in steps
            for one in step["own"]
            if one["conversation"] in conversations
            for asked in _scoring(conversations[one["conversation"]])
        ),
    }


def _scoring(conversation: Conversation) -> Iterator[str]:
    """What a model is asked when it scores a contact."""
    for task in pick([]):
        if task.answers:
            said = messages(conversation, question_of(task, Centre(), PromptSettings()))
            yield "\n".join(message["content"] for message in said)


def text(found: Plan, profile: Mapping[str, Any]) -> str:
    """A plan in plain words."""
    team = f", {found['team']}" if found["team"] else ""
    lines = [f"Coaching plan for {found['agent_id']}{team}: {found['conversations']} contacts"]
    if profile["status"] != "ok":
        return f"{lines[0]}\nNot enough data for a judgement. Review the contacts together."
    if profile["strengths"]:
        lines += ["", "Build on"]
        lines += [f"- {words(one['skill'])}: {one['reason']}" for one in profile["strengths"]]
    if not found["work_on"]:
        lines += ["", "No skill stands clearly below the centre in the contacts seen."]
    for step in found["work_on"]:
        lines += ["", f"{step['rank']}. {words(step['skill'])}: {step['reason']}", f"   Do: {step['action']}"]
        effect = step["expected_effect"]
        if effect:
            lines.append(f"   Worth: {worth(effect)}")
        lines += [f"   Yours, {_cite(one)}" for one in step["own"]]
        if "advice" in step:
            advice = step["advice"]
            lines.append(
                f"   There: {advice['action']} Then: {advice['expected_outcome']} "
                f"({advice['conversation']} [T{advice['turn']}], written by a model)"
            )
        lines += [f"   {one['agent']}'s, {_cite(one)}" for one in step["peers"]]
        if not step["peers"]:
            lines.append("   No colleague stands out in this.")
    return "\n".join(lines)


def _advice(
    conversation: Conversation, priority: Priority, skill: Skill | None, write: Write
) -> tuple[Advice | None, str | None]:
    """A model's recommendation, or which check it failed."""
    turns = agent_turns(conversation)
    try:
        said = write(conversation, priority, turns)
    except ValueError:
        return None, "whole"
    action, outcome, turn = str(said["action"]).strip(), str(said["expected_outcome"]).strip(), said["turn"]
    if turn not in turns:
        return None, "cites_existing_turns"
    if not (_is_wording(action) and _is_wording(outcome)):
        return None, "in_words"
    if not _is_one(action):
        return None, "one_action_each"
    if _share(action, priority["action"]) >= SAID:
        return None, "not_copied"
    if _is_said(action, conversation) or (skill and already_done(conversation, skill)):
        return None, "not_already_done"
    return Advice(
        conversation=conversation.id,
        turn=turn,
        quote=_short(conversation.turns[turn - 1].text),
        action=action,
        expected_outcome=outcome,
    ), None


def _is_one(action: str) -> bool:
    """Whether a text is one action: one line, one sentence."""
    body = action.strip().rstrip(".!?")
    return "\n" not in body and not any(mark in body for mark in (". ", "! ", "? ", "; "))


def _is_wording(text: str) -> bool:
    """Whether a text is words, rather than a loop of one or signs."""
    words = [word for word in _split(text) if word.isalpha()]
    return len(set(words)) >= 3 and len(set(words)) >= 0.4 * len(_split(text))


def _is_said(action: str, conversation: Conversation) -> bool:
    """Whether the agent says most of an action's longer words in one turn."""
    return any(turn.role == "agent" and _share(action, turn.text) >= SAID for turn in conversation.turns)


def _share(action: str, text: str) -> float:
    """Share of an action's longer words that are in a text; 0 where it has too few to tell."""
    words = {word for word in _split(action) if len(word) > 3}
    return len(words & set(_split(text))) / len(words) if len(words) > 2 else 0.0


def _split(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()


def _cited(step: Step) -> list[Advice]:
    return [step["advice"]] if "advice" in step else []


def _peers(profiles: Mapping[str, Mapping[str, Any]], agent: str, skill: str) -> list[tuple[str, list[str]]]:
    """Colleagues who are strong in a skill, with the contacts that show it."""
    return [
        (peer, finding["evidence"])
        for peer, profile in sorted(profiles.items())
        if peer != agent
        for finding in profile["strengths"]
        if finding["skill"] == skill
    ]


def _examples_of_peers(
    agent: str,
    priority: Priority,
    profiles: Mapping[str, Mapping[str, Any]],
    conversations: Mapping[str, Conversation],
    own: Sequence[Conversation],
    measure: str,
) -> list[Example]:
    """Contacts of colleagues nearest to the agent's own: same issue, else queue, and what the customer says."""
    candidates = [
        (peer, conversations[name])
        for peer, names in _peers(profiles, agent, priority["skill"])
        for name in names
        if name in conversations
    ]
    issues, queues = {one.label("issue") for one in own} - {None}, {one.queue for one in own} - {None}

    def likeness(one: Conversation) -> int:
        return 2 * (one.label("issue") in issues) + (one.queue in queues)

    found: list[Example] = []
    for like in (3, 2, 1, 0):
        tier = [(peer, one) for peer, one in candidates if likeness(one) == like]
        near = _similarity([one for _, one in tier], own)
        for place in sorted(
            range(len(tier)), key=lambda place, near=near, tier=tier: (-near[place], tier[place][1].id)
        ):
            peer, one = tier[place]
            example = _example(peer, one, measure)
            if example and len(found) < PEERS and peer not in {known["agent"] for known in found}:
                found.append(example)
        if len(found) == PEERS:
            break
    return found


def _similarity(candidates: Sequence[Conversation], own: Sequence[Conversation]) -> list[float]:
    """The largest cosine between what the customer says there (words weighted by rarity) and in the agent's own."""
    if not candidates or not own:
        return [0.0] * len(candidates)
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [customer_words(one) or "-" for one in (*candidates, *own)]
    try:
        vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError:  # no text has a word
        return [0.0] * len(candidates)
    split = len(candidates)
    products = vectors[:split] @ vectors[split:].T  # pyright: ignore[reportIndexIssue]
    return products.max(axis=1).toarray().ravel().tolist()


def _example(agent: str, conversation: Conversation, measure: str) -> Example | None:
    found = moment(conversation, measure)
    if found is None:
        return None
    return Example(agent=agent, conversation=conversation.id, turn=found.turn, quote=_short(found.quote), why=found.why)


def _short(quote: str) -> str:
    flat = " ".join(quote.split())
    return flat if len(flat) <= QUOTE else flat[: QUOTE - 1].rstrip() + "…"


def _cite(example: Example) -> str:
    return f"{example['conversation']} [T{example['turn']}] ({example['why']}): “{example['quote']}”"


def _nearest(agent: str, profiles: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(agent, profiles, 1, 0.6)
    return f"Did you mean {close[0]!r}?" if close else "See agent_profiles.json for their names."
