"""Groups of agents with similar profiles; a group is named by its statistics, so the same data give the same names."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.errors import UserError

LEVEL = ("quality", "csat", "fcr", "empathy", "technical_skill", "communication")
VARIABILITY = "quality_deviation"
SEED = 0

LEAST_RELIABLE = 0.3
"""Metrics of which shrinkage leaves less than this share of the standard deviation are mostly chance; not used."""

RESAMPLES = 50
"""Bootstrap samples for `stability`; five lie below its lowest tenth."""
FOCUS = ("technical_skill", "empathy")
"""Focus is the first of these less the second."""

METHOD = (
    "k-means (10 starts) on the shrunk metrics, each standardised over agents; an agent without one gets the mean. A "
    "metric is used where half of the agents have it and shrinkage leaves at least 0.3 of its standard deviation over "
    "agents: less is mostly chance. Where no metric is used the agents are one group. Level is the mean of the "
    "standardised metrics other than quality_deviation, itself standardised over agents; variability is standardised "
    "quality_deviation; focus is standardised technical skill less standardised empathy. A group is named by its "
    "agents' mean: Inconsistent from variability 0.75, else High-Focus from focus 1.25 (strong in technical skill, "
    "weaker in empathy), else Top Performers from level 0.75, Solid from level -0.35, Developing below. Where several "
    "groups have one name they are numbered, the better level first. Stability: 50 bootstrap samples of the agents "
    "are grouped, every agent is assigned to the nearest of those groups, and this is compared with the groups here "
    "by the adjusted Rand index (Hubert and Arabie 1985): 1 is identical, 0 is chance; the mean and the lowest and "
    "highest tenth of the samples"
)


class _Group(NamedTuple):
    members: np.ndarray
    """int (n,): rows of the agents."""
    name: str
    level: float
    variability: float
    focus: float


def cluster(profiles: Mapping[str, Mapping[str, Any]], n_clusters: int = 5) -> dict[str, Any]:
    """Group agents by their metrics; those marked `not enough data` are listed apart.

    Args:
        profiles: agent id -> profile, as computed or as loaded from agent_profiles.json.
        n_clusters: number of groups; there are fewer where fewer agents differ.

    Returns:
        `groups`: name -> {n, level, variability, focus (in standard deviations between agents), means,
        agents}, best level first; `assignments`: agent id -> name; `silhouette`: -1 to 1, and
        `stability`: {mean, low, high} of the adjusted Rand index, None for fewer than two groups;
        `features`, `requested`, `n_clusters`, `not_enough_data`, `method`.

    Raises:
        UserError: n_clusters is below 1.
    """
    if n_clusters < 1:
        raise UserError(f"n_clusters is {n_clusters}; it must be at least 1.")
    agents = sorted(agent for agent, profile in profiles.items() if profile["status"] == "ok")
    features, values = _features([profiles[agent]["metrics"] for agent in agents])
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # Threads that wait for each other make k-means on a few thousand rows slower.
        members, silhouette = _kmeans(values, n_clusters)
        stability = _stability(members, values) if len(members) > 1 else None
    groups = _named(members, features, values)
    return {
        "requested": n_clusters,
        "n_clusters": len(groups),
        "silhouette": silhouette,
        "stability": stability,
        "features": features,
        "groups": {
            group.name: {
                "n": len(group.members),
                "level": round(group.level, 2),
                "variability": round(group.variability, 2),
                "focus": round(group.focus, 2),
                "means": _means([profiles[agents[row]]["metrics"] for row in group.members]),
                "agents": [agents[row] for row in group.members],
            }
            for group in groups
        },
        "assignments": {
            agents[row]: name for row, name in sorted((row, group.name) for group in groups for row in group.members)
        },
        "not_enough_data": sorted(set(profiles) - set(agents)),
        "method": METHOD,
    }


def _features(metrics: list[Mapping[str, Any]]) -> tuple[list[str], np.ndarray]:
    """Names and standardised values, float64 (agents, features), of the metrics used."""
    names, columns = [], []
    for name in (*LEVEL, VARIABILITY):
        column, value = (
            np.array([np.nan if metric[name][key] is None else metric[name][key] for metric in metrics], float)
            for key in ("shrunk", "value")
        )
        has_value = ~np.isnan(column)
        if 2 * has_value.sum() < len(column) or not has_value.any() or np.ptp(column[has_value]) < 1e-6:
            continue
        both = has_value & ~np.isnan(value)
        if column[both].std() < LEAST_RELIABLE * value[both].std():
            continue
        names.append(name)
        columns.append(np.where(has_value, column, column[has_value].mean()))
    if not names:
        return [], np.zeros((len(metrics), 0))
    from sklearn.preprocessing import StandardScaler

    return names, StandardScaler().fit_transform(np.stack(columns, axis=1))


def _kmeans(values: np.ndarray, n_clusters: int) -> tuple[list[np.ndarray], float | None]:
    """The rows of each group, and the silhouette of the grouping."""
    agents = len(values)
    k = min(n_clusters, len(np.unique(values, axis=0)) if values.size else min(agents, 1))
    if k <= 1:
        return [np.arange(agents)] * k, None
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    labels = KMeans(
        n_clusters=k,
        n_init=10,  # pyright: ignore[reportArgumentType]
        random_state=SEED,
    ).fit_predict(values)
    silhouette = None
    if k < agents:
        silhouette = float(silhouette_score(values, labels, sample_size=min(agents, 5000), random_state=SEED))
        silhouette = round(silhouette, 3)
    return [np.flatnonzero(labels == label) for label in range(k)], silhouette


def _stability(members: list[np.ndarray], values: np.ndarray) -> dict[str, float]:
    """Adjusted Rand index between the grouping and those of bootstrap samples of the agents."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    labels = np.empty(len(values), int)
    for label, rows in enumerate(members):
        labels[rows] = label
    rng = np.random.default_rng(SEED)
    scores = []
    for _ in range(RESAMPLES):
        sample = values[rng.integers(0, len(values), len(values))]
        k = min(len(members), len(np.unique(sample, axis=0)))
        resampled = KMeans(n_clusters=k, n_init=3, random_state=SEED).fit(sample)  # pyright: ignore[reportArgumentType]
        scores.append(adjusted_rand_score(labels, resampled.predict(values)))
    low, high = np.quantile(scores, [0.1, 0.9]).tolist()
    return {"mean": round(float(np.mean(scores)), 3), "low": round(low, 3), "high": round(high, 3)}


def _named(members: list[np.ndarray], features: list[str], values: np.ndarray) -> list[_Group]:
    """Groups with their names, best level first."""

    def column(name: str) -> np.ndarray:
        return values[:, features.index(name)] if name in features else np.zeros(len(values))

    columns = [index for index, name in enumerate(features) if name in LEVEL]
    level = values[:, columns].mean(axis=1) if columns else np.zeros(len(values))
    level = level / level.std() if level.size and level.std() else level
    variability = column(VARIABILITY)
    has_focus = all(name in features for name in FOCUS)
    focus = column(FOCUS[0]) - column(FOCUS[1]) if has_focus else np.zeros(len(values))
    groups = [
        _Group(rows, "", float(level[rows].mean()), float(variability[rows].mean()), float(focus[rows].mean()))
        for rows in members
    ]
    groups.sort(key=lambda group: (-group.level, int(group.members[0])))
    seen: Counter[str] = Counter()
    for index, group in enumerate(groups):
        name = _name(group)
        seen[name] += 1
        groups[index] = group._replace(name=name if seen[name] == 1 else f"{name} {seen[name]}")
    return groups


def _name(group: _Group) -> str:
    if group.variability >= 0.75:
        return "Inconsistent"
    if group.focus >= 1.25:
        return "High-Focus"
    if group.level >= 0.75:
        return "Top Performers"
    return "Solid" if group.level >= -0.35 else "Developing"


def _means(metrics: list[Mapping[str, Any]]) -> dict[str, float]:
    """Mean over a group's agents of each metric that any of them has."""
    known_values = {name: [m[name]["value"] for m in metrics if m[name]["value"] is not None] for name in metrics[0]}
    return {name: round(sum(values) / len(values), 4) for name, values in known_values.items() if values}
