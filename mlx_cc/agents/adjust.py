"""What a contact brought with it (queue, issue, wait, a case begun) taken out of what it says of its agent."""

from typing import NamedTuple

import numpy as np

from mlx_cc.agents.table import Table, deviation

RIDGE = 1.0
"""Contacts' worth of doubt added to each effect, so that a queue seen twice moves nobody."""

METHOD = (
    "value less the effects of queue, issue, log(1 + minutes waited) and being a follow-up, relative to the centre's "
    "mix. Effects are estimated within agents (a regression with an intercept for each: Mundlak 1978), so skilled "
    "agents who are given hard contacts do not make those look easy; a ridge of one contact keeps rare queues and "
    "issues near no effect"
)


class Adjustment(NamedTuple):
    """Effects of the circumstances on each measure; what `fit` learns."""

    levels: dict[str, dict[str, int]]
    """Factor -> level -> its column; a level not seen in fitting has no effect."""
    width: int
    """Columns of the circumstances, the two of waiting last."""
    wait: float
    """Mean log(1 + minutes waited), for contacts that don't say."""
    usual: np.ndarray
    """float64 (width,): the centre's mean of each column, its mix."""
    effects: dict[str, np.ndarray]
    """Measure -> float64 (width,)."""

    def apply(self, table: Table) -> dict[str, np.ndarray]:
        """Measure -> float64 (rows,): each value less what the contact's circumstances did to it, at the usual mix."""
        circumstances = _circumstances(table, self.levels, self.width, self.wait)
        found = dict(table.columns)
        for name, effects in self.effects.items():
            found[name] = found[name] - (circumstances @ effects - float(self.usual @ effects))
        found["quality_deviation"] = deviation(table.agent, found["quality"], len(table.agents))
        return found


def learn(table: Table) -> Adjustment:
    """Estimate the effects on every measure from one centre's contacts."""
    levels: dict[str, dict[str, int]] = {}
    width = 0
    for factor, (names, column) in table.factors.items():
        seen = np.flatnonzero(np.bincount(column, minlength=len(names)))
        levels[factor] = {names[level]: width + place for place, level in enumerate(seen.tolist())}
        width += len(seen)
    known = ~np.isnan(table.wait)
    wait = float(table.wait[known].mean()) if known.any() else 0.0
    width += 2
    circumstances = _circumstances(table, levels, width, wait)
    usual = np.asarray(circumstances.mean(axis=0)).ravel() if len(table.agent) else np.zeros(width)
    effects = {
        name: _within(circumstances, table.agent, column, len(table.agents))
        for name, column in table.columns.items()
        if name != "quality_deviation" and not np.isnan(column).all()
    }
    for found in effects.values():
        for columns in map(list, (places.values() for places in levels.values())):
            found[columns] -= usual[columns] @ found[columns]  # so that a level not seen here is as the usual mix
    return Adjustment(levels, width, wait, usual, effects)


def _circumstances(table: Table, levels: dict[str, dict[str, int]], width: int, wait: float):
    """Sparse float64 (rows, width): a one for each factor's level, log minutes waited, and whether that is unknown."""
    from scipy.sparse import csr_array

    rows, places, values = [], [], []
    every = np.arange(len(table.agent))
    for factor, (names, column) in table.factors.items():
        place = np.array([levels[factor].get(name, -1) for name in names])[column]
        seen = place >= 0
        rows.append(every[seen])
        places.append(place[seen])
        values.append(np.ones(int(seen.sum())))
    unknown = np.isnan(table.wait)
    rows += [every, every[unknown]]
    places += [np.full(len(every), width - 2), np.full(int(unknown.sum()), width - 1)]
    values += [np.where(unknown, wait, table.wait), np.ones(int(unknown.sum()))]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(places)))
    return csr_array(entries, shape=(len(every), width))


def _within(circumstances, agent: np.ndarray, column: np.ndarray, agents: int) -> np.ndarray:
    """Effects, float64 (width,), by ridge regression on deviations from each agent's means."""
    from scipy.sparse import csr_array

    known = ~np.isnan(column)
    x, y, agent = circumstances[known], column[known], agent[known]
    of = csr_array((np.ones(len(y)), (agent, np.arange(len(y)))), shape=(agents, len(y)))
    n = np.maximum(np.bincount(agent, minlength=agents), 1).astype(float)
    sums, totals = np.asarray((of @ x).todense()), of @ y
    gram = np.asarray((x.T @ x).todense()) - sums.T @ (sums / n[:, None])
    moment = x.T @ y - sums.T @ (totals / n)
    return np.linalg.solve(gram + RIDGE * np.eye(len(gram)), moment)
