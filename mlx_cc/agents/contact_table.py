"""A table of contacts, made in one pass: a row per contact that counts for one agent, with measures and case mix."""

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
    "flag": "share of the agent's contacts with a resolution label that are labelled resolved and that no other "
    "contact in the same data names as its previous contact; partial counts as not resolved",
    "survey": "as flag, but only contacts whose resolution label comes from a customer survey",
    "repeat": "share of the agent's contacts with a known customer after which the same customer made no other "
    "contact about the same issue (about any issue, where one of the two has no issue label) within {days} days. The "
    "last {days} days of the data are left out, because what follows them is unknown. A proxy: customers also give up",
}
"""Definitions of first-contact resolution; `auto` is flag where any contact has the label, else repeat."""


class ContactTable(NamedTuple):
    """One row per contact that counts for one agent."""

    agents: list[str]
    agent: np.ndarray
    """int (rows,): index into `agents`."""
    teams: list[Counter[str]]
    """Per agent: team -> contacts."""
    queues: list[Counter[str]]
    """Per agent: queue -> contacts."""
    ids: list[str]
    """Conversation id of each row."""
    columns: dict[str, np.ndarray]
    """Measure -> float64 (rows,), NaN where the contact has no value."""
    factors: dict[str, tuple[list[str], np.ndarray]]
    """`queue`, `issue` and `followup` -> names of its levels, and int (rows,) index of the level; 0 is unknown."""
    log_wait: np.ndarray
    """float64 (rows,): log(1 + minutes in queue), NaN where unknown."""
    started_s: np.ndarray
    """float64 (rows,): seconds since 1970, NaN where unknown."""
    day: np.ndarray
    """int (rows,): ordinal of the date at the site (UTC where its zone is unknown), 0 where unknown."""
    fcr_method: str
    """The definition of first-contact resolution that was used."""
    left_out: dict[str, int]
    """Reason -> conversations that count for no agent."""
    sources: dict[str, dict[str, int]]
    """Label -> its source -> conversations."""

    def rows_of(self) -> list[np.ndarray]:
        """Rows of each agent, as int arrays, in the order of `agents`."""
        counts = np.bincount(self.agent, minlength=len(self.agents))
        return np.split(np.argsort(self.agent, kind="stable"), np.cumsum(counts)[:-1])


class AgentMoments(NamedTuple):
    """Moments of one column by agent, each float64 (agents,)."""

    n: np.ndarray
    mean: np.ndarray
    """NaN for an agent without values."""
    squares: np.ndarray
    """Sum of squared deviations from the agent's mean."""


class _Levels:
    """A column of names, kept as numbers in order of first appearance; 0 is unknown."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}
        self.column = array("q")

    def add(self, name: str | None) -> None:
        self.column.append(self.numbers.setdefault(name or "", len(self.numbers)))

    def taken(self, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        return list(self.numbers), np.array(self.column, dtype=np.int64)[rows]


class _Columns:
    """The columns while they are filled, one value per conversation."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        """Agent id -> its number."""
        self.teams: list[Counter[str]] = []
        self.queues: list[Counter[str]] = []
        self.agent, self.day, self.started_s, self.log_wait = array("q"), array("q"), array("d"), array("d")
        self.queue, self.issue, self.followup, self.customer = _Levels(), _Levels(), _Levels(), _Levels()
        self.ids: list[str] = []
        self.measures = {name: array("d") for name in MEASURES}
        self.from_survey = array("b")
        self.followed: set[str] = set()
        """Ids that another contact names as its previous one."""
        self.left_out: Counter[str] = Counter()
        self.sources: dict[str, Counter[str]] = {}

    def add(self, conversation: Conversation) -> None:
        if conversation.previous_contact_id is not None and conversation.previous_contact_id != conversation.id:
            self.followed.add(conversation.previous_contact_id)
        self.ids.append(conversation.id)
        self._add_circumstances(conversation)
        resolution = conversation.labels.get("resolution")
        self.from_survey.append(resolution is not None and resolution.source == "survey")
        agent = agent_of(conversation)
        if agent is None:
            self.agent.append(-1)
            reason = "several agents, and turns don't say who spoke" if conversation.agents else "no agent named"
            self.left_out[reason] += 1
            for column in self.measures.values():
                column.append(nan)
            return
        number = self.index.setdefault(agent, len(self.index))
        self.agent.append(number)
        if number == len(self.teams):
            self.teams.append(Counter())
            self.queues.append(Counter())
        if conversation.team is not None:
            self.teams[number][conversation.team] += 1
        if conversation.queue is not None:
            self.queues[number][conversation.queue] += 1
        for name, measure in MEASURES.items():
            value = measure.value_of(conversation)
            self.measures[name].append(nan if value is None else value)
        for name, label in conversation.labels.items():
            self.sources.setdefault(name, Counter())[label.source] += 1

    def _add_circumstances(self, conversation: Conversation) -> None:
        started, issue, is_followup = conversation.started_at, conversation.label("issue"), conversation.is_followup
        self.started_s.append(nan if started is None else started.timestamp())
        self.day.append(_day(conversation))
        self.log_wait.append(nan if conversation.queue_wait_s is None else log1p(conversation.queue_wait_s / 60))
        self.customer.add(conversation.customer_id)
        self.queue.add(conversation.queue)
        self.issue.add(issue if isinstance(issue, str) else None)
        self.followup.add(None if is_followup is None else str(is_followup))

    def first_contact_resolution(self, fcr: Fcr, repeat_days: int) -> tuple[str, np.ndarray]:
        """The definition that was used, and 1, 0 or NaN for every conversation."""
        labelled = np.array(self.measures["fcr"])
        came_back = np.fromiter((id in self.followed for id in self.ids), bool, len(self.ids))
        labelled[came_back & ~np.isnan(labelled)] = 0.0
        if fcr == "auto":
            fcr = "repeat" if np.isnan(labelled).all() else "flag"
        if fcr == "survey":
            labelled[~np.array(self.from_survey, dtype=bool)] = nan
        elif fcr == "repeat":
            rows = np.arange(len(self.ids))
            customer, issue = self.customer.taken(rows)[1], self.issue.taken(rows)[1]
            labelled = _not_repeated(customer, issue, np.array(self.started_s), repeat_days)
        return FCR_METHODS[fcr].format(days=repeat_days), labelled


def tabulate(conversations: Iterable[Conversation], fcr: Fcr = "auto", repeat_days: int = 7) -> ContactTable:
    """Make the table in one pass over conversations, which may be a stream.

    Args:
        fcr: definition of first-contact resolution, see `FCR_METHODS`.
        repeat_days: window in which another contact counts as a repeat.
    """
    columns = _Columns()
    for conversation in conversations:
        columns.add(conversation)
    agent = np.array(columns.agent, dtype=np.int64)
    kept = np.flatnonzero(agent >= 0)
    measures = {name: np.array(column)[kept] for name, column in columns.measures.items()}
    fcr_method, resolved = columns.first_contact_resolution(fcr, repeat_days)
    measures["fcr"] = resolved[kept]
    measures["quality_deviation"] = quality_deviation(agent[kept], measures["quality"], len(columns.index))
    return ContactTable(
        agents=list(columns.index),
        agent=agent[kept],
        teams=columns.teams,
        queues=columns.queues,
        ids=[columns.ids[row] for row in kept],
        columns=measures,
        factors={name: getattr(columns, name).taken(kept) for name in ("queue", "issue", "followup")},
        log_wait=np.array(columns.log_wait)[kept],
        started_s=np.array(columns.started_s)[kept],
        day=np.array(columns.day, dtype=np.int64)[kept],
        fcr_method=fcr_method,
        left_out=dict(columns.left_out),
        sources={name: dict(sorted(counts.items())) for name, counts in sorted(columns.sources.items())},
    )


def agent_of(conversation: Conversation) -> str | None:
    """The agent a conversation counts for; None when it names none, or several and turns don't say who spoke."""
    words: Counter[str] = Counter()
    for turn in conversation.turns:
        if turn.agent_id is not None:
            words[turn.agent_id] += len(turn.text.split())
    if len(conversation.agents) == 1:
        return conversation.agents[0]
    return min(words, key=lambda name: (-words[name], name), default=None)


def quality_deviation(agent: np.ndarray, quality: np.ndarray, agents: int) -> np.ndarray:
    """|quality - the agent's mean| in points, float64 (rows,); NaN for agents with one contact.

    Times sqrt(n / (n - 1)): the mean is taken from the same contacts, so plain deviations come out too small.
    """
    n, mean, _ = moments_by_agent(agent, quality, agents)
    with np.errstate(divide="ignore", invalid="ignore"):
        correction = np.where(n > 1, np.sqrt(n / (n - 1)), nan)
    return np.abs(quality - mean[agent]) * correction[agent]


def moments_by_agent(agent: np.ndarray, column: np.ndarray, agents: int) -> AgentMoments:
    """Moments of a column, float64 (rows,), by agent; NaN values are left out."""
    has_value = ~np.isnan(column)
    agent, column = agent[has_value], column[has_value]
    n = np.bincount(agent, minlength=agents).astype(float)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(agent, column, minlength=agents) / n
    return AgentMoments(n, mean, np.bincount(agent, (column - mean[agent]) ** 2, minlength=agents))


def _day(conversation: Conversation) -> int:
    if conversation.temporal is not None and conversation.temporal.date is not None:
        return date.fromisoformat(conversation.temporal.date).toordinal()
    return 0 if conversation.started_at is None else conversation.started_at.toordinal()


def _not_repeated(customer: np.ndarray, issue: np.ndarray, started_s: np.ndarray, days: int) -> np.ndarray:
    """1 where no contact of the same customer and issue followed within `days`, 0 where one did, NaN where unknown."""
    resolved = np.full(len(customer), nan)
    dated = np.flatnonzero((customer > 0) & ~np.isnan(started_s))
    if not len(dated):
        return resolved
    window_s = days * 86400.0
    resolved[dated[started_s[dated] <= started_s[dated].max() - window_s]] = 1.0
    order = dated[np.lexsort((started_s[dated], customer[dated]))]
    for first in range(len(order) - 1):
        row = order[first]
        for later in order[first + 1 :]:
            if customer[later] != customer[row] or started_s[later] - started_s[row] > window_s:
                break
            if not issue[row] or not issue[later] or issue[row] == issue[later]:
                resolved[row] = 0.0
                break
    return resolved
