"""Agent fingerprints: what the labels of an agent's contacts say, with n, interval and evidence."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from math import isnan, nan, sqrt
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

import numpy as np

from mlx_cc.agents.coaching import Finding, Priority, priorities
from mlx_cc.agents.measures import MEASURES, SKILLS, Measure, Skill
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.metrics import wilson

INPUTS = ("data/train_temporal.jsonl", "data/train_chatml.jsonl")
"""What `compute_agent_profiles` reads when it is given nothing: the first that exists."""
FEWEST_AGENTS = 4
"""Fewer agents than this with enough data are no distribution to judge anyone against."""
EVIDENCE = 3
Z95 = 1.959964
NOT_ENOUGH = "not enough data"


class Estimate(TypedDict):
    """One metric of one agent. Value, interval and shrunk value are None below the minimum n."""

    value: float | None
    n: int
    low: float | None
    high: float | None
    """95% interval of the value; None where one observation gives none."""
    shrunk: float | None
    """The value drawn toward the centre's mean, the more the fewer the contacts."""
    method: NotRequired[str]


class Profile(TypedDict):
    """The fingerprint of one agent, as it stands in agent_profiles.json."""

    agent_id: str
    team: str | None
    """The team most of the agent's contacts name."""
    status: str
    """`ok`, or `not enough data`."""
    conversations: int
    metrics: dict[str, Estimate]
    strengths: list[Finding]
    weaknesses: list[Finding]
    coaching_priorities: list[Priority]


METHODS = {
    **{name: measure.method for name, measure in MEASURES.items()},
    "interval": "95%: Student's t for means, Wilson for shares; cut at the ends of the scale",
    "shrunk": "empirical Bayes: m + B (value - m), B = t2 / (t2 + s2 / n); s2 pooled variance within agents, t2 "
    "variance between agents (DerSimonian and Laird 1986), m the centre's mean under both",
    "skills": "a strength (weakness) is a shrunk value in the best (worst) quarter of the centre's agents whose 95% "
    "posterior interval, shrunk +- 1.96 sqrt(B s2 / n), lies wholly on that side of the centre's mean; handle time "
    "does not count where resolution is in the opposite quarter",
    "agents": "a contact with several agents counts for the one who spoke most words, and for nobody when turns don't "
    "say who spoke",
}


class Table(NamedTuple):
    """What one pass over conversations keeps: a row per conversation that counts for one agent."""

    agents: list[str]
    agent: np.ndarray
    """int (rows,): index into `agents`."""
    teams: list[Counter[str]]
    ids: list[str]
    columns: dict[str, np.ndarray]
    """Measure -> float64 (rows,), NaN where the conversation says nothing."""
    left_out: dict[str, int]
    """Reason -> conversations that count for nobody."""
    sources: dict[str, dict[str, int]]
    """Label -> its source -> conversations."""


class Spread(NamedTuple):
    """How one measure lies over the centre's agents; what `fit` learns."""

    mean: float
    between: float
    """Variance between agents (t2)."""
    within: float
    """Pooled variance of one conversation within an agent (s2)."""
    lower: float
    upper: float
    """Quartiles of the agents' shrunk values."""
    agents: int
    """Agents with enough data."""

    def shrink(self, value: float, n: float) -> tuple[float, float]:
        """The shrunk value and its posterior standard deviation."""
        if not self.between:
            return self.mean, 0.0
        weight = self.between / (self.between + self.within / n)
        return self.mean + weight * (value - self.mean), sqrt(weight * self.within / n)


class AgentFingerprinter:
    """Learns how a centre's agents differ and profiles each against the others.

    `fit` learns the centre (`centre_`, measure -> `Spread`), `transform` profiles agents against it,
    `compute_agent_profiles` does both on the same conversations.

    Args:
        min_conversations: an estimate that rests on fewer contacts is not given.
    """

    def __init__(self, min_conversations: int = 5) -> None:
        if min_conversations < 2:
            raise UserError(f"min_conversations is {min_conversations}; an interval needs at least 2.")
        self.min_conversations = min_conversations

    def fit(self, conversations: Iterable[Conversation]) -> Self:
        """Learn the centre's distribution of every measure from conversations, streamed once."""
        self._learn(tabulate(conversations))
        return self

    def transform(self, conversations: Iterable[Conversation]) -> dict[str, Profile]:
        """Agent id -> profile, in order of id, judged against the centre that was fitted."""
        return self._profiles(tabulate(conversations))

    def compute_agent_profiles(
        self, conversations: Iterable[Conversation] | Path | str | None = None
    ) -> dict[str, Profile]:
        """Learn the centre and profile its agents from the same conversations.

        Args:
            conversations: conversations, or a file of them; None reads the first of `INPUTS`.

        Raises:
            UserError: there is no such file, or a label is not what it should be.
        """
        if conversations is None:
            found = next((path for path in INPUTS if Path(path).exists()), None)
            if found is None:
                raise UserError(f"neither {' nor '.join(INPUTS)} is here. Run `mlx_cc prepare`, or pass conversations.")
            conversations = found
        if isinstance(conversations, str | Path):
            conversations = read_conversations(conversations)
        table = tabulate(conversations)
        self._learn(table)
        return self._profiles(table)

    def cluster_agents(self, profiles: dict[str, Profile], n_clusters: int = 5) -> dict[str, Any]:
        """Groups of agents with like profiles; see `mlx_cc.agents.clusters.cluster`."""
        from mlx_cc.agents.clusters import cluster

        return cluster(profiles, n_clusters)

    def summary(self, profiles: dict[str, Profile]) -> dict[str, Any]:
        """The centre in numbers, as it stands in agent_summary.json: counts, distributions, methods."""
        return {
            "agents": len(profiles),
            "agents_with_enough_data": sum(profile["status"] == "ok" for profile in profiles.values()),
            "min_conversations": self.min_conversations,
            "conversations": sum(profile["conversations"] for profile in profiles.values()),
            "left_out": self.left_out_,
            "label_sources": self.sources_,
            "centre": {
                name: {
                    "mean": _rounded(spread.mean),
                    "sd_between_agents": _rounded(sqrt(spread.between)),
                    "sd_within_agent": _rounded(sqrt(spread.within)),
                    "agents": spread.agents,
                }
                for name, spread in self.centre_.items()
            },
            "strengths": _count(finding for profile in profiles.values() for finding in profile["strengths"]),
            "weaknesses": _count(finding for profile in profiles.values() for finding in profile["weaknesses"]),
            "methods": METHODS,
        }

    def _learn(self, table: Table) -> None:
        self.centre_ = {
            name: spread
            for name, column in table.columns.items()
            if (spread := _spread(table.agent, column, len(table.agents), self.min_conversations)) is not None
        }
        self.left_out_, self.sources_ = table.left_out, table.sources

    def _profiles(self, table: Table) -> dict[str, Profile]:
        if not hasattr(self, "centre_"):
            raise RuntimeError("fit the fingerprinter before transform")
        rows_of = np.split(
            np.argsort(table.agent, kind="stable"),
            np.cumsum(np.bincount(table.agent, minlength=len(table.agents)))[:-1],
        )
        return {
            agent: self._profile(table, agent, index, rows_of[index])
            for index, agent in sorted(enumerate(table.agents), key=lambda pair: pair[1])
        }

    def _profile(self, table: Table, agent: str, index: int, rows: np.ndarray) -> Profile:
        team = min(table.teams[index].items(), key=lambda item: (-item[1], item[0]), default=(None, 0))[0]
        enough = len(rows) >= self.min_conversations
        columns = {name: column[rows] for name, column in table.columns.items()}
        metrics = {name: self._estimate(name, column) for name, column in columns.items()}
        strengths: list[Finding] = []
        weaknesses: list[Finding] = []
        for name, skill in SKILLS.items() if enough else ():
            side = self._side(skill, metrics)
            if side:
                best_first = columns[skill.measure] * skill.better * side
                evidence = sorted(
                    (-value, table.ids[row])
                    for value, row in zip(best_first.tolist(), rows.tolist(), strict=True)
                    if not isnan(value)
                )
                finding = self._finding(
                    name, skill, metrics[skill.measure], [found for _, found in evidence[:EVIDENCE]]
                )
                (strengths if side > 0 else weaknesses).append(finding)
        return Profile(
            agent_id=agent,
            team=team,
            status="ok" if enough else NOT_ENOUGH,
            conversations=len(rows),
            metrics=metrics,
            strengths=strengths,
            weaknesses=weaknesses,
            coaching_priorities=priorities(weaknesses),
        )

    def _estimate(self, name: str, column: np.ndarray) -> Estimate:
        measure = MEASURES[name]
        values = column[~np.isnan(column)]
        n = len(values)
        if n < self.min_conversations:
            estimate = Estimate(value=None, n=n, low=None, high=None, shrunk=None)
        else:
            value = float(values.mean())
            low, high = wilson(int(values.sum()), n) if measure.is_share else _t_interval(values)
            spread = self.centre_.get(name)
            estimate = Estimate(
                value=_rounded(value),
                n=n,
                low=_rounded(max(low, measure.low)),
                high=_rounded(min(high, measure.high)),
                shrunk=None if spread is None else _rounded(spread.shrink(value, n)[0]),
            )
        if name == "fcr":
            estimate["method"] = measure.method
        return estimate

    def _side(self, skill: Skill, metrics: dict[str, Estimate]) -> int:
        """1 for a strength, -1 for a weakness, 0 for neither."""
        side = skill.better * self._extreme(skill.measure, metrics, clear=True)
        if skill.measure == "handle_time_s" and side and self._extreme("fcr", metrics, clear=False) == -side:
            # Short contacts that leave the customer to call again are no strength; long ones that don't, no weakness.
            return 0
        return side

    def _extreme(self, name: str, metrics: dict[str, Estimate], *, clear: bool) -> int:
        """1 in the centre's highest quarter, -1 in its lowest, else 0; `clear` asks for the interval too."""
        spread, metric = self.centre_.get(name), metrics[name]
        if spread is None or spread.agents < FEWEST_AGENTS or metric["value"] is None:
            return 0
        shrunk, deviation = spread.shrink(metric["value"], metric["n"])
        margin = Z95 * deviation if clear else 0.0
        if shrunk > spread.upper and shrunk - margin > spread.mean:
            return 1
        return -1 if shrunk < spread.lower and shrunk + margin < spread.mean else 0

    def _finding(self, name: str, skill: Skill, metric: Estimate, evidence: list[str]) -> Finding:
        measure, spread = MEASURES[skill.measure], self.centre_[skill.measure]
        shown = [_shown(measure, number) for number in (metric["value"], metric["low"], metric["high"], spread.mean)]
        gap = skill.better * ((metric["shrunk"] or 0.0) - spread.mean) / sqrt(spread.between)
        return Finding(
            skill=name,
            reason=f"{measure.words} {shown[0]} (95% {shown[1]} to {shown[2]}, n {metric['n']}); centre {shown[3]}",
            gap_sd=round(gap, 2),
            evidence=evidence,
        )


def tabulate(conversations: Iterable[Conversation]) -> Table:
    """One pass over conversations, which may be a stream."""
    index: dict[str, int] = {}
    teams: list[Counter[str]] = []
    agent = array("q")
    ids: list[str] = []
    columns = {name: array("d") for name in MEASURES}
    followed: set[str] = set()
    left_out: Counter[str] = Counter()
    sources: dict[str, Counter[str]] = {}
    for conversation in conversations:
        if conversation.previous_contact_id is not None and conversation.previous_contact_id != conversation.id:
            followed.add(conversation.previous_contact_id)
        who = agent_of(conversation)
        if who is None:
            left_out["several agents, and turns don't say who spoke" if conversation.agents else "no agent named"] += 1
            continue
        place = index.setdefault(who, len(index))
        if place == len(teams):
            teams.append(Counter())
        if conversation.team is not None:
            teams[place][conversation.team] += 1
        agent.append(place)
        ids.append(conversation.id)
        for name, measure in MEASURES.items():
            value = measure.of(conversation)
            columns[name].append(nan if value is None else value)
        for name, label in conversation.labels.items():
            sources.setdefault(name, Counter())[label.source] += 1
    table = {name: np.array(column) for name, column in columns.items()}
    agents = np.array(agent, dtype=np.int64)
    came_back = np.fromiter((found in followed for found in ids), bool, len(ids))
    table["fcr"][came_back & ~np.isnan(table["fcr"])] = 0.0
    table["quality_deviation"] = _deviation(agents, table["quality"], len(index))
    return Table(
        list(index),
        agents,
        teams,
        ids,
        table,
        dict(left_out),
        {name: dict(sorted(counts.items())) for name, counts in sorted(sources.items())},
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


def _deviation(agent: np.ndarray, quality: np.ndarray, agents: int) -> np.ndarray:
    """|quality - the agent's mean|, in points, corrected for the mean being the agent's own; NaN when n < 2."""
    n, mean, _ = _moments(agent, quality, agents)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = np.where(n > 1, np.sqrt(n / (n - 1)), nan)
    return np.abs(quality - mean[agent]) * corrected[agent]


def _moments(agent: np.ndarray, column: np.ndarray, agents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n, mean and sum of squared deviations of each agent's values, each (agents,); the mean of none is NaN."""
    known = ~np.isnan(column)
    agent, column = agent[known], column[known]
    n = np.bincount(agent, minlength=agents).astype(float)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(agent, column, minlength=agents) / n
    return n, mean, np.bincount(agent, (column - mean[agent]) ** 2, minlength=agents)


def _spread(agent: np.ndarray, column: np.ndarray, agents: int, fewest: int) -> Spread | None:
    """The centre's distribution of one measure; None when no agent has enough data.

    Variance between agents by the method of moments: R. DerSimonian and N. Laird, "Meta-analysis
    in clinical trials", 1986, with the pooled variance within agents over n as each agent's own.
    """
    n, mean, squares = _moments(agent, column, agents)
    enough = n >= fewest
    if not enough.any():
        return None
    n, mean, squares = n[enough], mean[enough], squares[enough]
    within = float(squares.sum() / (n - 1).sum())
    pooled = float(n @ mean / n.sum())
    between = 0.0
    if len(n) > 1:
        excess = n @ (mean - pooled) ** 2 - (len(n) - 1) * within
        between = max(0.0, float(excess / (n.sum() - n @ n / n.sum())))
    weights = 1 / (between + within / n) if between else n
    centre = float(weights @ mean / weights.sum())
    spread = Spread(centre, between, within, centre, centre, len(n))
    shrunk = [spread.shrink(value, count)[0] for value, count in zip(mean.tolist(), n.tolist(), strict=True)]
    lower, upper = np.quantile(shrunk, [0.25, 0.75]).tolist()
    return spread._replace(lower=lower, upper=upper)


def _t_interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.special import stdtrit

    n = len(values)
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / sqrt(n))
    return float(values.mean()) - half, float(values.mean()) + half


def _count(findings: Iterator[Finding]) -> dict[str, int]:
    counts = Counter(finding["skill"] for finding in findings)
    return {name: counts[name] for name in SKILLS}


def _rounded(number: float) -> float:
    return round(number, 4)


def _shown(measure: Measure, number: float | None) -> str:
    if number is None:
        return "unknown"
    if measure.is_share:
        return f"{number:.0%}"
    return f"{number:.1f} {measure.unit}".strip()
