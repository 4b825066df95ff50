// Issues by week: shares, single weeks out of the ordinary, and drift over the whole period.

const EXPECTED = 5; // conversations of an issue, below which the normal approximation of a p-chart fails

/** Each issue with its weekly shares, p-chart limits and trend test. */
function issueTrends() {
  const weeks = weeksOf(rows()).map((point) => ({
    week: point.week,
    rows: point.rows.filter((row) => facets.issue.code(row) >= 0),
  }));
  const totals = weeks.map((point) => point.rows.length);
  const n = d3.sum(totals);
  const codes = new Map();
  weeks.forEach((point, at) =>
    point.rows.forEach((row) => {
      const code = facets.issue.code(row);
      if (!codes.has(code)) codes.set(code, new Array(weeks.length).fill(0));
      codes.get(code)[at]++;
    }),
  );
  const found = Array.from(codes, ([code, hits]) => {
    const all = d3.sum(hits),
      share = all / n;
    const points = hits.map((hit, at) => {
      const error = Math.sqrt((share * (1 - share)) / totals[at]);
      const value = totals[at] ? hit / totals[at] : NaN;
      const odd = totals[at] * share >= EXPECTED && Math.abs(value - share) > 3 * error;
      return {
        at,
        week: weeks[at].week,
        hit,
        total: totals[at],
        value,
        odd,
        low: Math.max(0, share - 3 * error),
        high: share + 3 * error,
      };
    });
    return { code, all, share, points, test: trendTest(hits, totals) };
  });
  discoveries(found.map((issue) => issue.test.p)).forEach((drifts, at) => {
    found[at].drifts = drifts && weeks.length > 2;
  });
  return found.sort((a, b) => b.drifts - a.drifts || b.all - a.all);
}

function issueCard(trends, chosenName) {
  const chosen = trends.find((issue) => facets.issue.write(issue.code) === chosenName) || trends[0];
  if (!chosen) return card(`Issues ${period().by}`, { wide: true, note: "No conversation has an issue." });
  const line = (issue) =>
    h(
      "tr",
      { class: issue === chosen ? "chosen" : "" },
      h(
        "th",
        { scope: "row" },
        h(
          "button",
          {
            type: "button",
            class: "plain",
            id: `issue-${issue.code}`,
            "aria-pressed": String(issue === chosen),
            on: { click: () => refilter({ issue: facets.issue.write(issue.code) }) },
          },
          facets.issue.words(issue.code),
        ),
      ),
      h("td", { class: "n" }, h("a", { href: toList({ issue: facets.issue.write(issue.code) }) }, count(issue.all))),
      h("td", { class: "n" }, percent(issue.share, 1)),
      h("td", {}, sparkline(wholeWeeks(issue.points).map((point) => point.value))),
      h("td", {}, driftChip(issue)),
    );
  return card(
    `Issues ${period().by}`,
    {
      wide: true,
      note: [
        `Source: ${scoreSource({ name: "issue", label: "issue" })}. `,
        "Drift: Cochran-Armitage test for a trend of the share over time, false discovery rate 5% over all issues (Benjamini-Hochberg). ",
        "Ringed: share beyond 3 standard errors of its mean (p-chart); about 1 in 370 by chance.",
      ],
      table: () => ({
        head: [period().of, "Conversations", facets.issue.words(chosen.code), "Share", "Ordinary range"],
        rows: chosen.points.map((point) => [
          h(
            "a",
            { href: toList({ [period().facet]: isoDay(point.week), issue: facets.issue.write(chosen.code) }) },
            shownDay(point.week),
          ),
          count(point.total),
          count(point.hit),
          known(point.value) ? percent(point.value, 1) : "",
          `${percent(point.low, 1)} to ${percent(point.high, 1)}${point.odd ? ", outside" : ""}`,
        ]),
      }),
    },
    h(
      "div",
      { class: "issues" },
      h(
        "div",
        { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Issues" },
        h(
          "table",
          {},
          h("caption", { class: "unseen" }, "Issues with their share and drift"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["Issue", "n", "Share", words(period().by), "Drift"].map((name) => h("th", { scope: "col" }, name)),
            ),
          ),
          h("tbody", {}, trends.map(line)),
        ),
      ),
      h(
        "div",
        {},
        h("h3", {}, facets.issue.words(chosen.code), " ", driftChip(chosen)),
        plot((width, height) => drawIssue(chosen, width, height), 250),
      ),
    ),
  );
}

function driftChip(issue) {
  if (issue.drifts) {
    const rising = issue.test.z > 0;
    return h("span", { class: "chip warn" }, `${rising ? "▲ rising" : "▼ falling"}, p ${smallP(issue.test.p)}`);
  }
  const odd = issue.points.filter((point) => point.odd).length;
  return odd ? h("span", { class: "chip" }, `${plural(odd, "unusual point")}`) : h("span", { class: "soft" }, "none");
}

function smallP(p) {
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

function drawIssue(issue, width, height) {
  const name = facets.issue.words(issue.code);
  const svg = canvas(width, height, `Share of ${name} ${period().by}. Arrow keys move between points.`);
  const left = 44,
    right = width - 10,
    top = 10,
    bottom = height - 26;
  const points = issue.points.filter((point) => point.total);
  const x = d3
    .scalePoint(
      issue.points.map((point) => point.week),
      [left + 8, right - 8],
    )
    .padding(0.1);
  const y = d3
    .scaleLinear(
      [0, d3.max(points, (point) => Math.max(point.value, Math.min(point.high, 3 * issue.share)))],
      [bottom, top],
    )
    .nice();
  yAxis(svg, y, left, right, (value) => percent(value, y.domain()[1] < 0.05 ? 1 : 0));
  weekLabels(svg, issue.points, x, bottom, width);
  const cut = (value) => y(Math.min(value, y.domain()[1]));
  svg.append(
    s("path", {
      class: "band",
      d: d3
        .area(
          (p) => x(p.week),
          (p) => cut(p.low),
          (p) => cut(p.high),
        )
        .curve(d3.curveStep)(points),
    }),
    s("line", { class: "reference", x1: left, x2: right, y1: y(issue.share), y2: y(issue.share) }),
    s("path", {
      class: "line",
      d: d3.line(
        (p) => x(p.week),
        (p) => y(p.value),
      )(points),
    }),
  );
  for (const point of points) {
    svg.append(
      mark(
        toList({ [period().facet]: isoDay(point.week), issue: facets.issue.write(issue.code) }),
        `${period().of} ${shownDay(point.week)}\n${name}: ${percent(point.value, 1)} (${point.hit} of ${point.total})${point.odd ? "\noutside the ordinary range" : ""}`,
        s("rect", {
          class: "hit",
          x: x(point.week) - x.step() / 2,
          width: Math.max(8, x.step()),
          y: top,
          height: bottom - top,
        }),
        point.odd && s("circle", { class: "ring", cx: x(point.week), cy: y(point.value), r: 8 }),
        s("circle", { class: "dot", cx: x(point.week), cy: y(point.value), r: 3.5 }),
      ),
    );
  }
  return svg;
}
