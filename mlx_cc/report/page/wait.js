// Queue wait against satisfaction: the mean of each class of wait, and the rank correlation over all conversations.

function waitCard() {
  const measure = measures[scores.find((name) => measures[name].good)];
  if (!measure) return null;
  const both = rows().filter((row) => known(store.col.wait[row]) && known(measure.of(row)));
  const groups = groupBy(both, "wait");
  const points = d3
    .range(WAITS.length - 1)
    .filter((bin) => groups.has(bin))
    .map((bin) => ({ bin, found: estimate(groups.get(bin), measure) }));
  const related = spearman(
    both.map((row) => store.col.wait[row]),
    both.map((row) => measure.of(row)),
  );
  const summary = !known(related.value)
    ? `Too few conversations have both a wait and ${measure.title}.`
    : `Spearman's correlation ${related.value.toFixed(2)} (95% ${related.low.toFixed(2)} to ${related.high.toFixed(2)}, n ${count(related.n)}): ` +
      (related.high < 0
        ? `longer waits go with lower ${measure.title}.`
        : related.low > 0
          ? `longer waits go with higher ${measure.title}.`
          : "no clear relation.") +
      " A correlation is no cause: queues differ in more than waiting.";
  return card(
    `Queue wait and ${measure.title}`,
    {
      note: summary,
      table: () => ({
        head: ["Queue wait", measure.title, "95% interval", "n"],
        rows: points.map(({ bin, found }) => [
          h("a", { href: toList({ wait: bin }) }, waitWords(bin)),
          measure.show(found.value),
          interval(found, measure),
          count(found.n),
        ]),
      }),
    },
    plot((width, height) => drawWaits(points, measure, width, height), 230),
  );
}

function drawWaits(points, measure, width, height) {
  const svg = canvas(width, height, `${measure.title} by queue wait. Arrow keys move between classes of wait.`);
  if (!points.length) return svg;
  const left = 40,
    right = width - 8,
    top = 8,
    bottom = height - 40;
  const x = d3
    .scaleBand(
      points.map((point) => point.bin),
      [left, right],
    )
    .padding(0.25);
  const y = rangeScale(
    points.map((point) => point.found),
    measure,
    [bottom, top],
  );
  yAxis(svg, y, left, right, (value) => value.toFixed(1));
  for (const { bin, found } of points) {
    const middle = x(bin) + x.bandwidth() / 2;
    const low = known(found.low) ? found.low : found.value,
      high = known(found.high) ? found.high : found.value;
    svg.append(
      textAt(middle, bottom + 16, x.step() < 48 ? shortWait(bin).replaceAll(" ", "") : shortWait(bin)),
      textAt(middle, bottom + 32, x.step() < 58 ? count(found.n) : `n ${count(found.n)}`),
      mark(
        toList({ wait: bin }),
        `Wait ${waitWords(bin)}\n${measure.title} ${measure.show(found.value)}\n95% ${interval(found, measure)}\nn ${count(found.n)}`,
        s("rect", { class: "hit", x: x(bin), width: x.bandwidth(), y: top, height: bottom - top }),
        s("line", { class: "range", x1: middle, x2: middle, y1: y(low), y2: y(high) }),
        s("circle", { class: "dot", cx: middle, cy: y(found.value), r: 5 }),
      ),
    );
  }
  return svg;
}

function shortWait(bin) {
  const short = (value) => (value < 60 ? `${value} s` : `${value / 60} m`);
  return WAITS[bin + 1] === Infinity ? `> ${short(WAITS[bin])}` : `< ${short(WAITS[bin + 1])}`;
}
