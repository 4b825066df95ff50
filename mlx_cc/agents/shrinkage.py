"""Shrinkage: estimate how a measure varies between a centre's agents and teams, and shrink each agent's mean by it."""

from collections import Counter
from math import sqrt
from typing import NamedTuple

import numpy as np

METHOD = (
    "empirical Bayes on adjusted values: m + B (value - m), B = t2 / (t2 + s2 / n); s2 is the pooled variance of a "
    "contact within agents, t2 the variance between agents of a team (DerSimonian and Laird 1986), m the team's mean, "
    "itself shrunk toward the centre's in the same way. Interval: +- 1.96 posterior standard deviations"
)


class Distribution(NamedTuple):
    """How one measure varies over the centre's agents."""

    mean: float
    between: float
    """Variance between agents of a team (t2)."""
    between_teams: float
    within: float
    """Pooled variance of one contact within an agent (s2)."""
    lower: float
    upper: float
    """Quartiles of the agents' shrunk values."""
    agents: int
    """Agents with enough data."""
    teams: dict[str | None, tuple[float, float]]
    """Team -> its shrunk mean and the variance of that; None holds the agents without a team."""

    @property
    def deviation(self) -> float:
        """Standard deviation between agents of the whole centre."""
        return sqrt(self.between + self.between_teams)

    def shrink(self, value: float, n: float, team: str | None) -> tuple[float, float]:
        """The shrunk value and its posterior standard deviation."""
        mean, variance = self.teams.get(team, (self.mean, self.between_teams))
        noise = self.within / n
        weight = self.between / (self.between + noise) if self.between else 0.0
        return mean + weight * (value - mean), sqrt(weight * noise + (1 - weight) ** 2 * variance)


def fit_distribution(
    n: np.ndarray, mean: np.ndarray, squares: np.ndarray, teams: list[str | None], fewest: int
) -> Distribution | None:
    """The centre's distribution of one measure; None when no agent has enough data.

    Variances between agents and between teams by the method of moments: R. DerSimonian and N. Laird,
    "Meta-analysis in clinical trials", 1986, with the pooled variance within agents over n as each agent's own.

    Args:
        n: float64 (agents,), contacts with the measure.
        mean: float64 (agents,), mean of each agent's values.
        squares: float64 (agents,), sum of each agent's squared deviations.
        teams: team of each agent.
        fewest: agents with fewer contacts are left out.
    """
    enough = n >= fewest
    if not enough.any():
        return None
    names = [team for team, is_enough in zip(teams, enough, strict=True) if is_enough]
    n, mean, squares = n[enough], mean[enough], squares[enough]
    within = float(squares.sum() / (n - 1).sum())
    if max(Counter(names).values()) == 1:  # teams of one tell nothing about the variance within teams
        team_names, team = [None], np.zeros(len(n), int)
    else:
        team_names = sorted(set(names), key=str)
        team = np.array([team_names.index(name) for name in names])
    size, squared_size = np.bincount(team, n), np.bincount(team, n * n)
    team_mean = np.bincount(team, n * mean) / size
    excess = float(n @ (mean - team_mean[team]) ** 2) - (len(n) - len(team_names)) * within
    scale = float(size.sum() - (squared_size / size).sum())
    between = max(0.0, excess / scale) if scale > 0 else 0.0
    noise = between + within / n
    weights = 1 / noise if noise.all() else n
    weight = np.bincount(team, weights)
    team_mean = np.bincount(team, weights * mean) / weight
    between_teams = 0.0
    if len(team_names) > 1:
        pooled = float(weight @ team_mean / weight.sum())
        excess = float(weight @ (team_mean - pooled) ** 2) - (len(team_names) - 1)
        between_teams = max(0.0, excess / float(weight.sum() - weight @ weight / weight.sum()))
    precision = 1 / (between_teams + 1 / weight)
    centre = float(precision @ team_mean / precision.sum())
    reliability = between_teams / (between_teams + 1 / weight)
    means = centre + reliability * (team_mean - centre)
    variances = reliability / weight
    priors = dict(zip(team_names, zip(means.tolist(), variances.tolist(), strict=True), strict=True))
    distribution = Distribution(centre, between, between_teams, within, centre, centre, len(n), priors)
    shrunk = [
        distribution.shrink(value, count, name)[0]
        for value, count, name in zip(mean.tolist(), n.tolist(), names, strict=True)
    ]
    lower, upper = np.quantile(shrunk, [0.25, 0.75]).tolist()
    return distribution._replace(lower=lower, upper=upper)
