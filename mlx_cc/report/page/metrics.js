// An agent's metrics over the filtered conversations, worked out as `mlx_cc fingerprint` does over all of them.

const COLUMN_OF = { __proto__: null, talk_ratio: "talk", handle_time_s: "handle" };

/** An agent's metric of one row, as a function; null where the page does not hold it. */
function metricOf(name) {
  if (scores.includes(name)) return measures[name].of;
  const { of, good } = measures[name.replace(/_top2$/, "")] || {};
  if (good) return (row) => (known(of(row)) ? Number(holds(good, of(row))) : NaN);
  const column = store.col[COLUMN_OF[name] || name];
  return column ? (row) => column[row] : null;
}

/** Whether the metrics of the profiles, which are over all conversations, would not be those of the filters. */
function isFiltered() {
  return FILTERS.some((name) => state.filters[name]);
}

/** {metric: {value, n, low, high, shrunk}}; an estimate from too few conversations is left out. */
function metricsUnder(mine) {
  const { measures: all, least } = store.agents;
  const found = {};
  for (const name of Object.keys(all).filter((one) => metricOf(one) || one === "quality_deviation")) {
    const values =
      name === "quality_deviation" ? deviations(mine) : mine.map(metricOf(name)).filter(known);
    if (values.length < least) {
      found[name] = { value: null, n: values.length, low: null, high: null, shrunk: null };
      continue;
    }
    const raw = all[name].share ? shareOf(d3.sum(values), values.length) : meanOf(values);
    const { low, high } = all[name];
    found[name] = {
      value: raw.value,
      n: raw.n,
      low: Math.max(raw.low, low ?? -Infinity),
      high: Math.min(raw.high, high ?? Infinity),
      shrunk: shrunk(raw, name),
    };
  }
  return found;
}

/** Distance of each quality score from the agent's mean, corrected for the mean being the agent's own. */
function deviations(mine) {
  const scores = mine.map(metricOf("quality")).filter(known);
  const mean = d3.mean(scores),
    corrected = Math.sqrt(scores.length / (scores.length - 1));
  return scores.length < 2 ? [] : scores.map((score) => Math.abs(score - mean) * corrected);
}
