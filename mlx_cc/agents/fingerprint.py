"""Agent fingerprints: an agent's measures with n and interval, strengths and weaknesses with evidence, trend."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

import numpy as np

from mlx_cc.agents import case_mix, shrinkage, trend
from mlx_cc.agents.case_mix import CaseMix, fit_case_mix
from mlx_cc.agents.coaching import Effect, Finding, Priority, priorities
from mlx_cc.agents.contact_table import ContactTable, Fcr, moments_by_agent, tabulate
from mlx_cc.agents.measures import MEASURES, Measure
from mlx_cc.agents.shrinkage import Distribution, fit_distribution
from mlx_cc.centre import SKILLS, Skill
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.folders import DataFolder
from mlx_cc.metrics import wilson

FEWEST_AGENTS = 4
"""With fewer agents than this, nobody has a strength or weakness: a quarter would be less than one agent."""
FEWEST_OUTCOMES = 100
"""With fewer labelled contacts than this, no expected effect is estimated. Set by hand."""
EVIDENCE_CONTACTS = 3
Z95 = 1.959964
"""97.5% quantile of the standard normal distribution."""
NOT_ENOUGH = "not enough data"


Source = Iterable[Conversation] | Path | str
"""Conversations, or the path of a file of them."""


class Estimate(TypedDict):
    """One metric of one agent. With fewer contacts than the minimum, everything but n is None."""

    value: float | None
    """Mean over the agent's contacts, as they are."""
    n: int
    low: float | None
    high: float | None
    """95% interval of the value."""
    adjusted: float | None
    """The value after case-mix adjustment: with the centre's mix of queues, issues, waits and follow-ups."""
    shrunk: float | None
    """The adjusted value shrunk toward the team's mean; fewer contacts, stronger shrinkage."""
    shrunk_low: float | None
    shrunk_high: float | None
    """95% interval of the shrunk value."""
    method: NotRequired[str]


class Profile(TypedDict):
    """The fingerprint of one agent, as in agent_profiles.json."""

    agent_id: str
    team: str | None
    """The team named by most of the agent's contacts."""
    queue: str | None
    """The queue named by most of them."""
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
    "adjusted": case_mix.METHOD,
    "shrunk": shrinkage.METHOD,
    "trend": trend.METHOD,
    "skills": "a strength (weakness) is a shrunk value in the best (worst) quarter of the centre's agents whose 95% "
    "interval lies wholly on that side of the centre's mean; short handle time is no strength where first-contact "
    "resolution is in the worst quarter, and long handle time no weakness where it is in the best. Evidence: the "
    "contacts that show it most after adjustment",
    "expected_effect": "by how much CSAT (quality, where under 100 contacts have CSAT) differs between contacts of "
    "one agent per unit of the skill's measure, times the agent's distance to the centre's mean, with the 95% interval "
    "of the slope. An association, not a promise. The effects of several skills overlap and do not add up",
    "agents": "a contact with several agents counts for the one who spoke most words, and for no agent when turns "
    "don't say who spoke",
}


class Slope(NamedTuple):
    """Regression slope of an outcome on a skill's measure, between contacts of the same agent."""

    outcome: str
    value: float
    """Units of the outcome per unit of the measure."""
    error: float
    """Standard error."""


class AgentFingerprinter:
    """Learns how a centre's agents differ, and profiles agents against the centre.

        profiles = AgentFingerprinter().fit(train).transform(all)

    `fit` learns `centre_` (measure -> `Distribution`), `case_mix_` and `slopes_`; `transform` profiles agents
    with them; `compute_agent_profiles` does both on the same conversations. Each takes conversations, which may
    be a stream, or the path of a file of them.

    Args:
        min_conversations: an estimate from fewer contacts is left out.
        skills: name -> its measure and what to practise; `centre.SKILLS` when left out.
        fcr: definition of first-contact resolution, see `contact_table.FCR_METHODS`.
        repeat_days: with `fcr="repeat"`: days in which another contact counts as a repeat.

    Raises:
        UserError: min_conversations is below 2, or a skill has a measure that does not exist.
    """

    def __init__(
        self,
        min_conversations: int = 5,
        skills: Mapping[str, Skill] | None = None,
        fcr: Fcr = "auto",
        repeat_days: int = 7,
    ) -> None:
        if min_conversations < 2:
            raise UserError(f"min_conversations is {min_conversations}; it must be at least 2, for an interval.")
        self.min_conversations = min_conversations
        self.skills = dict(SKILLS if skills is None else skills)
        for name, skill in self.skills.items():
            if skill.measure not in MEASURES:
                raise UserError(f"skill {name}: no measure {skill.measure!r}. Use one of {', '.join(MEASURES)}.")
        self.fcr: Fcr = fcr
        self.repeat_days = repeat_days

    def fit(self, conversations: Source) -> Self:
        """Learn the case-mix effects and the distribution of every measure."""
        self._fit(self._tabulate(conversations))
        return self

    def transform(self, conversations: Source) -> dict[str, Profile]:
        """Agent id -> profile, in order of id, judged against the centre that was fitted."""
        if not hasattr(self, "centre_"):
            raise RuntimeError("call fit before transform")
        table = self._tabulate(conversations)
        return self._profiles(table, self.case_mix_.adjust(table))

    def compute_agent_profiles(self, conversations: Source | None = None) -> dict[str, Profile]:
        """Fit on conversations and transform the same ones, in one pass.

        Args:
            conversations: None reads the train split under data/.

        Raises:
            UserError: there is no such file, or a label is no number.
        """
        if conversations is None:
            conversations = DataFolder(Path("data")).find("train")
            if conversations is None:
                raise UserError("no train split under data/ here. Run `mlx_cc prepare`, or pass conversations.")
        table = self._tabulate(conversations)
        return self._profiles(table, self._fit(table))

    def _tabulate(self, conversations: Source) -> ContactTable:
        if isinstance(conversations, str | Path):
            conversations = read_conversations(conversations)
        return tabulate(conversations, self.fcr, self.repeat_days)

    def cluster_agents(self, profiles: dict[str, Profile], n_clusters: int = 5) -> dict[str, Any]:
        """Groups of agents with similar profiles; see `mlx_cc.agents.clusters.cluster`."""
        from mlx_cc.agents.clusters import cluster

        return cluster(profiles, n_clusters)

    def summary(self, profiles: dict[str, Profile]) -> dict[str, Any]:
        """Counts, distributions and methods of the centre, as in agent_summary.json."""
        return {
            "agents": len(profiles),
            "agents_with_enough_data": sum(profile["status"] == "ok" for profile in profiles.values()),
            "min_conversations": self.min_conversations,
            "conversations": sum(profile["conversations"] for profile in profiles.values()),
            "left_out": self.left_out_,
            "label_sources": self.sources_,
            "centre": {
                name: {
                    "mean": round(measured.mean, 4),
                    "sd_between_agents": round(measured.deviation, 4),
                    "sd_between_teams": round(measured.between_teams**0.5, 4),
                    "sd_within_agent": round(measured.within**0.5, 4),
                    "agents": measured.agents,
                }
                for name, measured in self.centre_.items()
            },
            "strengths": self._count(finding for profile in profiles.values() for finding in profile["strengths"]),
            "weaknesses": self._count(finding for profile in profiles.values() for finding in profile["weaknesses"]),
            "changes": sum(len(profile["trend"]["changes"]) for profile in profiles.values() if profile["trend"]),
            "methods": {**METHODS, "fcr": self.fcr_method_},
        }

    def _fit(self, table: ContactTable) -> dict[str, np.ndarray]:
        """Learn the centre; returns the adjusted columns that it was learned from."""
        self.case_mix_: CaseMix = fit_case_mix(table)
        adjusted = self.case_mix_.adjust(table)
        teams = [_most_common(counts) for counts in table.teams]
        self.centre_: dict[str, Distribution] = {}
        for name, column in adjusted.items():
            moments = moments_by_agent(table.agent, column, len(table.agents))
            distribution = fit_distribution(*moments, teams=teams, fewest=self.min_conversations)
            if distribution is not None:
                self.centre_[name] = distribution
        self.slopes_ = self._fit_slopes(table, adjusted)
        self.left_out_, self.sources_, self.fcr_method_ = table.left_out, table.sources, table.fcr_method
        return adjusted

    def _fit_slopes(self, table: ContactTable, adjusted: dict[str, np.ndarray]) -> dict[str, Slope]:
        """Skill -> slope of the outcome on its measure, by least squares on deviations from each agent's means."""
        outcome = next(
            (name for name in ("csat", "quality") if np.count_nonzero(~np.isnan(adjusted[name])) >= FEWEST_OUTCOMES),
            None,
        )
        if outcome is None:
            return {}
        slopes: dict[str, Slope] = {}
        for name, skill in self.skills.items():
            both = ~np.isnan(adjusted[skill.measure]) & ~np.isnan(adjusted[outcome])
            agent, agents = table.agent[both], len(table.agents)
            freedom = len(agent) - len(np.unique(agent)) - 1
            if freedom + 1 < FEWEST_OUTCOMES or skill.measure == outcome:
                continue
            x, y = (_centred(agent, adjusted[measure][both], agents) for measure in (skill.measure, outcome))
            squares = float(x @ x)
            if squares:
                slope = float(x @ y) / squares
                residual = y - slope * x
                slopes[name] = Slope(outcome, slope, (float(residual @ residual) / freedom / squares) ** 0.5)
        return slopes

    def _profiles(self, table: ContactTable, adjusted: dict[str, np.ndarray]) -> dict[str, Profile]:
        rows_of = table.rows_of()
        enough = [index for index, rows in enumerate(rows_of) if len(rows) >= self.min_conversations]
        trends = trend.trends(table, adjusted, enough)
        return {
            agent: self._profile(table, adjusted, index, rows_of[index], trends.get(index))
            for index, agent in sorted(enumerate(table.agents), key=lambda pair: pair[1])
        }

    def _profile(
        self,
        table: ContactTable,
        adjusted: dict[str, np.ndarray],
        index: int,
        rows: np.ndarray,
        trend: dict[str, Any] | None,
    ) -> Profile:
        team = _most_common(table.teams[index])
        enough = len(rows) >= self.min_conversations
        own_adjusted = {name: column[rows] for name, column in adjusted.items()}
        metrics = {
            name: self._estimate(name, column[rows], own_adjusted[name], team, table.fcr_method)
            for name, column in table.columns.items()
        }
        strengths: list[Finding] = []
        weaknesses: list[Finding] = []
        for name, skill in self.skills.items() if enough else ():
            side = self._strength_or_weakness(skill, metrics)
            if side:
                clearness = own_adjusted[skill.measure] * skill.sign * side
                evidence = sorted(
                    (-value, table.ids[row])
                    for value, row in zip(clearness.tolist(), rows.tolist(), strict=True)
                    if not isnan(value)
                )
                clearest = [id for _, id in evidence[:EVIDENCE_CONTACTS]]
                finding = self._finding(name, skill, metrics[skill.measure], clearest)
                (strengths if side > 0 else weaknesses).append(finding)
        effects = {weakness["skill"]: self._effect(weakness["skill"], metrics) for weakness in weaknesses}
        return Profile(
            agent_id=table.agents[index],
            team=team,
            queue=_most_common(table.queues[index]),
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

    def _estimate(
        self, name: str, column: np.ndarray, adjusted_column: np.ndarray, team: str | None, fcr_method: str
    ) -> Estimate:
        measure = MEASURES[name]
        values = column[~np.isnan(column)]
        n = len(values)
        estimate = Estimate(
            value=None, n=n, low=None, high=None, adjusted=None, shrunk=None, shrunk_low=None, shrunk_high=None
        )
        if n >= self.min_conversations:
            low, high = wilson(int(values.sum()), n) if measure.is_share else _t_interval(values)
            adjusted = float(adjusted_column[~np.isnan(column)].mean())
            numbers = {"low": low, "high": high, "adjusted": adjusted}
            if name in self.centre_:
                shrunk, deviation = self.centre_[name].shrink(adjusted, n, team)
                numbers |= {
                    "shrunk": shrunk,
                    "shrunk_low": shrunk - Z95 * deviation,
                    "shrunk_high": shrunk + Z95 * deviation,
                }
            estimate["value"] = round(float(values.mean()), 4)
            for key, number in numbers.items():
                estimate[key] = round(min(max(number, measure.low), measure.high), 4)
        if name == "fcr":
            estimate["method"] = fcr_method
        return estimate

    def _strength_or_weakness(self, skill: Skill, metrics: dict[str, Estimate]) -> int:
        """1 for a strength, -1 for a weakness, 0 for neither."""
        side = skill.sign * self._extreme(skill.measure, metrics, clear=True)
        if skill.measure == "handle_time_s" and side and self._extreme("fcr", metrics, clear=False) == -side:
            # Short contacts after which customers call again are no strength; long ones that settle it, no weakness.
            return 0
        return side

    def _extreme(self, name: str, metrics: dict[str, Estimate], *, clear: bool) -> int:
        """1 in the centre's highest quarter, -1 in its lowest, else 0.

        With `clear`, the whole interval has to be on that side of the centre's mean too.
        """
        centre, metric = self.centre_.get(name), metrics[name]
        if centre is None or centre.agents < FEWEST_AGENTS or not centre.deviation:
            return 0
        shrunk, low, high = metric["shrunk"], metric["shrunk_low"], metric["shrunk_high"]
        if shrunk is None or low is None or high is None:
            return 0
        if shrunk > centre.upper and (not clear or low > centre.mean):
            return 1
        return -1 if shrunk < centre.lower and (not clear or high < centre.mean) else 0

    def _finding(self, name: str, skill: Skill, metric: Estimate, evidence: list[str]) -> Finding:
        measure, centre = MEASURES[skill.measure], self.centre_[skill.measure]
        value, low, high, adjusted, mean = (
            _with_unit(measure, number)
            for number in (metric["value"], metric["low"], metric["high"], metric["adjusted"], centre.mean)
        )
        gap = skill.sign * ((metric["shrunk"] or 0.0) - centre.mean) / centre.deviation
        return Finding(
            skill=name,
            reason=f"{measure.words} {value} (95% {low} to {high}, n {metric['n']}), {adjusted} after case-mix "
            f"adjustment; centre mean {mean}",
            gap_sd=round(gap, 2),
            evidence=evidence,
        )

    def _effect(self, name: str, metrics: dict[str, Estimate]) -> Effect | None:
        """The change of the outcome expected at the centre's mean; None where no slope was estimated."""
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
    return column - moments_by_agent(agent, column, agents).mean[agent]


def _most_common(counts: Counter[str]) -> str | None:
    return min(counts.items(), key=lambda item: (-item[1], item[0]), default=(None, 0))[0]


def _t_interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.special import stdtrit

    n = len(values)
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5)
    return float(values.mean()) - half, float(values.mean()) + half


def _with_unit(measure: Measure, number: float | None) -> str:
    if number is None:
        return "unknown"
    if measure.high == 1:
        return f"{number:.0%}"
    return f"{number:.1f} {measure.unit}".strip()
