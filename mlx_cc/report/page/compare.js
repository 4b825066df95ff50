// A measure by queue, team, issue ...: who differs from the rest.

const ENOUGH = 20;

/** Values of a facet with their estimate; `differs` where Welch's test against the rest holds over all of them. */
function comparison(facet, measure) {
  const known_ = rows().filter((row) => known(measure.of(row)));
  const found = Array.from(groupBy(known_, facet), ([code, list]) => {
    const inside = new Set(list);
    const found_ = estimate(list, measure),
      rest = estimate(
        known_.filter((row) => !inside.has(row)),
        measure,
      );
    const error = Math.sqrt(found_.sd ** 2 / found_.n + rest.sd ** 2 / rest.n);
    const p = list.length >= ENOUGH && rest.n >= ENOUGH && error > 0 ? normalP((found_.value - rest.value) / error) : 1;
    return { code, found: found_, p, better: (found_.value - rest.value) * measure.better > 0 };
  });
  discoveries(found.map((one) => one.p)).forEach((differs, at) => {
    found[at].differs = differs && found[at].p < 1;
  });
  return found.sort((a, b) => measure.better * (a.found.value - b.found.value));
}

function compareCard() {
  const splits = ["queue", "team", ...classes, "channel", "language", "group"].filter((facet) => groupBy(rows(), facet).size > 1);
  if (!splits.length) return null;
  const facet = splits.includes(state.extra.split) ? state.extra.split : splits[0];
  const options = measureOptions(false);
  const key = options.some(([name]) => name === state.extra.compare) ? state.extra.compare : options[0]?.[0];
  if (!key) return null;
  const measure = measures[key];
  const found = comparison(facet, measure),
    all = estimate(rows(), measure);
  const ends = [
    d3.min(found, (one) => (known(one.found.low) ? one.found.low : one.found.value)),
    d3.max(found, (one) => (known(one.found.high) ? one.found.high : one.found.value)),
  ];
  return card(
    "Who differs",
    {
      wide: true,
      controls: [
        select(
          "Split by",
          splits.map((name) => [name, facets[name].title]),
          facet,
          (value) => refilter({ split: value }),
          "compare-split",
        ),
        select("Measure", options, key, (value) => refilter({ compare: value }), "compare-measure"),
      ],
      note: `Worst first; the tick is the mean of all (${measure.show(all.value)}). Marked: differs from the rest (Welch's test, normal approximation, from ${ENOUGH} conversations on; false discovery rate 5%). Groups differ in their issues and hours too.`,
    },
    h(
      "div",
      { class: "compare" },
      plainTable(
        `${measure.title} by ${facets[facet].title.toLowerCase()}`,
        [facets[facet].title, measure.title, "", "95% interval", "n", ""],
        found.map((one) => [
          h("a", { href: toList({ [facet]: facets[facet].write(one.code) }) }, facets[facet].words(one.code)),
          measure.show(one.found.value),
          whisker(one.found, ends, all.value, innerWidth > 900 ? 380 : 110),
          interval(one.found, measure),
          count(one.found.n),
          one.differs
            ? h("span", { class: `chip ${one.better ? "good" : "bad"}` }, one.better ? "better" : "worse")
            : "",
        ]),
      ),
    ),
  );
}
