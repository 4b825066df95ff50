"""Case-mix adjustment: what queue, issue, wait and follow-up do to a measure, taken out before agents are compared."""

from typing import NamedTuple

import numpy as np

from mlx_cc.agents.contact_table import ContactTable, quality_deviation

RIDGE = 1.0
"""Penalty of the regression: it weighs as much as one contact, so that a queue seen twice has almost no effect."""

METHOD = (
    "value less the effects of queue, issue, log(1 + minutes waited) and being a follow-up, relative to the centre's "
    "mix. Effects are estimated within agents (a regression with an intercept for each: Mundlak 1978), so skilled "
    "agents who are given hard contacts do not make those look easy; a ridge of one contact keeps rare queues and "
    "issues near no effect"
)


class CaseMix(NamedTuple):
    """Effects of a contact's circumstances on each measure."""

    levels: dict[str, dict[str, int]]
    """Factor -> level -> its column in the design matrix; a level not seen in fitting has no effect."""
    width: int
    """Columns of the design matrix; the last two are the wait and whether it is unknown."""
    mean_log_wait: float
    """Stands in where a contact has no wait."""
    centre_mix: np.ndarray
    """float64 (width,): mean of each column over the centre."""
    effects: dict[str, np.ndarray]
    """Measure -> float64 (width,)."""

    def adjust(self, table: ContactTable) -> dict[str, np.ndarray]:
        """Measure -> float64 (rows,): the value each contact would have under the centre's mix."""
        design = _design(table, self.levels, self.width, self.mean_log_wait)
        adjusted = dict(table.columns)
        for name, effects in self.effects.items():
            adjusted[name] = adjusted[name] - (design @ effects - float(self.centre_mix @ effects))
        adjusted["quality_deviation"] = quality_deviation(table.agent, adjusted["quality"], len(table.agents))
        return adjusted


def fit_case_mix(table: ContactTable) -> CaseMix:
    """Estimate the effects on every measure from one centre's contacts."""
    levels: dict[str, dict[str, int]] = {}
    width = 0
    for factor, (names, column) in table.factors.items():
        seen = np.flatnonzero(np.bincount(column, minlength=len(names)))
        levels[factor] = {names[level]: width + offset for offset, level in enumerate(seen.tolist())}
        width += len(seen)
    has_wait = ~np.isnan(table.log_wait)
    mean_log_wait = float(table.log_wait[has_wait].mean()) if has_wait.any() else 0.0
    width += 2
    design = _design(table, levels, width, mean_log_wait)
    centre_mix = np.asarray(design.mean(axis=0)).ravel() if len(table.agent) else np.zeros(width)
    effects = {
        name: _within_agents(design, table.agent, column, len(table.agents))
        for name, column in table.columns.items()
        if name != "quality_deviation" and not np.isnan(column).all()
    }
    for effect in effects.values():
        for columns in (list(level_columns.values()) for level_columns in levels.values()):
            effect[columns] -= centre_mix[columns] @ effect[columns]  # so that an unseen level equals the centre's mix
    return CaseMix(levels, width, mean_log_wait, centre_mix, effects)


def _design(table: ContactTable, levels: dict[str, dict[str, int]], width: int, mean_log_wait: float):
    """Design matrix, sparse float64 (rows, width): a 1 per factor's level, the log wait, and whether it is unknown."""
    from scipy.sparse import csr_array

    rows, columns, values = [], [], []
    every = np.arange(len(table.agent))
    for factor, (names, level) in table.factors.items():
        column = np.array([levels[factor].get(name, -1) for name in names])[level]
        seen = column >= 0
        rows.append(every[seen])
        columns.append(column[seen])
        values.append(np.ones(int(seen.sum())))
    unknown = np.isnan(table.log_wait)
    rows += [every, every[unknown]]
    columns += [np.full(len(every), width - 2), np.full(int(unknown.sum()), width - 1)]
    values += [np.where(unknown, mean_log_wait, table.log_wait), np.ones(int(unknown.sum()))]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(len(every), width))


def _within_agents(design, agent: np.ndarray, column: np.ndarray, agents: int) -> np.ndarray:
    """Effects, float64 (width,), by ridge regression on deviations from each agent's means."""
    from scipy.sparse import csr_array

    has_value = ~np.isnan(column)
    x, y, agent = design[has_value], column[has_value], agent[has_value]
    membership = csr_array((np.ones(len(y)), (agent, np.arange(len(y)))), shape=(agents, len(y)))
    n = np.maximum(np.bincount(agent, minlength=agents), 1).astype(float)
    sums, totals = np.asarray((membership @ x).todense()), membership @ y
    gram = np.asarray((x.T @ x).todense()) - sums.T @ (sums / n[:, None])
    moment = x.T @ y - sums.T @ (totals / n)
    return np.linalg.solve(gram + RIDGE * np.eye(len(gram)), moment)
