// Agents as points: two measures, shrunk toward the mean; the fewer the contacts, the further.

const SHAPES = [
  d3.symbolCircle,
  d3.symbolSquare,
  d3.symbolTriangle,
  d3.symbolDiamond,
  d3.symbolCross,
  d3.symbolWye,
  d3.symbolStar,
];
const PROFILED = { __proto__: null }; // a measure of conversations -> the profiles' metric

function defineProfiled() {
  for (const name of [...scores, "fcr"]) if (store.agents.measures[name]) PROFILED[name] = name;
  PROFILED.handle = "handle_time_s";
}

/**
 * Agents of the filtered rows with an estimate of each measure. Without filters it is the profile's, adjusted for what
 * the agent was given; under filters the means of the rows, shrunk by the centre's variances.
 */
function agentEstimates(least) {
  const found = [];
  for (const [agent, list] of groupBy(rows(), "agent")) {
    if (list.length < least) continue;
    const values = {};
    const metrics = isFiltered() ? {} : store.agents.profiles[store.names.agent[agent]]?.metrics || {};
    for (const name of Object.keys(PROFILED)) {
      const raw = estimate(list, measures[name]);
      const fair = metrics[PROFILED[name]]?.shrunk;
      values[name] = { ...raw, shrunk: known(fair) ? fair : shrunk(raw, PROFILED[name]) };
    }
    found.push({ agent, rows: list, values, group: store.groupOf[agent] });
  }
  return found;
}

function shrunk(found, name) {
  const centre = store.agents.centre[name];
  if (!centre || !found.n) return NaN;
  const between = centre.sd_between_agents ** 2;
  if (!between) return centre.mean;
  const weight = between / (between + centre.sd_within_agent ** 2 / found.n);
  return centre.mean + weight * (found.value - centre.mean);
}

function scatterCard(agents, xName, yName) {
  const options = Object.keys(PROFILED)
    .filter((name) => store.agents.centre[PROFILED[name]])
    .map((name) => [name, measures[name].title]);
  const shown = agents.filter((agent) => known(agent.values[xName]?.shrunk) && known(agent.values[yName]?.shrunk));
  return card(
    "Agents",
    {
      wide: true,
      controls: [
        select("Across", options, xName, (value) => refilter({ x: value }), "scatter-x"),
        select("Up", options, yName, (value) => refilter({ y: value }), "scatter-y"),
      ],
      note: [
        `${plural(shown.length, "agent")} with at least ${store.agents.least} conversations under the filters. Values are moved toward the mean; the fewer the conversations, the further. `,
        isFiltered()
          ? "Under filters they are not adjusted: a hard queue can make a good agent look bad. "
          : "They are adjusted for queue, issue, wait and follow-ups, as in the profiles. ",
        "Groups were found on all conversations.",
      ],
      table: () => ({
        head: [
          "Agent",
          "Group",
          "Conversations",
          ...[xName, yName].flatMap((name) => [`${measures[name].title}, shrunk`, "as measured", "95% interval"]),
        ],
        rows: shown.map((agent) => [
          h("a", { href: toAgent(agent.agent) }, store.names.agent[agent.agent]),
          store.groups[agent.group],
          count(agent.rows.length),
          ...[xName, yName].flatMap((name) => {
            const found = agent.values[name];
            return [
              measures[name].show(found.shrunk),
              measures[name].show(found.value),
              interval(found, measures[name]),
            ];
          }),
        ]),
      }),
    },
    plot((width, height) => drawScatter(shown, xName, yName, width, height), 420),
    groupLegend(shown),
  );
}

function drawScatter(agents, xName, yName, width, height) {
  const svg = canvas(
    width,
    height,
    `Agents by ${measures[xName].title} and ${measures[yName].title}. Arrow keys move between agents.`,
  );
  if (!agents.length) return svg;
  const left = 52,
    right = width - 12,
    top = 24,
    bottom = height - 36;
  const scale = (name, range) => {
    const [low, high] = d3.extent(agents, (agent) => agent.values[name].shrunk),
      air = (high - low || 1) * 0.04;
    return d3
      .scaleLinear([Math.max(measures[name].scale[0], low - air), Math.min(measures[name].scale[1], high + air)], range)
      .nice();
  };
  const x = scale(xName, [left, right]),
    y = scale(yName, [bottom, top]);
  yAxis(svg, y, left, right, measures[yName].tick, 5);
  for (const value of x.ticks(Math.max(3, width / 130))) {
    svg.append(
      s("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: bottom }),
      textAt(x(value), bottom + 16, measures[xName].tick(value)),
    );
  }
  svg.append(
    textAt(right, bottom + 32, `${measures[xName].title} →`, "end", "axis"),
    textAt(left, 12, `↑ ${measures[yName].title}`, "start", "axis"),
  );
  const mean = (name) => store.agents.centre[PROFILED[name]].mean;
  const inside = (value, axis) => value >= axis.domain()[0] && value <= axis.domain()[1];
  if (inside(mean(xName), x))
    svg.append(s("line", { class: "reference", x1: x(mean(xName)), x2: x(mean(xName)), y1: top, y2: bottom }));
  if (inside(mean(yName), y))
    svg.append(s("line", { class: "reference", x1: left, x2: right, y1: y(mean(yName)), y2: y(mean(yName)) }));
  for (const agent of d3.sort(agents, (found) => x(found.values[xName].shrunk))) {
    const [across, up] = [agent.values[xName], agent.values[yName]];
    const size = 26 + 6 * Math.min(20, agent.rows.length);
    svg.append(
      mark(
        toAgent(agent.agent),
        `${store.names.agent[agent.agent]}\n${store.groups[agent.group]}, ${plural(agent.rows.length, "conversation")}\n` +
          `${measures[xName].title} ${measures[xName].show(across.value)} (95% ${interval(across, measures[xName])})\n` +
          `${measures[yName].title} ${measures[yName].show(up.value)} (95% ${interval(up, measures[yName])})`,
        s("path", {
          class: `point g${agent.group % SHAPES.length}`,
          d: d3.symbol(SHAPES[agent.group % SHAPES.length], size)(),
          transform: `translate(${x(across.shrunk).toFixed(1)},${y(up.shrunk).toFixed(1)})`,
        }),
      ),
    );
  }
  return svg;
}

function groupLegend(agents) {
  const counts = d3.rollup(
    agents,
    (list) => list.length,
    (agent) => agent.group,
  );
  return h(
    "ul",
    { class: "groups" },
    d3.sort(counts.keys()).map((group) =>
      h(
        "li",
        {},
        s(
          "svg",
          { width: 14, height: 14, "aria-hidden": "true" },
          s("path", {
            class: `point g${group % SHAPES.length}`,
            d: d3.symbol(SHAPES[group % SHAPES.length], 60)(),
            transform: "translate(7,7)",
          }),
        ),
        h("a", { href: toList({ group: store.groups[group] }) }, store.groups[group]),
        ` ${count(counts.get(group))}`,
      ),
    ),
  );
}
