"""One pass over conversations: a row for each that counts for one agent, with what it says and what it was about."""

from array import array
from collections import Counter
from collections.abc import Iterable
from datetime import date
from math import log1p, nan
from typing import Literal, NamedTuple

import numpy as np

from mlx_cc.agents.measures import MEASURES
from mlx_cc.conversation import Conversation

Fcr = Literal["auto", "flag", "survey", "repeat"]

FCR_METHODS = {
    "flag": "of the agent's contacts with a resolution label, the share resolved and that no other contact in "
    "the same data names as its previous contact; partial counts as not resolved",
    "survey": "as by flag, of contacts whose resolution label comes from a survey of the customer",
    "repeat": "of the agent's contacts with a known customer, the share after which the same customer had no other "
    "contact about the same issue (about anything, where one of the two has no issue label) within {days} days; the "
    "last {days} days of the data are left out, for what follows them is not known. A proxy: customers also give up",
}
"""How first-contact resolution is told; `auto` is flag where any contact has the label, else repeat."""


class Table(NamedTuple):
    """What one pass over conversations keeps: a row per conversation that counts for one agent."""

    agents: list[str]
    agent: np.ndarray
    """int (rows,): index into `agents`."""
    teams: list[Counter[str]]
    queues: list[Counter[str]]
    ids: list[str]
    columns: dict[str, np.ndarray]
    """Measure -> float64 (rows,), NaN where the conversation says nothing."""
    factors: dict[str, tuple[list[str], np.ndarray]]
    """`queue`, `issue` and `followup` -> its levels and int (rows,) of them; level 0 is unknown."""
    wait: np.ndarray
    """float64 (rows,): log(1 + minutes in queue), NaN where unknown."""
    started: np.ndarray
    """float64 (rows,): seconds since 1970, NaN where unknown."""
    day: np.ndarray
    """int (rows,): ordinal of the date at the site (UTC where its zone is unknown), 0 where unknown."""
    fcr: str
    """Which of `FCR_METHODS` was used."""
    fcr_method: str
    left_out: dict[str, int]
    """Reason -> conversations that count for nobody."""
    sources: dict[str, dict[str, int]]
    """Label -> its source -> conversations."""

    def rows_of(self) -> list[np.ndarray]:
        """Rows of each agent, as int arrays, in the order of `agents`."""
        counts = np.bincount(self.agent, minlength=len(self.agents))
        return np.split(np.argsort(self.agent, kind="stable"), np.cumsum(counts)[:-1])


class _Levels:
    """Names numbered in the order they come; 0 is unknown."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}
        self.column = array("q")

    def add(self, name: str | None) -> None:
        self.column.append(self.numbers.setdefault(name or "", len(self.numbers)))

    def taken(self, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        return list(self.numbers), np.array(self.column, dtype=np.int64)[rows]


def tabulate(conversations: Iterable[Conversation], fcr: Fcr = "auto", repeat_days: int = 7) -> Table:
    """One pass over conversations, which may be a stream.

    Args:
        fcr: how first-contact resolution is told, see `FCR_METHODS`.
        repeat_days: window in which another contact is a repeat.
    """
    index: dict[str, int] = {}
    teams: list[Counter[str]] = []
    queues: list[Counter[str]] = []
    agent, day, started, wait = array("q"), array("q"), array("d"), array("d")
    queue, issue, followup, customer = _Levels(), _Levels(), _Levels(), _Levels()
    ids: list[str] = []
    columns = {name: array("d") for name in MEASURES}
    from_survey = array("b")
    followed: set[str] = set()
    left_out: Counter[str] = Counter()
    sources: dict[str, Counter[str]] = {}
    for conversation in conversations:
        if conversation.previous_contact_id is not None and conversation.previous_contact_id != conversation.id:
            followed.add(conversation.previous_contact_id)
        who = agent_of(conversation)
        agent.append(-1 if who is None else index.setdefault(who, len(index)))
        at = conversation.started_at
        started.append(nan if at is None else at.timestamp())
        customer.add(conversation.customer_id)
        named = conversation.label("issue")
        issue.add(named if isinstance(named, str) else None)
        ids.append(conversation.id)
        queue.add(conversation.queue)
        back = conversation.is_followup
        followup.add(None if back is None else str(back))
        wait.append(nan if conversation.queue_wait_s is None else log1p(conversation.queue_wait_s / 60))
        day.append(_day(conversation))
        resolution = conversation.labels.get("resolution")
        from_survey.append(resolution is not None and resolution.source == "survey")
        if who is None:
            left_out["several agents, and turns don't say who spoke" if conversation.agents else "no agent named"] += 1
            for column in columns.values():
                column.append(nan)
            continue
        place = agent[-1]
        if place == len(teams):
            teams.append(Counter())
            queues.append(Counter())
        if conversation.team is not None:
            teams[place][conversation.team] += 1
        if conversation.queue is not None:
            queues[place][conversation.queue] += 1
        for name, measure in MEASURES.items():
            value = measure.of(conversation)
            columns[name].append(nan if value is None else value)
        for name, label in conversation.labels.items():
            sources.setdefault(name, Counter())[label.source] += 1

    agents = np.array(agent, dtype=np.int64)
    kept = np.flatnonzero(agents >= 0)
    table = {name: np.array(column)[kept] for name, column in columns.items()}
    times = np.array(started)
    came_back = np.fromiter((ids[row] in followed for row in kept), bool, len(kept))
    table["fcr"][came_back & ~np.isnan(table["fcr"])] = 0.0
    if fcr == "auto":
        fcr = "repeat" if np.isnan(table["fcr"]).all() else "flag"
    if fcr == "survey":
        table["fcr"][~np.array(from_survey, dtype=bool)[kept]] = nan
    elif fcr == "repeat":
        everyone = np.arange(len(agents))
        table["fcr"] = _not_repeated(customer.taken(everyone)[1], issue.taken(everyone)[1], times, repeat_days)[kept]
    table["quality_deviation"] = deviation(agents[kept], table["quality"], len(index))
    return Table(
        agents=list(index),
        agent=agents[kept],
        teams=teams,
        queues=queues,
        ids=[ids[row] for row in kept],
        columns=table,
        factors={"queue": queue.taken(kept), "issue": issue.taken(kept), "followup": followup.taken(kept)},
        wait=np.array(wait)[kept],
        started=times[kept],
        day=np.array(day, dtype=np.int64)[kept],
        fcr=fcr,
        fcr_method=FCR_METHODS[fcr].format(days=repeat_days),
        left_out=dict(left_out),
        sources={name: dict(sorted(counts.items())) for name, counts in sorted(sources.items())},
    )


def agent_of(conversation: Conversation) -> str | None:
    """Whom a conversation counts for; None when it names nobody, or several without saying who spoke."""
    spoken: Counter[str] = Counter()
    for turn in conversation.turns:
        if turn.agent_id is not None:
            spoken[turn.agent_id] += len(turn.text.split())
    if len(conversation.agents) == 1:
        return conversation.agents[0]
    return min(spoken, key=lambda name: (-spoken[name], name), default=None)


def deviation(agent: np.ndarray, quality: np.ndarray, agents: int) -> np.ndarray:
    """|quality - the agent's mean|, in points, corrected for the mean being the agent's own; NaN when n < 2."""
    n, mean, _ = moments(agent, quality, agents)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = np.where(n > 1, np.sqrt(n / (n - 1)), nan)
    return np.abs(quality - mean[agent]) * corrected[agent]


def moments(agent: np.ndarray, column: np.ndarray, agents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n, mean and sum of squared deviations of each agent's values, each (agents,); the mean of none is NaN."""
    known = ~np.isnan(column)
    agent, column = agent[known], column[known]
    n = np.bincount(agent, minlength=agents).astype(float)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(agent, column, minlength=agents) / n
    return n, mean, np.bincount(agent, (column - mean[agent]) ** 2, minlength=agents)


def _day(conversation: Conversation) -> int:
    if conversation.temporal is not None and conversation.temporal.date is not None:
        return date.fromisoformat(conversation.temporal.date).toordinal()
    return 0 if conversation.started_at is None else conversation.started_at.toordinal()


def _not_repeated(customer: np.ndarray, issue: np.ndarray, started: np.ndarray, days: int) -> np.ndarray:
    """1 where no contact of the same customer and issue followed within so many days, 0 where one did, else NaN."""
    found = np.full(len(customer), nan)
    known = np.flatnonzero((customer > 0) & ~np.isnan(started))
    if not len(known):
        return found
    window = days * 86400.0
    found[known[started[known] <= started[known].max() - window]] = 1.0
    order = known[np.lexsort((started[known], customer[known]))]
    for first in range(len(order) - 1):
        row = order[first]
        for later in order[first + 1 :]:
            if customer[later] != customer[row] or started[later] - started[row] > window:
                break
            if not issue[row] or not issue[later] or issue[row] == issue[later]:
                found[row] = 0.0
                break
    return found
