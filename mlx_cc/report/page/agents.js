// All agents: where they stand, and a table to find one in.

function agentsPage() {
  const all = agentEstimates(1);
  const enough = all.filter((agent) => agent.rows.length >= store.agents.least);
  const [across, up] = standing();
  const axis = (key, otherwise) => (Object.hasOwn(PROFILED, state.extra[key]) ? state.extra[key] : otherwise);
  if (!all.length)
    return [h("h1", {}, "Agents"), h("p", { class: "card" }, "No conversation under the filters names its agent.")];
  return [
    h("h1", { class: "unseen" }, "Agents"),
    scatterCard(enough, axis("x", across), axis("y", up)),
    groupsCard(),
    agentTable(all),
  ];
}

/** The measures that say how an agent stands: the scores in the profiles, and first-contact resolution. */
function standing() {
  return Object.keys(PROFILED).filter((name) => name !== "handle");
}

function groupsCard() {
  const { groups, silhouette, stability } = store.agents;
  const names = Object.keys(groups);
  if (!names.length) return null;
  const shown = [...standing(), "quality_deviation"];
  return card(
    "Groups",
    {
      wide: true,
      note: [
        `k-means on the shrunk metrics of all conversations. `,
        known(silhouette) &&
          `Silhouette ${silhouette.toFixed(2)}: ${silhouette < 0.5 ? "the groups overlap and are parts of a continuum, not kinds of people. " : "the groups are apart. "}`,
        stability &&
          `Stability: ${
            typeof stability === "object"
              ? Object.entries(stability)
                  .filter(([, value]) => typeof value === "number")
                  .map(([name, value]) => `${words(name)} ${value.toFixed(2)}`)
                  .join(", ")
              : stability
          }.`,
      ],
    },
    plainTable(
      "Groups of agents",
      ["Group", "Agents", ...shown.map((name) => words(store.agents.measures[name].words))],
      names.map((name) => [
        name,
        count(groups[name].n),
        ...shown.map((metric) => profiled(metric, groups[name].means[metric])),
      ]),
    ),
  );
}

function agentTable(all) {
  const asked = (state.extra.find || "").toLowerCase();
  const sort = state.extra.by || "quality";
  const few = (agent) => agent.rows.length < store.agents.least;
  const value = (agent) => (sort === "n" ? -agent.rows.length : few(agent) ? NaN : agent.values[sort]?.shrunk);
  const found = d3.sort(
    all.filter((agent) => store.names.agent[agent.agent].toLowerCase().includes(asked)),
    (agent) => (known(value(agent)) ? value(agent) : Infinity),
  );
  const domains = Object.fromEntries(
    standing().map((metric) => [metric, d3.extent(all, (agent) => agent.values[metric].value)]),
  );
  const page = Math.max(1, Number(state.extra.page) || 1);
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  return card(
    "All agents",
    {
      wide: true,
      note: "Means of the conversations under the filters, with their 95% interval. Sorted by the shrunk value, lowest first; agents without enough conversations come last.",
      controls: [
        h(
          "label",
          { class: "field" },
          h("span", {}, "Find"),
          h("input", {
            type: "search",
            id: "find-agent",
            value: state.extra.find || "",
            on: { change: (event) => refilter({ find: event.target.value, page: "" }) },
          }),
        ),
        select(
          "Sort by",
          [
            ...standing().map((name) => [name, measures[name].title]),
            ["n", "Conversations"],
          ],
          sort,
          (by) => refilter({ by, page: "" }),
          "sort-agents",
        ),
      ],
    },
    plainTable(
      "Agents",
      ["Agent", "Group", "n", ...standing().map((name) => measures[name].title), "Weaknesses"],
      found.slice((page - 1) * PAGE, page * PAGE).map((agent) => {
        const name = store.names.agent[agent.agent];
        return [
          h("a", { href: toAgent(agent.agent) }, name),
          store.groups[agent.group],
          count(agent.rows.length),
          ...standing().map((metric) =>
            few(agent) ? h("span", { class: "soft" }, "not enough data") : withWhisker(agent.values[metric], measures[metric], metric, domains[metric]),
          ),
          (store.agents.profiles[name]?.weaknesses || []).map((found_) =>
            h("span", { class: "chip bad" }, words(found_.skill)),
          ),
        ];
      }),
    ),
    pages > 1 && pager(page, pages),
  );
}

function withWhisker(found, measure, metric, domain) {
  if (!found.n) return "";
  return h(
    "span",
    {
      class: "with-whisker",
      "data-tip": `${measure.title} ${measure.show(found.value)}\n95% ${interval(found, measure)}\nn ${found.n}`,
    },
    h("span", { class: "n" }, measure.show(found.value)),
    whisker(found, domain, store.agents.centre[PROFILED[metric]]?.mean),
  );
}
