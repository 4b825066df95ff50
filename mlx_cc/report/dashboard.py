"""The dashboard's data: conversations, agents and answers as compact columns, transcripts in packed parts.

The page computes every figure itself from these columns, so that filters apply to all of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from math import isinf
from typing import Any, NamedTuple

from mlx_cc.agents.measures import MEASURES, number_of
from mlx_cc.answers import Answers
from mlx_cc.centre import Skill
from mlx_cc.conversation import Conversation, Reasoning
from mlx_cc.report.facts import Agents, Facts
from mlx_cc.tasks import SKILLS, Answer, Task, all_tasks

PART = 64
"""Conversations whose transcripts are packed together; opening one unpacks its part alone."""
EXCERPT = 90
"""Characters of the customer's first words that a list shows."""
EPOCH = date(1970, 1, 1)


class Dashboard(NamedTuple):
    """All the page holds, ready to be written as JSON; ids stay readable, the rest is packed."""

    ids: list[str]
    meta: dict[str, Any]
    table: dict[str, Any]
    agents: dict[str, Any]
    excerpts: list[str]
    parts: list[list[dict[str, Any]]]
    """Transcripts with labels and answers, `PART` conversations each; empty where they were left out."""


class _Codes(dict[str, int]):
    """Texts in order of first use, each with its number."""

    def of(self, text: str | None) -> int:
        return -1 if text is None else self.setdefault(text, len(self))


def build(
    facts: Iterable[Facts],
    agents: Agents,
    answers: Mapping[str, Answers],
    *,
    skills: Mapping[str, Skill],
    title: str,
    source: str,
    now: datetime,
    texts: int | None = None,
) -> Dashboard:
    """Everything the page needs, conversations in order of time.

    Args:
        answers: conversation id -> what a model answered.
        skills: the centre's, by name.
        source: the input in words, for the page's foot.
        texts: of how many conversations, the latest, the transcript is kept; None keeps all.
    """
    rows = sorted(facts, key=lambda fact: fact.conversation.started_at or datetime.min.replace(tzinfo=UTC))
    place = {fact.conversation.id: number for number, fact in enumerate(rows)}
    first_text = 0 if texts is None else max(0, len(rows) - texts)
    shown = [task for task in all_tasks().values() if task.answers and task.parts]
    classes = [part.column for task in shown for part in task.parts if part.column and not task.scale]
    codes = {name: _Codes() for name in ("agent", "team", "queue", "language", "channel", *classes)}
    table: dict[str, list[Any]] = {}
    for fact in rows:
        answer = answers.get(fact.conversation.id)
        for name, value in _row(fact, answer, shown, codes, place).items():
            table.setdefault(name, []).append(value)
    return Dashboard(
        ids=[fact.conversation.id for fact in rows],
        meta={
            **_meta(rows, agents, answers, place, title, source, now, len(rows) - first_text),
            "tasks": [_task(task) for task in shown],
        },
        table={"columns": table, "names": {name: list(found) for name, found in codes.items()}},
        agents=_agents(agents, skills),
        excerpts=[_excerpt(fact.conversation) if n >= first_text else "" for n, fact in enumerate(rows)],
        parts=[
            [
                _transcript(fact, answers.get(fact.conversation.id)) if n >= first_text else {}
                for n, fact in enumerate(rows[start : start + PART], start)
            ]
            for start in range(0, len(rows), PART)
        ]
        if texts != 0
        else [],
    )


def _row(
    fact: Facts,
    answer: Answers | None,
    tasks: Sequence[Task],
    codes: Mapping[str, _Codes],
    place: Mapping[str, int],
) -> dict[str, Any]:
    conversation, temporal = fact.conversation, fact.temporal
    row = {
        "agent": codes["agent"].of(fact.agent),
        "team": codes["team"].of(conversation.team),
        "queue": codes["queue"].of(conversation.queue),
        "language": codes["language"].of(conversation.language),
        "channel": codes["channel"].of(conversation.channel),
        "day": _day(fact),
        "hour": temporal.hour,
        "wait": temporal.queue_wait_seconds,
        "handle": fact.handle_time_s,
        "talk": None if fact.talk_ratio is None else round(fact.talk_ratio, 4),
        "fcr": None if fact.fcr is None else int(fact.fcr),
        "previous": place.get(conversation.previous_contact_id or "", -1),
        **{skill: number_of(conversation, skill) for skill in SKILLS},
        "review": int(answer is not None and answer.needs_review),
    }
    for task in tasks:
        label, said = conversation.label(task.name), answer.by_task.get(task.name) if answer else None
        if task.scale and task.number:
            row[task.name] = number_of(conversation, task.name)
            row[f"said_{task.name}"] = task.number(said.value) if said else None
            continue
        for part in task.parts:
            if part.column:
                given = Answer(task.value(label)) if label is not None else None
                for column, one in ((part.column, given), (f"said_{part.column}", said)):
                    row[column] = codes[part.column].of(_text(part.of(one)) if one else None)
    return row


def _task(task: Task) -> dict[str, Any]:
    """A task as the page knows it: its words, its scale or the columns of its classes."""
    scale = None
    if found := task.scale:
        bounds = {name: bound._asdict() for name in ("concern", "good") if (bound := getattr(found, name))}
        scale = {"low": found.low, "high": found.high, "better": found.better, "digits": found.digits, **bounds}
    columns = [part.column for part in task.parts if part.column]
    return {"name": task.name, "words": task.words, "scale": scale, "columns": columns}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _day(fact: Facts) -> int | None:
    """Days since 1970 on the site's calendar; in UTC where the site's zone is not known."""
    if fact.temporal.date is not None:
        return (date.fromisoformat(fact.temporal.date) - EPOCH).days
    started = fact.conversation.started_at
    return None if started is None else (started.astimezone(UTC).date() - EPOCH).days


def _meta(
    rows: Sequence[Facts],
    agents: Agents,
    answers: Mapping[str, Answers],
    place: Mapping[str, int],
    title: str,
    source: str,
    now: datetime,
    texts: int,
) -> dict[str, Any]:
    sources: dict[str, Counter[str]] = {}
    zones: Counter[str] = Counter()
    for fact in rows:
        for name, label in fact.conversation.labels.items():
            sources.setdefault(name, Counter())[label.source] += 1
        if fact.temporal.hour is not None:
            zones[fact.conversation.timezone or "the centre's zone"] += 1
    return {
        "title": title,
        "source": source,
        "made": now.strftime("%Y-%m-%d %H:%M"),
        "sources": sources,
        "zones": dict(zones.most_common()),
        "texts": texts,
        "part": PART,
        "unredacted": sum(not (f.conversation.provenance and f.conversation.provenance.redacted) for f in rows),
        "answers": sum(name in place for name in answers),
        "answers_elsewhere": sum(name not in place for name in answers),
        "models": sorted({answer.model for answer in answers.values() if answer.model}),
        "profiles": agents.origin,
    }


def _agents(agents: Agents, skills: Mapping[str, Skill]) -> dict[str, Any]:
    """Profiles as the page shows them: without week-by-week trends, which the page computes from the conversations."""
    kept = ("team", "queue", "status", "conversations", "metrics", "strengths", "weaknesses", "coaching_priorities")
    return {
        "profiles": {
            name: {
                **{key: profile[key] for key in kept if key in profile},
                "changes": (profile.get("trend") or {}).get("changes", []),
            }
            for name, profile in agents.profiles.items()
        },
        "groups": agents.clusters.get("groups", {}),
        "assignments": agents.clusters["assignments"],
        "silhouette": agents.clusters.get("silhouette"),
        "stability": agents.clusters.get("stability"),
        "centre": agents.summary["centre"],
        "least": agents.summary.get("min_conversations", 5),
        "methods": {**agents.summary.get("methods", {}), "groups": agents.clusters.get("method", "")},
        "measures": {
            name: {
                "words": measure.words,
                "share": measure.is_share,
                "unit": measure.unit,
                "low": _end(measure.low),
                "high": _end(measure.high),
            }
            for name, measure in MEASURES.items()
        },
        "skills": {name: {"measure": skill.measure, "better": skill.sign} for name, skill in skills.items()},
    }


def _end(number: float) -> float | None:
    return None if isinf(number) else number


def _excerpt(conversation: Conversation) -> str:
    """The customer's first words that say something."""
    said = [" ".join(turn.text.split()) for turn in conversation.turns if turn.role == "customer"]
    text = next((words for words in said if len(words) > 40), max(said, key=len, default=""))
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1].rstrip() + "…"


def _transcript(fact: Facts, answer: Answers | None) -> dict[str, Any]:
    """What a conversation's own page shows."""
    conversation = fact.conversation
    order = {name: number for number, name in enumerate([*all_tasks(), *SKILLS])}
    started = conversation.started_at
    facts = {
        "started": None if started is None else started.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
        "local": fact.temporal.timestamp if fact.temporal.hour is not None else None,
        "zone": conversation.timezone,
        "platform": conversation.platform,
        "disposition": conversation.disposition,
        "flags": list(conversation.flags),
    }
    return {
        "facts": {name: value for name, value in facts.items() if value},
        "turns": [[turn.role, turn.text, turn.start_s, turn.agent_id] for turn in conversation.turns],
        "labels": {
            name: [label.value, label.source]
            for name, label in sorted(conversation.labels.items(), key=lambda named: order.get(named[0], len(order)))
        },
        "chain": _chain(conversation.reasoning),
        "answer": None if answer is None else _answer(answer),
    }


def _chain(reasoning: Reasoning | None) -> dict[str, Any] | None:
    if reasoning is None:
        return None
    return {"by": reasoning.model, "text": [reasoning.thinking, reasoning.analysis, reasoning.insights]}


def _answer(answers: Answers) -> dict[str, Any]:
    chain = answers.reasoning or {}
    found = {
        name: {
            "values": [part.of(answer) for part in all_tasks()[name].parts if part.column],
            "confidence": answer.confidence,
            "interval": answer.interval,
            "likely": answer.likely,
        }
        for name, answer in answers.by_task.items()
        if all_tasks()[name].answers
    }
    parts = [str(chain[name]) for name in ("thinking", "analysis", "insights") if chain.get(name)]
    coaching = answers.by_task.get("coaching")
    return {
        "tasks": found,
        "coaching": coaching.value if coaching else [],
        "needs_review": answers.needs_review,
        "review": answers.review,
        "model": answers.model,
        "chain": {"by": answers.model or "model", "text": parts} if parts else None,
    }
