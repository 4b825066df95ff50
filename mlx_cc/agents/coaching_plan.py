"""A coaching plan with contacts to review, the agent's own and colleagues' good ones, each with the turn to read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from mlx_cc.agents.coaching import Priority, effect_text, heading
from mlx_cc.agents.skill_turns import agent_turns, customer_words, skill_turn
from mlx_cc.centre import Centre, Skill
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.prompt import PromptSettings, messages, question_of
from mlx_cc.tasks import pick

OWN_CONTACTS, PEER_CONTACTS = 2, 2
"""Contacts that a step shows of the agent and of colleagues."""
QUOTE_CHARACTERS = 240
SAME_ACTION = 0.6
"""Set by hand: with this share of its longer words in one agent turn, a recommended action was done already; with this
share of them in the agreed action, it is a copy."""


NO_WEAKNESS = "No skill is clearly below the centre's mean."


class Example(TypedDict):
    """A contact and the turn in it that shows the skill."""

    agent: str
    conversation: str
    turn: int
    quote: str
    why: str


class Advice(TypedDict):
    """A model's recommendation about one of the agent's own contacts."""

    conversation: str
    turn: int
    quote: str
    action: str
    expected_outcome: str


class Step(TypedDict):
    """One priority, with contacts of the agent that show the need and contacts of colleagues that show it done well."""

    rank: int
    skill: str
    reason: str
    action: str
    expected_effect: Any
    own: list[Example]
    peers: list[Example]
    left_out: list[str]
    """The agent's contacts that are evidence, but in which the action was taken already."""
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
    """Check -> recommendations of the model that failed it and were left out."""
    text: str


Write = Callable[[Conversation, Priority, Sequence[int]], Mapping[str, Any]]
"""Asks a model for one recommendation (action, expected_outcome, turn) about a contact. The last argument lists the
turns it may cite. Raises ValueError where the answer was cut off."""


def contacts_to_load(profiles: Mapping[str, Mapping[str, Any]], agents: Iterable[str]) -> set[str]:
    """Ids of the conversations that plans of these agents can show.

    Raises:
        UserError: there is no such agent.
    """
    ids: set[str] = set()
    for agent in agents:
        if agent not in profiles:
            raise UserError(f"no agent {agent!r} among {len(profiles)} profiles. {_nearest(agent, profiles)}")
        for priority in profiles[agent]["coaching_priorities"]:
            ids |= set(priority["evidence"])
            for _, evidence in _peers(profiles, agent, priority["skill"]):
                ids |= set(evidence)
    return ids


def coaching_plan(
    agent: str,
    profiles: Mapping[str, Mapping[str, Any]],
    conversations: Mapping[str, Conversation],
    skills: Mapping[str, Skill],
    write: Write | None = None,
) -> Plan:
    """The coaching plan of one agent.

    Args:
        profiles: agent id -> profile.
        conversations: id -> conversation, those of `contacts_to_load`; missing ones are left out.
        skills: name -> the centre's skill.
        write: asks a model for a recommendation about one contact of each step; without it the plan needs no model.
    """
    profile = profiles[agent]
    steps: list[Step] = []
    rejected: dict[str, int] = {}
    for rank, priority in enumerate(profile["coaching_priorities"], 1):
        skill = skills.get(priority["skill"])
        measure = skill.measure if skill else priority["skill"]
        evidence = [conversations[name] for name in priority["evidence"] if name in conversations]
        done = [one.id for one in evidence if skill and already_done(one, skill)]
        own = [one for one in evidence if one.id not in done][:OWN_CONTACTS]
        step = Step(
            rank=rank,
            skill=priority["skill"],
            reason=priority["reason"],
            action=priority["action"],
            expected_effect=priority.get("expected_effect"),
            own=[example for one in own if (example := _example(agent, one, measure))],
            peers=_examples_of_peers(agent, priority, profiles, conversations, own or evidence, measure),
            left_out=done,
        )
        if write is not None and own:
            advice, fault = _advice(own[0], priority, skill, write)
            if fault:
                rejected[fault] = rejected.get(fault, 0) + 1
            elif advice:
                step["advice"] = advice
        steps.append(step)
    plan = Plan(
        agent_id=agent,
        team=profile.get("team"),
        conversations=profile["conversations"],
        build_on=[strength["skill"] for strength in profile["strengths"]],
        work_on=steps,
        checks=check_plan(steps, conversations, skills),
        rejected=rejected,
        text="",
    )
    plan["text"] = plan_text(plan, profile)
    return plan


def already_done(conversation: Conversation, skill: Skill) -> bool:
    """Whether the agent says one of the skill's `done_by` phrases in a contact."""
    texts = [turn.text.casefold() for turn in conversation.turns if turn.role == "agent"]
    return any(phrase.casefold() in text for phrase in skill.done_by for text in texts)


def check_plan(
    steps: Sequence[Step], conversations: Mapping[str, Conversation], skills: Mapping[str, Skill]
) -> dict[str, bool]:
    """Check -> whether the plan passes it. A new plan passes all; one with changed steps or conversations may fail."""
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
        and all(_is_one_action(one["action"]) for step in steps for one in _cited(step)),
        "no_history_in_scoring": not any(
            step["reason"] in prompt
            for step in steps
            for one in step["own"]
            if one["conversation"] in conversations
            for prompt in _scoring_prompts(conversations[one["conversation"]])
        ),
    }


def _scoring_prompts(conversation: Conversation) -> Iterator[str]:
    """The prompts with which a model scores a contact."""
    for task in pick([]):
        if task.answers:
            prompt = messages(conversation, question_of(task, Centre(), PromptSettings()))
            yield "\n".join(message["content"] for message in prompt)


def plan_text(plan: Plan, profile: Mapping[str, Any]) -> str:
    """A plan as plain text."""
    team = f", {plan['team']}" if plan["team"] else ""
    lines = [f"Coaching plan for {plan['agent_id']}{team}: {plan['conversations']} contacts"]
    if profile["status"] != "ok":
        return f"{lines[0]}\nToo few contacts to judge. Review them together."
    if profile["strengths"]:
        lines += ["", "Build on"]
        lines += [f"- {heading(one['skill'])}: {one['reason']}" for one in profile["strengths"]]
    if not plan["work_on"]:
        lines += ["", NO_WEAKNESS]
    for step in plan["work_on"]:
        lines += ["", f"{step['rank']}. {heading(step['skill'])}: {step['reason']}", f"   Do: {step['action']}"]
        if effect := step["expected_effect"]:
            lines.append(f"   Expected effect: {effect_text(effect)}")
        lines += [f"   Your contact {_cite(one)}" for one in step["own"]]
        if "advice" in step:
            advice = step["advice"]
            lines.append(
                f"   Advice on {advice['conversation']} [T{advice['turn']}], written by a model: {advice['action']} "
                f"Expected outcome: {advice['expected_outcome']}"
            )
        lines += [f"   Contact of {one['agent']}: {_cite(one)}" for one in step["peers"]]
        if not step["peers"]:
            lines.append("   No colleague is clearly strong in this skill.")
    return "\n".join(lines)


def _advice(
    conversation: Conversation, priority: Priority, skill: Skill | None, write: Write
) -> tuple[Advice | None, str | None]:
    """A model's recommendation, or the name of the check that it failed."""
    turns = agent_turns(conversation)
    try:
        written = write(conversation, priority, turns)
    except ValueError:
        return None, "complete"
    action, outcome, turn = str(written["action"]).strip(), str(written["expected_outcome"]).strip(), written["turn"]
    if turn not in turns:
        return None, "cites_existing_turns"
    if not (_is_in_words(action) and _is_in_words(outcome)):
        return None, "in_words"
    if not _is_one_action(action):
        return None, "one_action_each"
    if _share(action, priority["action"]) >= SAME_ACTION:
        return None, "not_copied"
    if _is_spoken(action, conversation) or (skill and already_done(conversation, skill)):
        return None, "not_already_done"
    return Advice(
        conversation=conversation.id,
        turn=turn,
        quote=_short(conversation.turns[turn - 1].text),
        action=action,
        expected_outcome=outcome,
    ), None


def _is_one_action(action: str) -> bool:
    """Whether a text is one line with one sentence."""
    body = action.strip().rstrip(".!?")
    return "\n" not in body and not any(mark in body for mark in (". ", "! ", "? ", "; "))


def _is_in_words(text: str) -> bool:
    """Whether a text has different words, and is no loop of one word and no string of signs.

    Limits set by hand: a loop has few different words for its length.
    """
    words = [word for word in _split(text) if word.isalpha()]
    return len(set(words)) >= 3 and len(set(words)) >= 0.4 * len(_split(text))


def _is_spoken(action: str, conversation: Conversation) -> bool:
    """Whether the agent says most of an action's longer words in one turn."""
    return any(turn.role == "agent" and _share(action, turn.text) >= SAME_ACTION for turn in conversation.turns)


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
    """Contacts of colleagues most like the agent's own: first by issue and queue, then by the customer's words."""
    candidates = [
        (peer, conversations[name])
        for peer, names in _peers(profiles, agent, priority["skill"])
        for name in names
        if name in conversations
    ]
    issues, queues = {one.label("issue") for one in own} - {None}, {one.queue for one in own} - {None}

    def shared(one: Conversation) -> int:
        return 2 * (one.label("issue") in issues) + (one.queue in queues)

    examples: list[Example] = []
    for level in (3, 2, 1, 0):
        tier = [(peer, one) for peer, one in candidates if shared(one) == level]
        similarity = _similarity([one for _, one in tier], own)
        ranked = sorted(zip(similarity, tier, strict=True), key=lambda pair: (-pair[0], pair[1][1].id))
        for _, (peer, one) in ranked:
            example = _example(peer, one, measure)
            if example and len(examples) < PEER_CONTACTS and peer not in {shown["agent"] for shown in examples}:
                examples.append(example)
        if len(examples) == PEER_CONTACTS:
            break
    return examples


def _similarity(candidates: Sequence[Conversation], own: Sequence[Conversation]) -> list[float]:
    """Per candidate, the largest TF-IDF cosine between its customer's words and those in one of `own`."""
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
    shows = skill_turn(conversation, measure)
    if shows is None:
        return None
    return Example(agent=agent, conversation=conversation.id, turn=shows.turn, quote=_short(shows.quote), why=shows.why)


def _short(quote: str) -> str:
    flat = " ".join(quote.split())
    return flat if len(flat) <= QUOTE_CHARACTERS else flat[: QUOTE_CHARACTERS - 1].rstrip() + "…"


def _cite(example: Example) -> str:
    return f"{example['conversation']} [T{example['turn']}] ({example['why']}): “{example['quote']}”"


def _nearest(agent: str, profiles: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(agent, profiles, 1, 0.6)
    return f"Did you mean {close[0]!r}?" if close else "agent_profiles.json lists them."
