// The first page: how it stands, what changed, what to look at first.

const RECENT = 28;
const COMPARED = 10; // conversations that each of two periods must have

function overview() {
  const trends = issueTrends();
  return [
    h("h1", { class: "unseen" }, "Overview"),
    h(
      "div",
      { class: "tiles" },
      volumeTile(),
      [...scores, "fcr"].map((name) => tile(measures[name])),
    ),
    firstCard(trends),
    h(
      "div",
      { class: "grid" },
      trendCard(chosenMeasure("trend", "quality")),
      heatCard(chosenMeasure("heat", "volume")),
      compareCard(),
      issueCard(trends, state.extra.issue),
      waitCard(),
      qualityCard(),
    ),
  ];
}

function chosenMeasure(key, otherwise) {
  const asked = state.extra[key];
  const options = measureOptions(true).map(([name]) => name);
  return options.includes(asked) ? asked : options.includes(otherwise) ? otherwise : "volume";
}

/** The last 28 days of the data and the 28 before. */
function twoPeriods() {
  const last = lastDay();
  const between = (low, high) => rows().filter((row) => store.col.day[row] > low && store.col.day[row] <= high);
  return [between(last - RECENT, last), between(last - 2 * RECENT, last - RECENT)];
}

function volumeTile() {
  const whole = wholeWeeks(weeksOf(rows()));
  const perWeek = meanOf(whole.map((point) => point.rows.length));
  const [later, earlier] = twoPeriods();
  return h(
    "section",
    { class: "tile", "aria-label": "Volume" },
    h("h2", {}, h("a", { href: toList({}) }, "Volume")),
    h("p", { class: "value" }, count(rows().length)),
    h(
      "p",
      { class: "range" },
      whole.length > 1
        ? `${count(perWeek.value)} ${period().each}, ${count(d3.min(whole, (w) => w.rows.length))} to ${count(d3.max(whole, (w) => w.rows.length))}`
        : "conversations",
    ),
    plot(
      (width) =>
        sparkline(
          whole.map((point) => point.rows.length),
          width,
        ),
      30,
      60,
    ),
    h(
      "p",
      { class: "change" },
      earlier.length
        ? h("span", {}, `last 4 weeks ${count(later.length)}, the 4 before ${count(earlier.length)}`)
        : "\u00a0",
    ),
  );
}

function tile(measure) {
  const found = estimate(rows(), measure);
  if (!found.n) {
    return h(
      "section",
      { class: "tile", "aria-label": measure.title },
      h("h2", {}, measure.title),
      h("p", { class: "value none" }, "–"),
      h("p", { class: "range" }, "no labels"),
    );
  }
  const [later, earlier] = twoPeriods().map((list) => estimate(list, measure));
  const weekly = wholeWeeks(weeksOf(rows())).map((point) => estimate(point.rows, measure).value);
  return h(
    "section",
    { class: "tile", "aria-label": measure.title, id: `tile-${measure.name}` },
    h("h2", {}, h("a", { href: toList({}) }, measure.title)),
    h("p", { class: "value" }, measure.show(found.value), measure.unit && h("small", {}, ` ${measure.unit}`)),
    h("p", { class: "range" }, `95% ${interval(found, measure)}, n ${count(found.n)}`),
    plot((width) => sparkline(weekly, width), 30, 60),
    changeLine(Math.min(later.n, earlier.n) < COMPARED ? null : difference(later, earlier), measure),
  );
}

/** The difference to the four weeks before, called a change only where its interval leaves out zero. */
function changeLine(change, measure) {
  if (!change)
    return h("p", { class: "change" }, h("span", {}, `fewer than ${COMPARED} in one of the last two 4 weeks`));
  const show = (value) =>
    `${value > 0 ? "+" : value < 0 ? "−" : ""}${measure.share ? `${Math.abs(100 * value).toFixed(1)} pp` : measure.show(Math.abs(value))}`;
  const clear = change.low > 0 || change.high < 0;
  const good = change.value * measure.better > 0;
  return h(
    "p",
    {
      class: `change ${clear ? (good ? "good" : "bad") : ""}`,
      title: "Last 4 weeks against the 4 before, with Welch's 95% interval",
    },
    clear ? `${change.value > 0 ? "▲" : "▼"} ${show(change.value)}` : "no clear change",
    h("span", {}, ` ${show(change.low)} to ${show(change.high)} on the 4 weeks before`),
  );
}

/** What a lead opens first: conversations of the last week, issues on the move, agents who changed. */
function firstCard(trends) {
  const last = lastDay();
  const recent = rows().filter((row) => last - store.col.day[row] < 7);
  const troubled = recent
    .map((row) => ({ row, why: concerns(row) }))
    .filter((found) => found.why.length)
    .sort((a, b) => b.why.length - a.why.length || measures.quality.of(a.row) - measures.quality.of(b.row));
  const moving = trends.filter((issue) => issue.drifts);
  return card(
    "Look at first",
    { wide: true, className: "first" },
    h(
      "div",
      { class: "thirds" },
      h(
        "div",
        {},
        h("h3", {}, "Conversations of the last 7 days"),
        troubled.length
          ? h(
              "p",
              { class: "soft" },
              h(
                "a",
                { href: toList({ latest: 7, concern: 1 }) },
                `${count(troubled.length)} of ${count(recent.length)}`,
              ),
              ` have a reason to look: ${concernRule()}.`,
            )
          : h("p", { class: "soft" }, "None has a reason to look."),
        h(
          "ul",
          { class: "plain" },
          troubled.slice(0, 5).map(({ row, why }) =>
            h(
              "li",
              {},
              h("a", { href: toConversation(row) }, store.ids[row]),
              " ",
              why.map((reason) => h("span", { class: "chip bad" }, reason)),
              h(
                "span",
                { class: "soft small" },
                [
                  store.names.agent[store.col.agent[row]],
                  facets.issue.code(row) >= 0 && facets.issue.words(facets.issue.code(row)),
                ]
                  .filter(Boolean)
                  .join(", "),
              ),
            ),
          ),
        ),
      ),
      h(
        "div",
        {},
        h("h3", {}, "Issues that drift"),
        moving.length
          ? h(
              "ul",
              { class: "plain" },
              moving
                .slice(0, 6)
                .map((issue) =>
                  h(
                    "li",
                    {},
                    h("a", { href: toList({ issue: facets.issue.write(issue.code) }) }, facets.issue.words(issue.code)),
                    " ",
                    driftChip(issue),
                  ),
                ),
            )
          : h("p", { class: "soft" }, "No issue's share rises or falls beyond chance."),
      ),
      h("div", {}, h("h3", {}, "Agents"), agentNews()),
    ),
  );
}

/** Agents whose level changed by their profiles, else those furthest below the centre under the filters. */
function agentNews() {
  const here = new Set(Array.from(groupBy(rows(), "agent").keys(), (agent) => store.names.agent[agent]));
  const changed = Object.entries(store.agents.profiles)
    .filter(([name]) => here.has(name))
    .flatMap(([name, profile]) => profile.changes.map((change) => ({ name, ...change })))
    .sort((a, b) => (a.week < b.week ? 1 : -1));
  if (changed.length) {
    return h(
      "ul",
      { class: "plain" },
      changed
        .slice(0, 5)
        .map((change) =>
          h(
            "li",
            {},
            h("a", { href: to(["agent", change.name]) }, change.name),
            " ",
            h(
              "span",
              { class: "chip warn" },
              `${store.agents.measures[change.metric]?.words || words(change.metric)} ${profiled(change.metric, change.before)} → ${profiled(change.metric, change.after)}`,
            ),
            h("span", { class: "soft" }, ` week of ${shownDay(dayOf(change.week))}`),
          ),
        ),
    );
  }
  const weak = agentEstimates(store.agents.least)
    .filter((agent) => known(agent.values.quality.shrunk))
    .sort((a, b) => a.values.quality.shrunk - b.values.quality.shrunk)
    .slice(0, 5);
  if (!weak.length)
    return h("p", { class: "soft" }, `No agent has ${store.agents.least} conversations under the filters.`);
  return [
    h("p", { class: "soft" }, "Lowest quality, shrunk toward the mean:"),
    h(
      "ul",
      { class: "plain" },
      weak.map((agent) =>
        h(
          "li",
          {},
          h("a", { href: toAgent(agent.agent) }, store.names.agent[agent.agent]),
          " ",
          h("span", { class: "chip" }, `${measures.quality.show(agent.values.quality.shrunk)}, n ${agent.rows.length}`),
        ),
      ),
    ),
  ];
}

/** How quality lies: bands from 0 to 100. */
function qualityCard() {
  const measure = measures.quality;
  const groups = groupBy(rows(), "quality");
  const n = d3.sum(groups.values(), (list) => list.length);
  const bins = d3
    .range(BANDS.length - 1)
    .map((bin) => ({ bin, found: shareOf((groups.get(bin) || []).length, n), n: (groups.get(bin) || []).length }));
  return card(
    "Quality bands",
    {
      note: n
        ? `Share of conversations in each band, with its 95% interval (Wilson). Source: ${scoreSource(measure)}.`
        : "No conversation has a quality score.",
      table: () => ({
        head: ["Quality", "Conversations", "Share", "95% interval"],
        rows: bins.map(({ bin, found, n: here }) => [
          h("a", { href: toList({ quality: bin }) }, facets.quality.words(bin)),
          count(here),
          percent(found.value, 1),
          `${percent(found.low, 1)} to ${percent(found.high, 1)}`,
        ]),
      }),
    },
    plot((width, height) => drawBands(bins, n, width, height), 230),
  );
}

function drawBands(bins, n, width, height) {
  const svg = canvas(width, height, "Conversations by quality band. Arrow keys move between bands.");
  if (!n) return svg;
  const left = 40,
    right = width - 8,
    top = 8,
    bottom = height - 40;
  const x = d3
    .scaleBand(
      bins.map((bin) => bin.bin),
      [left, right],
    )
    .padding(0.25);
  const y = d3.scaleLinear([0, d3.max(bins, (bin) => bin.found.high)], [bottom, top]).nice();
  yAxis(svg, y, left, right, (value) => percent(value));
  for (const { bin, found, n: here } of bins) {
    const middle = x(bin) + x.bandwidth() / 2;
    svg.append(
      textAt(middle, bottom + 16, facets.quality.words(bin).replace(" to ", "–")),
      textAt(middle, bottom + 32, x.step() < 58 ? count(here) : `n ${count(here)}`),
      mark(
        toList({ quality: bin }),
        `Quality ${facets.quality.words(bin)}\n${percent(found.value, 1)} (95% ${percent(found.low, 1)} to ${percent(found.high, 1)})\nn ${count(here)}`,
        s("rect", {
          class: "bar",
          x: x(bin),
          width: x.bandwidth(),
          y: y(found.value),
          height: bottom - y(found.value),
          rx: 3,
        }),
        s("line", { class: "range strong", x1: middle, x2: middle, y1: y(found.low), y2: y(found.high) }),
      ),
    );
  }
  return svg;
}
