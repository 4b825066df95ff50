"""Weekly trend of an agent's measures, and the weeks in which they changed."""

from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.agents.contact_table import ContactTable

MEASURES = ("quality", "csat")
FEWEST_PER_SIDE = 5
"""Contacts needed before and after a change."""
FALSE_DISCOVERY_RATE = 0.05
"""Share of the named changes that may be false."""

METHOD = (
    "means of adjusted values by week (Monday, at the site) of contacts that carry the label. A change is where the "
    "means before and after differ most by Student's t, with at least 5 contacts on each side. Its p is the p of that "
    "t times the number of positions tried (Bonferroni, as in Worsley 1979). Changes are listed so that at most 5% of "
    "those listed over all agents are expected to be false (Benjamini and Hochberg 1995). per_week is a straight line "
    "through the contacts, with its 95% interval"
)


class _Change(NamedTuple):
    agent: int
    metric: str
    week: str
    before: float
    after: float
    p: float


def trends(table: ContactTable, adjusted: dict[str, np.ndarray], agents: list[int]) -> dict[int, dict[str, Any]]:
    """Index of an agent -> `weeks`, `metrics` (n and mean of each week, per_week) and `changes`; see METHOD.

    Args:
        adjusted: measure -> float64 (rows of the table,).
        agents: whose trend to compute; changes are compared among these agents only.
    """
    rows_of = table.rows_of()
    trend_of: dict[int, dict[str, Any]] = {}
    changes: list[_Change] = []
    for agent in agents:
        rows = rows_of[agent]
        rows = rows[(table.day[rows] > 0) & ~np.isnan(table.started_s[rows])]
        rows = rows[np.argsort(table.started_s[rows], kind="stable")]
        monday = table.day[rows] - (table.day[rows] - 1) % 7
        weeks = np.arange(monday.min(), monday.max() + 1, 7) if len(rows) else np.array([], int)
        metrics: dict[str, Any] = {}
        for name in MEASURES:
            values, in_week = adjusted[name][rows], (monday - (weeks[0] if len(weeks) else 0)) // 7
            has_value = ~np.isnan(values)
            if has_value.sum() < 2 * FEWEST_PER_SIDE:
                continue
            values, in_week = values[has_value], in_week[has_value]
            n = np.bincount(in_week, minlength=len(weeks))
            total = np.bincount(in_week, values, minlength=len(weeks))
            metrics[name] = {
                "n": n.tolist(),
                "mean": [round(t / k, 3) if k else None for t, k in zip(total.tolist(), n.tolist(), strict=True)],
                "per_week": _slope(table.started_s[rows][has_value] / 604800, values),
            }
            first_after, p = _largest_change(values)
            changes.append(
                _Change(
                    agent,
                    name,
                    _iso(int(weeks[in_week[first_after]])),
                    round(float(values[:first_after].mean()), 3),
                    round(float(values[first_after:].mean()), 3),
                    p,
                )
            )
        trend_of[agent] = {"weeks": [_iso(int(week)) for week in weeks], "metrics": metrics, "changes": []}
    for change in _significant(changes):
        fields = {**change._asdict(), "p": float(f"{change.p:.2g}")}
        trend_of[fields.pop("agent")]["changes"].append(fields)
    return trend_of


def _largest_change(values: np.ndarray) -> tuple[int, float]:
    """Position of the first value after the largest change of the mean, and its p over all positions."""
    from scipy.special import stdtr

    n = len(values)
    splits = np.arange(FEWEST_PER_SIDE, n - FEWEST_PER_SIDE + 1)
    sums, squares = np.cumsum(values), np.cumsum(values**2)
    before, after = sums[splits - 1] / splits, (sums[-1] - sums[splits - 1]) / (n - splits)
    within = squares[-1] - splits * before**2 - (n - splits) * after**2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(before - after) / np.sqrt(np.maximum(within, 0) / (n - 2) * (1 / splits + 1 / (n - splits)))
    t = np.nan_to_num(t, nan=0.0, posinf=1e6)
    best = int(np.argmax(t))
    return int(splits[best]), min(1.0, float(2 * stdtr(n - 2, -t[best])) * len(splits))


def _significant(changes: list[_Change]) -> list[_Change]:
    if not changes:
        return []
    from scipy.stats import false_discovery_control

    rates = false_discovery_control([change.p for change in changes])
    return [change for change, rate in zip(changes, rates, strict=True) if rate <= FALSE_DISCOVERY_RATE]


def _slope(weeks: np.ndarray, values: np.ndarray) -> dict[str, float] | None:
    """Change per week by least squares, with Student's interval; None where all contacts have the same time."""
    from scipy.special import stdtrit

    x = weeks - weeks.mean()
    squares = float(x @ x)
    if not squares:
        return None
    slope = float(x @ values) / squares
    residual = values - values.mean() - slope * x
    half = float(stdtrit(len(values) - 2, 0.975)) * (float(residual @ residual) / (len(values) - 2) / squares) ** 0.5
    return {"value": round(slope, 4), "low": round(slope - half, 4), "high": round(slope + half, 4)}


def _iso(ordinal: int) -> str:
    return (date(1, 1, 1) + timedelta(days=ordinal - 1)).isoformat()
