"""Agent fingerprints: what the labels of an agent's contacts say, with n, interval and evidence."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

import numpy as np

from mlx_cc.agents import adjust, spread, trend
from mlx_cc.agents.adjust import Adjustment
from mlx_cc.agents.coaching import Effect, Finding, Priority, priorities
from mlx_cc.agents.measures import MEASURES, Measure
from mlx_cc.agents.spread import spread_of
from mlx_cc.agents.table import Fcr, Table, moments, tabulate
from mlx_cc.centre import SKILLS, Skill
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.metrics import wilson

INPUTS = ("data/train_temporal.jsonl", "data/train_chatml.jsonl")
"""What `compute_agent_profiles` reads when it is given nothing: the first that exists."""
FEWEST_AGENTS = 4
"""Fewer agents than this with enough data are no distribution to judge anyone against."""
FEWEST_OUTCOMES = 100
"""Fewer contacts than this with an outcome tell nothing of what a skill is worth."""
EVIDENCE = 3
Z95 = 1.959964
NOT_ENOUGH = "not enough data"


class Estimate(TypedDict):
    """One metric of one agent. All but n are None below the minimum n."""

    value: float | None
    """As the contacts say it."""
    n: int
    low: float | None
    high: float | None
    """95% interval of the value; None where one observation gives none."""
    adjusted: float | None
    """What the value would be with the centre's mix of queues, issues, waits and follow-ups."""
    shrunk: float | None
    """The adjusted value drawn toward the team's mean, the more the fewer the contacts."""
    shrunk_low: float | None
    shrunk_high: float | None
    """95% interval of the shrunk value."""
    method: NotRequired[str]


class Profile(TypedDict):
    """The fingerprint of one agent, as it stands in agent_profiles.json."""

    agent_id: str
    team: str | None
    """The team most of the agent's contacts name."""
    queue: str | None
    """The queue most of them came from."""
    status: str
    """`ok`, or `not enough data`."""
    conversations: int
    metrics: dict[str, Estimate]
    strengths: list[Finding]
    weaknesses: list[Finding]
    coaching_priorities: list[Priority]
    trend: dict[str, Any] | None
    """Weekly means and changes (`trend.METHOD`); None below the minimum n."""


METHODS = {
    **{name: measure.method for name, measure in MEASURES.items()},
    "interval": "95%: Student's t for means, Wilson for shares; cut at the ends of the scale",
    "adjusted": adjust.METHOD,
    "shrunk": spread.METHOD,
    "trend": trend.METHOD,
    "skills": "a strength (weakness) is a shrunk value in the best (worst) quarter of the centre's agents whose 95% "
    "interval lies wholly on that side of the centre's mean; handle time does not count where resolution is in the "
    "opposite quarter. Evidence: the contacts that show it most after adjustment",
    "expected_effect": "by how much CSAT (quality, where under 100 contacts have CSAT) differs between contacts of "
    "one agent per unit of the skill's measure, times the agent's distance to the centre's mean, with the 95% interval "
    "of the slope. An association, not a promise; those of several skills overlap and do not add up",
    "agents": "a contact with several agents counts for the one who spoke most words, and for nobody when turns don't "
    "say who spoke",
}


class Slope(NamedTuple):
    """How an outcome moves with a skill's measure between the contacts of one agent."""

    outcome: str
    value: float
    """Units of the outcome per unit of the measure."""
    error: float
    """Standard error."""


class AgentFingerprinter:
    """Learns how a centre's agents differ and profiles each against the others.

    `fit` learns the centre (`centre_`, measure -> `Spread`; `adjustment_`; `slopes_`), `transform` profiles
    agents against it, `compute_agent_profiles` does both on the same conversations.

    Args:
        min_conversations: an estimate that rests on fewer contacts is not given.
        skills: name -> what it is told by and what to practise; `centre.SKILLS` when left out.
        fcr: how first-contact resolution is told, see `table.FCR_METHODS`.
        repeat_days: window in which another contact is a repeat.

    Raises:
        UserError: fewer than 2 conversations asked for, or a skill is told by a measure that does not exist.
    """

    def __init__(
        self,
        min_conversations: int = 5,
        skills: Mapping[str, Skill] | None = None,
        fcr: Fcr = "auto",
        repeat_days: int = 7,
    ) -> None:
        if min_conversations < 2:
            raise UserError(f"min_conversations is {min_conversations}; an interval needs at least 2.")
        self.min_conversations = min_conversations
        self.skills = dict(SKILLS if skills is None else skills)
        for name, skill in self.skills.items():
            if skill.measure not in MEASURES:
                raise UserError(f"skill {name}: no measure {skill.measure!r}. Measures are {', '.join(MEASURES)}.")
        self.fcr: Fcr = fcr
        self.repeat_days = repeat_days

    def fit(self, conversations: Iterable[Conversation]) -> Self:
        """Learn the centre's distribution of every measure from conversations, streamed once."""
        self._learn(tabulate(conversations, self.fcr, self.repeat_days))
        return self

    def transform(self, conversations: Iterable[Conversation]) -> dict[str, Profile]:
        """Agent id -> profile, in order of id, judged against the centre that was fitted."""
        if not hasattr(self, "centre_"):
            raise RuntimeError("fit the fingerprinter before transform")
        table = tabulate(conversations, self.fcr, self.repeat_days)
        return self._profiles(table, self.adjustment_.apply(table))

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
        table = tabulate(conversations, self.fcr, self.repeat_days)
        return self._profiles(table, self._learn(table))

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
                    "sd_between_agents": _rounded(spread.deviation),
                    "sd_between_teams": _rounded(spread.between_teams**0.5),
                    "sd_within_agent": _rounded(spread.within**0.5),
                    "agents": spread.agents,
                }
                for name, spread in self.centre_.items()
            },
            "strengths": self._count(finding for profile in profiles.values() for finding in profile["strengths"]),
            "weaknesses": self._count(finding for profile in profiles.values() for finding in profile["weaknesses"]),
            "changes": sum(len(profile["trend"]["changes"]) for profile in profiles.values() if profile["trend"]),
            "methods": {**METHODS, "fcr": self.fcr_method_},
        }

    def _learn(self, table: Table) -> dict[str, np.ndarray]:
        """Learn the centre; returns the adjusted columns it was learned from."""
        self.adjustment_: Adjustment = adjust.learn(table)
        adjusted = self.adjustment_.apply(table)
        teams = [_most(counts) for counts in table.teams]
        self.centre_ = {
            name: spread
            for name, column in adjusted.items()
            if (
                spread := spread_of(
                    *moments(table.agent, column, len(table.agents)), teams=teams, fewest=self.min_conversations
                )
            )
            is not None
        }
        self.slopes_ = self._slopes(table, adjusted)
        self.left_out_, self.sources_, self.fcr_method_ = table.left_out, table.sources, table.fcr_method
        return adjusted

    def _slopes(self, table: Table, adjusted: dict[str, np.ndarray]) -> dict[str, Slope]:
        """Skill -> what the outcome does with its measure, by least squares on deviations from each agent's means."""
        outcome = next(
            (name for name in ("csat", "quality") if np.count_nonzero(~np.isnan(adjusted[name])) >= FEWEST_OUTCOMES),
            None,
        )
        if outcome is None:
            return {}
        found: dict[str, Slope] = {}
        for name, skill in self.skills.items():
            known = ~np.isnan(adjusted[skill.measure]) & ~np.isnan(adjusted[outcome])
            agent, agents = table.agent[known], len(table.agents)
            freedom = len(agent) - len(np.unique(agent)) - 1
            if freedom + 1 < FEWEST_OUTCOMES or skill.measure == outcome:
                continue
            x, y = (_centred(agent, adjusted[measure][known], agents) for measure in (skill.measure, outcome))
            squares = float(x @ x)
            if squares:
                slope = float(x @ y) / squares
                rest = y - slope * x
                found[name] = Slope(outcome, slope, (float(rest @ rest) / freedom / squares) ** 0.5)
        return found

    def _profiles(self, table: Table, adjusted: dict[str, np.ndarray]) -> dict[str, Profile]:
        rows_of = table.rows_of()
        enough = [index for index, rows in enumerate(rows_of) if len(rows) >= self.min_conversations]
        trends = trend.trends(table, adjusted, enough)
        return {
            agent: self._profile(table, adjusted, index, rows_of[index], trends.get(index))
            for index, agent in sorted(enumerate(table.agents), key=lambda pair: pair[1])
        }

    def _profile(
        self,
        table: Table,
        adjusted: dict[str, np.ndarray],
        index: int,
        rows: np.ndarray,
        trend: dict[str, Any] | None,
    ) -> Profile:
        team = _most(table.teams[index])
        enough = len(rows) >= self.min_conversations
        fair = {name: column[rows] for name, column in adjusted.items()}
        metrics = {
            name: self._estimate(name, column[rows], fair[name], team, table.fcr_method)
            for name, column in table.columns.items()
        }
        strengths: list[Finding] = []
        weaknesses: list[Finding] = []
        for name, skill in self.skills.items() if enough else ():
            side = self._side(skill, metrics)
            if side:
                best_first = fair[skill.measure] * skill.sign * side
                evidence = sorted(
                    (-value, table.ids[row])
                    for value, row in zip(best_first.tolist(), rows.tolist(), strict=True)
                    if not isnan(value)
                )
                finding = self._finding(
                    name, skill, metrics[skill.measure], [found for _, found in evidence[:EVIDENCE]]
                )
                (strengths if side > 0 else weaknesses).append(finding)
        effects = {found["skill"]: self._effect(found["skill"], metrics) for found in weaknesses}
        return Profile(
            agent_id=table.agents[index],
            team=team,
            queue=_most(table.queues[index]),
            status="ok" if enough else NOT_ENOUGH,
            conversations=len(rows),
            metrics=metrics,
            strengths=strengths,
            weaknesses=weaknesses,
            coaching_priorities=priorities(
                weaknesses, {name: skill.action for name, skill in self.skills.items()}, effects
            ),
            trend=trend,
        )

    def _estimate(self, name: str, column: np.ndarray, fair: np.ndarray, team: str | None, fcr_method: str) -> Estimate:
        measure = MEASURES[name]
        values, fair = column[~np.isnan(column)], fair[~np.isnan(column)]
        n = len(values)
        estimate = Estimate(
            value=None, n=n, low=None, high=None, adjusted=None, shrunk=None, shrunk_low=None, shrunk_high=None
        )
        if n >= self.min_conversations:
            low, high = wilson(int(values.sum()), n) if measure.is_share else _t_interval(values)
            adjusted = float(fair.mean())
            found = {"low": low, "high": high, "adjusted": adjusted}
            if name in self.centre_:
                shrunk, deviation = self.centre_[name].shrink(adjusted, n, team)
                found |= {
                    "shrunk": shrunk,
                    "shrunk_low": shrunk - Z95 * deviation,
                    "shrunk_high": shrunk + Z95 * deviation,
                }
            estimate["value"] = _rounded(float(values.mean()))
            for key, number in found.items():
                estimate[key] = _rounded(min(max(number, measure.low), measure.high))
        if name == "fcr":
            estimate["method"] = fcr_method
        return estimate

    def _side(self, skill: Skill, metrics: dict[str, Estimate]) -> int:
        """1 for a strength, -1 for a weakness, 0 for neither."""
        side = skill.sign * self._extreme(skill.measure, metrics, clear=True)
        if skill.measure == "handle_time_s" and side and self._extreme("fcr", metrics, clear=False) == -side:
            # Short contacts that leave the customer to call again are no strength; long ones that don't, no weakness.
            return 0
        return side

    def _extreme(self, name: str, metrics: dict[str, Estimate], *, clear: bool) -> int:
        """1 in the centre's highest quarter, -1 in its lowest, else 0; `clear` asks for the interval too."""
        spread, metric = self.centre_.get(name), metrics[name]
        if spread is None or spread.agents < FEWEST_AGENTS or not spread.deviation:
            return 0
        shrunk, low, high = metric["shrunk"], metric["shrunk_low"], metric["shrunk_high"]
        if shrunk is None or low is None or high is None:
            return 0
        if shrunk > spread.upper and (not clear or low > spread.mean):
            return 1
        return -1 if shrunk < spread.lower and (not clear or high < spread.mean) else 0

    def _finding(self, name: str, skill: Skill, metric: Estimate, evidence: list[str]) -> Finding:
        measure, spread = MEASURES[skill.measure], self.centre_[skill.measure]
        value, low, high, adjusted, mean = (
            _shown(measure, number)
            for number in (metric["value"], metric["low"], metric["high"], metric["adjusted"], spread.mean)
        )
        gap = skill.sign * ((metric["shrunk"] or 0.0) - spread.mean) / spread.deviation
        return Finding(
            skill=name,
            reason=f"{measure.words} {value} (95% {low} to {high}, n {metric['n']}), {adjusted} when adjusted; "
            f"centre {mean}",
            gap_sd=round(gap, 2),
            evidence=evidence,
        )

    def _effect(self, name: str, metrics: dict[str, Estimate]) -> Effect | None:
        """What the outcome would gain if the agent came up to the centre's mean; None where nothing tells."""
        slope, measure = self.slopes_.get(name), self.skills[name].measure
        shrunk = metrics[measure]["shrunk"]
        if slope is None or shrunk is None:
            return None
        gap = self.centre_[measure].mean - shrunk
        ends = sorted(gap * (slope.value + sign * Z95 * slope.error) for sign in (-1, 1))
        return Effect(
            outcome=slope.outcome, change=round(gap * slope.value, 3), low=round(ends[0], 3), high=round(ends[1], 3)
        )

    def _count(self, findings: Iterator[Finding]) -> dict[str, int]:
        counts = Counter(finding["skill"] for finding in findings)
        return {name: counts[name] for name in self.skills}


def _centred(agent: np.ndarray, column: np.ndarray, agents: int) -> np.ndarray:
    return column - moments(agent, column, agents)[1][agent]


def _most(counts: Counter[str]) -> str | None:
    return min(counts.items(), key=lambda item: (-item[1], item[0]), default=(None, 0))[0]


def _t_interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.special import stdtrit

    n = len(values)
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5)
    return float(values.mean()) - half, float(values.mean()) + half


def _rounded(number: float) -> float:
    return round(number, 4)


def _shown(measure: Measure, number: float | None) -> str:
    if number is None:
        return "unknown"
    if measure.high == 1:
        return f"{number:.0%}"
    return f"{number:.1f} {measure.unit}".strip()
