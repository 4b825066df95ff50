"""How an agent's measures go from week to week, and where they changed."""

from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.agents.table import Table

MEASURES = ("quality", "csat")
SHORTEST = 5
"""Contacts on each side of a change."""
RATE = 0.05
"""Share of false ones allowed among the changes named."""

METHOD = (
    "means of adjusted values by week (Monday, at the site) of contacts that carry the label. A change is where the "
    "means before and after differ most by Student's t, at least 5 contacts on each side; its p is that of the t times "
    "the places tried (Bonferroni, as in Worsley 1979), and changes are named while at most 5% of those named over all "
    "agents are expected to be false (Benjamini and Hochberg 1995). per_week is a straight line through the contacts, "
    "with its 95% interval"
)


class _Change(NamedTuple):
    agent: int
    measure: str
    week: str
    before: float
    after: float
    p: float


def trends(table: Table, adjusted: dict[str, np.ndarray], agents: list[int]) -> dict[int, dict[str, Any]]:
    """Index of an agent -> `weeks`, `metrics` (n and mean of each week, per_week) and `changes`; see METHOD.

    Args:
        adjusted: measure -> float64 (rows of the table,).
        agents: those whose trend is wanted; others are not among the changes that are compared.
    """
    rows_of = table.rows_of()
    found: dict[int, dict[str, Any]] = {}
    changes: list[_Change] = []
    for agent in agents:
        rows = rows_of[agent]
        rows = rows[(table.day[rows] > 0) & ~np.isnan(table.started[rows])]
        rows = rows[np.argsort(table.started[rows], kind="stable")]
        monday = table.day[rows] - (table.day[rows] - 1) % 7
        weeks = np.arange(monday.min(), monday.max() + 1, 7) if len(rows) else np.array([], int)
        metrics: dict[str, Any] = {}
        for name in MEASURES:
            values, in_week = adjusted[name][rows], (monday - (weeks[0] if len(weeks) else 0)) // 7
            known = ~np.isnan(values)
            if known.sum() < 2 * SHORTEST:
                continue
            values, in_week = values[known], in_week[known]
            n = np.bincount(in_week, minlength=len(weeks))
            total = np.bincount(in_week, values, minlength=len(weeks))
            metrics[name] = {
                "n": n.tolist(),
                "mean": [round(t / k, 3) if k else None for t, k in zip(total.tolist(), n.tolist(), strict=True)],
                "per_week": _slope(table.started[rows][known] / 604800, values),
            }
            place, p = _break(values)
            changes.append(
                _Change(
                    agent,
                    name,
                    _iso(int(weeks[in_week[place]])),
                    round(float(values[:place].mean()), 3),
                    round(float(values[place:].mean()), 3),
                    p,
                )
            )
        found[agent] = {"weeks": [_iso(int(week)) for week in weeks], "metrics": metrics, "changes": []}
    for change in _believed(changes):
        found[change.agent]["changes"].append(
            {
                "metric": change.measure,
                "week": change.week,
                "before": change.before,
                "after": change.after,
                "p": float(f"{change.p:.2g}"),
            }
        )
    return found


def _break(values: np.ndarray) -> tuple[int, float]:
    """The place before which the mean changes most, and the p of that over all places tried."""
    from scipy.special import stdtr

    n = len(values)
    places = np.arange(SHORTEST, n - SHORTEST + 1)
    sums, squares = np.cumsum(values), np.cumsum(values**2)
    before, after = sums[places - 1] / places, (sums[-1] - sums[places - 1]) / (n - places)
    spread = squares[-1] - places * before**2 - (n - places) * after**2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(before - after) / np.sqrt(np.maximum(spread, 0) / (n - 2) * (1 / places + 1 / (n - places)))
    t = np.nan_to_num(t, nan=0.0, posinf=1e6)
    best = int(np.argmax(t))
    return int(places[best]), min(1.0, float(2 * stdtr(n - 2, -t[best])) * len(places))


def _believed(changes: list[_Change]) -> list[_Change]:
    if not changes:
        return []
    from scipy.stats import false_discovery_control

    rates = false_discovery_control([change.p for change in changes])
    return [change for change, rate in zip(changes, rates, strict=True) if rate <= RATE]


def _slope(weeks: np.ndarray, values: np.ndarray) -> dict[str, float] | None:
    """Change per week by least squares, with Student's interval; None where all were at one time."""
    from scipy.special import stdtrit

    x = weeks - weeks.mean()
    squares = float(x @ x)
    if not squares:
        return None
    slope = float(x @ values) / squares
    rest = values - values.mean() - slope * x
    half = float(stdtrit(len(values) - 2, 0.975)) * (float(rest @ rest) / (len(values) - 2) / squares) ** 0.5
    return {"value": round(slope, 4), "low": round(slope - half, 4), "high": round(slope + half, 4)}


def _iso(ordinal: int) -> str:
    return (date(1, 1, 1) + timedelta(days=ordinal - 1)).isoformat()
