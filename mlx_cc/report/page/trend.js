// A measure by week: means with their interval as a band, volume as bars.

const WEEK = { facet: "week", days: 7, each: "each week", by: "by week", of: "Week of" };
const FOUR_WEEKS = { facet: "weeks", days: 28, each: "every four weeks", by: "by four weeks", of: "Four weeks from" };
const FEWEST_A_WEEK = 5;

/** The step of time: a week, or four where the filters leave fewer than 5 conversations a week. */
function period() {
  const [first, last] = d3.extent(rows(), (row) => store.col.day[row]);
  const weeks = (last - first + 1) / 7;
  return weeks > 8 && rows().length < FEWEST_A_WEEK * weeks ? FOUR_WEEKS : WEEK;
}

function weeksOf(chosen) {
  const { facet, days } = period();
  const found = groupBy(chosen, facet);
  if (!found.size) return [];
  const first = Math.min(...found.keys()),
    last = Math.max(...found.keys());
  const weeks = [];
  for (let week = first; week <= last; week += days) weeks.push({ week, rows: found.get(week) || [] });
  return weeks;
}

function trendCard(name) {
  const volume = name === "volume";
  const measure = measures[name];
  const title = `${volume ? "Volume" : measure.title} ${period().by}`;
  const points = weeksOf(rows()).map((point) => ({ ...point, found: volume ? null : estimate(point.rows, measure) }));
  return card(
    words(period().by),
    {
      wide: true,
      controls: [select("Measure", measureOptions(true), name, (value) => refilter({ trend: value }), "trend-measure")],
      note: volume
        ? "Conversations in each period. The first and the last period may be incomplete."
        : `Mean of ${period().each} with its 95% interval; a hollow dot is an incomplete period. ${measure.label ? `Source: ${scoreSource(measure)}.` : ""}`,
      table: () => ({
        head: [period().of, "Conversations", ...(volume ? [] : [measure.title, "95% interval", "n"])],
        rows: points.map(({ week, rows: inWeek, found }) => [
          h("a", { href: toList({ [period().facet]: isoDay(week) }) }, shownDay(week)),
          count(inWeek.length),
          ...(volume
            ? []
            : found.n
              ? [measure.show(found.value), interval(found, measure), count(found.n)]
              : ["", "", "0"]),
        ]),
      }),
    },
    plot((width, height) => drawTrend(points, measure, title, width, height), 220),
  );
}

function drawTrend(points, measure, title, width, height) {
  const svg = canvas(width, height, `${title}: ${points.length} periods. Arrow keys move between them.`);
  if (!points.length) return svg;
  const left = 44,
    right = width - 10,
    top = 10,
    bottom = height - 26;
  const x = d3
    .scalePoint(
      points.map((point) => point.week),
      [left + 8, right - 8],
    )
    .padding(0.1);
  weekLabels(svg, points, x, bottom, width);
  if (!measure) {
    const y = d3.scaleLinear([0, d3.max(points, (point) => point.rows.length)], [bottom, top]).nice();
    yAxis(svg, y, left, right, count);
    const wide = Math.max(3, Math.min(28, x.step() * 0.66));
    for (const { week, rows: inWeek } of points) {
      svg.append(
        mark(
          toList({ [period().facet]: isoDay(week) }),
          `${period().of} ${shownDay(week)}\n${plural(inWeek.length, "conversation")}`,
          s("rect", {
            class: "bar",
            x: x(week) - wide / 2,
            width: wide,
            y: y(inWeek.length),
            height: bottom - y(inWeek.length),
            rx: 2,
          }),
        ),
      );
    }
    return svg;
  }
  const shown = points.filter((point) => point.found.n);
  const whole = new Set(wholeWeeks(points).map((point) => point.week));
  const y = rangeScale(
    shown.map((point) => point.found),
    measure,
    [bottom, top],
  );
  yAxis(svg, y, left, right, measure.tick);
  const sure = shown.filter((point) => known(point.found.low));
  svg.append(
    s("path", {
      class: "band",
      d: d3
        .area(
          (p) => x(p.week),
          (p) => y(p.found.low),
          (p) => y(p.found.high),
        )
        .curve(d3.curveMonotoneX)(sure),
    }),
    s("path", {
      class: "line",
      d: d3
        .line(
          (p) => x(p.week),
          (p) => y(p.found.value),
        )
        .curve(d3.curveMonotoneX)(shown),
    }),
  );
  for (const { week, found } of shown) {
    svg.append(
      mark(
        toList({ [period().facet]: isoDay(week) }),
        `${period().of} ${shownDay(week)}\n${measure.title} ${measure.show(found.value)}\n95% ${interval(found, measure)}\nn ${count(found.n)}`,
        s("rect", {
          class: "hit",
          x: x(week) - x.step() / 2,
          width: Math.max(x.step(), 8),
          y: top,
          height: bottom - top,
        }),
        s("circle", { class: whole.has(week) ? "dot" : "dot hollow", cx: x(week), cy: y(found.value), r: 3.5 }),
      ),
    );
  }
  return svg;
}

/** A scale that holds every interval, cut at the ends of what is measured. */
function rangeScale(estimates, measure, range) {
  const low = d3.min(estimates, (found) => (known(found.low) ? found.low : found.value));
  const high = d3.max(estimates, (found) => (known(found.high) ? found.high : found.value));
  const air =
    high > low
      ? 0.08 * (high - low)
      : 0.05 * (Number.isFinite(measure.scale[1]) ? measure.scale[1] - measure.scale[0] : high || 1);
  const ends = [Math.max(measure.scale[0], low - air), Math.min(measure.scale[1], high + air)];
  return d3.scaleLinear(ends, range).nice(4);
}

function weekLabels(svg, points, x, bottom, width) {
  const every = Math.max(1, Math.ceil(points.length / Math.max(2, Math.floor(width / 90))));
  points.forEach(({ week }, at) => {
    if (at % every === 0) svg.append(textAt(x(week), bottom + 18, shownDay(week, false)));
  });
}

/** Who gave the numbers that are shown now. */
function scoreSource(measure) {
  const answered = fromAnswers() && store.meta.tasks.some((task) => task.name === measure.name);
  return answered ? `the model's answers (${count(store.meta.answers)})` : sourceWords(measure.label);
}

/** Weeks all of whose days lie in the data; the first and the last are often cut. */
function wholeWeeks(weeks) {
  const [first, last] = d3.extent(rows(), (row) => store.col.day[row]);
  const whole = weeks.filter(({ week }) => week >= first && week + period().days - 1 <= last);
  return whole.length > 1 ? whole : weeks;
}

/** A small line of values in order, without axes. */
function sparkline(values, width = 132, height = 30) {
  const points = values.map((value, at) => ({ at, value }));
  const shown = points.filter((point) => known(point.value));
  const x = d3.scaleLinear([0, Math.max(1, points.length - 1)], [3, width - 3]);
  const y = d3.scaleLinear(
    d3.extent(shown, (point) => point.value),
    [height - 4, 4],
  );
  const last = shown[shown.length - 1];
  return s(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: "spark" },
    shown.length > 1 &&
      s("path", {
        class: "line",
        d: d3.line(
          (p) => x(p.at),
          (p) => y(p.value),
        )(shown),
      }),
    last && s("circle", { class: "dot", cx: x(last.at), cy: y(last.value), r: 2.5 }),
  );
}
