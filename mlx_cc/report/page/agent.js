// One agent: metrics beside the centre's, trend, six skills, evidence, what to coach.

function agentPage(name) {
  const agent = store.names.agent.indexOf(name);
  const profile = store.agents.profiles[name];
  if (agent < 0 && !profile)
    return [h("h1", {}, "Agent"), h("p", { class: "card" }, "There is no such agent in this page.")];
  const mine = rows().filter((row) => store.col.agent[row] === agent);
  const about = [
    profile?.team && placed("team", profile.team),
    typeof profile?.queue === "string" && placed("queue", profile.queue),
    store.agents.assignments[name] || "not enough data for a group",
  ].filter(Boolean);
  const shown = profile && (isFiltered() ? { ...profile, metrics: metricsUnder(mine) } : profile);
  return [
    h("h1", {}, name),
    h(
      "p",
      { class: "lead" },
      about.join(" · "),
      " · ",
      h("a", { href: toList({ agent: name }) }, plural(mine.length, "conversation")),
      " under the filters",
    ),
    profile && h("div", { class: "reading" }, metricsCard(shown), radarCard(shown, name)),
    agentTrendCard(name, mine, profile),
    h(
      "div",
      { class: "thirds cards" },
      profile && coachingCard(profile),
      profile && findingsCard(profile),
      worstCard(mine),
    ),
  ];
}

function metricsCard(profile) {
  const { centre, measures: all } = store.agents;
  const adjusted = Object.values(profile.metrics).some((metric) => known(metric.adjusted));
  const lines = Object.entries(profile.metrics).map(([name, metric]) => [
    words(all[name]?.words || name),
    known(metric.value) ? profiled(name, metric.value) : h("span", { class: "soft" }, "not enough data"),
    known(metric.value)
      ? h(
          "span",
          {
            "data-tip": `${words(all[name]?.words || name)}\n95% ${profiledRange(name, metric)}\ncentre ${profiled(name, centre[name]?.mean)}`,
          },
          whisker(metric, whiskerDomain(name, metric), centre[name]?.mean),
        )
      : "",
    profiledRange(name, metric),
    count(metric.n),
    known(metric.shrunk) ? profiled(name, metric.shrunk) : "",
    ...(adjusted ? [known(metric.adjusted) ? profiled(name, metric.adjusted) : ""] : []),
    centre[name] ? profiled(name, centre[name].mean) : "",
  ]);
  return card(
    "Metrics",
    {
      note: [
        isFiltered()
          ? "Over the conversations under the filters. "
          : `Over all conversations in the profiles (${store.meta.profiles}). `,
        "The tick is the centre's mean. Shrunk: moved toward the team's mean; the fewer the conversations, the further. ",
        adjusted
          ? "Adjusted: with the centre's mix of queues, issues, waits and follow-ups; shrunk values are adjusted too."
          : isFiltered() && "Under filters nothing is adjusted.",
      ],
    },
    plainTable(
      "Metrics",
      ["Metric", "Value", "", "95% interval", "n", "Shrunk", ...(adjusted ? ["Adjusted"] : []), "Centre"],
      lines,
    ),
  );
}

function whiskerDomain(name, metric) {
  const { low, high } = store.agents.measures[name] || {};
  if (known(low) && known(high)) return [low, high];
  const centre = store.agents.centre[name],
    ends = [metric.value, metric.low, metric.high, centre?.mean].filter(known);
  return [Math.min(...ends) * 0.9, Math.max(...ends) * 1.1];
}

function agentTrendCard(name, mine, profile) {
  const options = measureOptions(false).filter(([key]) => key !== "wait");
  const asked = state.extra.trend;
  const key = options.some(([option]) => option === asked) ? asked : options[0]?.[0];
  if (!key) return null;
  const measure = measures[key];
  const months = Array.from(groupBy(mine, "month"), ([month, list]) => ({
    month,
    found: estimate(list, measure),
  })).sort((a, b) => a.month - b.month);
  const changes = (profile?.changes || []).filter((change) => change.metric === PROFILED[key]);
  return card(
    "Over time",
    {
      wide: true,
      controls: [select("Measure", options, key, (value) => refilter({ trend: value }), "agent-trend")],
      note: [
        "A dot is a conversation; a bar is the mean of a month, with its 95% interval from 3 conversations on. ",
        changes.map(
          (change) =>
            `Change in the week of ${shownDay(dayOf(change.week))}: ${profiled(change.metric, change.before)} → ${profiled(change.metric, change.after)}, p ${smallP(change.p)}. `,
        ),
      ],
      table: () => ({
        head: ["Month", measure.title, "95% interval", "n"],
        rows: months.map(({ month, found }) => [
          h("a", { href: toList({ agent: name, month }) }, facets.month.words(month)),
          found.n ? measure.show(found.value) : "",
          found.n ? interval(found, measure) : "",
          count(found.n),
        ]),
      }),
    },
    plot((width, height) => drawAgentTrend(mine, months, changes, measure, width, height), 230),
  );
}

function drawAgentTrend(mine, months, changes, measure, width, height) {
  const svg = canvas(
    width,
    height,
    `${measure.title} of each conversation over time. Arrow keys move between conversations.`,
  );
  const dated = mine.filter((row) => known(measure.of(row)) && known(store.col.day[row]));
  if (!dated.length) return append(svg, [textAt(width / 2, height / 2, "No conversation under the filters has this measure.")]);
  const left = 46,
    right = width - 12,
    top = 10,
    bottom = height - 26;
  const days = d3.extent(dated, (row) => store.col.day[row]);
  const x = d3.scaleLinear([days[0] - 3, days[1] + 3], [left, right]);
  const y = d3.scaleLinear(measure.share ? [0, 1] : d3.extent(dated, (row) => measure.of(row)), [bottom, top]).nice();
  yAxis(svg, y, left, right, measure.tick);
  const middle = (month) => dayOf(`${Math.floor(month / 12)}-${String((month % 12) + 1).padStart(2, "0")}-15`);
  const inside = (month) => Math.min(days[1], Math.max(days[0], middle(month)));
  let free = -Infinity;
  for (const { month } of months) {
    const at = Math.min(right - 28, x(inside(month)));
    if (at < free) continue;
    svg.append(textAt(at, bottom + 18, facets.month.words(month)));
    free = at + 66;
  }
  const cut = (value) => y(Math.min(y.domain()[1], Math.max(y.domain()[0], value)));
  for (const { month, found } of months) {
    if (!found.n) continue;
    const at = x(inside(month));
    if (found.n >= 3)
      svg.append(s("line", { class: "range", x1: at, x2: at, y1: cut(found.low), y2: cut(found.high) }));
    svg.append(s("line", { class: "mean", x1: at - 12, x2: at + 12, y1: y(found.value), y2: y(found.value) }));
  }
  for (const change of changes) {
    const at = x(dayOf(change.week));
    if (at >= left && at <= right) svg.append(s("line", { class: "change-mark", x1: at, x2: at, y1: top, y2: bottom }));
  }
  for (const row of dated) {
    svg.append(
      mark(
        toConversation(row),
        `${store.ids[row]}\n${shownDay(store.col.day[row])}\n${measure.title} ${measure.show(measure.of(row))}`,
        s("circle", { class: "point g0", cx: x(store.col.day[row]), cy: y(measure.of(row)), r: 4 }),
      ),
    );
  }
  return svg;
}

function evidenceLinks(ids) {
  return ids.map((id) =>
    store.place.has(id)
      ? h("a", { class: "evidence", href: toConversation(store.place.get(id)) }, id)
      : h("span", { class: "evidence soft" }, id),
  );
}

function findingsCard(profile) {
  const part = (title, found, tone, none) =>
    h(
      "div",
      {},
      h("h3", {}, title),
      found.length
        ? h(
            "ul",
            { class: "findings" },
            found.map((finding) =>
              h(
                "li",
                { class: tone },
                h("b", {}, words(finding.skill)),
                h("p", {}, words(finding.reason)),
                h("p", { class: "soft" }, "Evidence: ", evidenceLinks(finding.evidence)),
              ),
            ),
          )
        : h("p", { class: "soft" }, none),
    );
  return card(
    "Strengths and weaknesses",
    {
      note: "Over all conversations in the profiles. Only skills in the centre's best or worst quarter whose whole interval lies on that side of the mean.",
    },
    part("Strengths", profile.strengths, "good", "None stands out in these conversations."),
    part("Weaknesses", profile.weaknesses, "bad", "None stands out in these conversations."),
  );
}

function coachingCard(profile) {
  const plan = profile.coaching_priorities;
  return card(
    "Coaching plan",
    { note: "The most valuable first. `mlx_cc coach` adds the turns to review and good contacts of colleagues." },
    plan.length
      ? h(
          "ol",
          { class: "plan" },
          plan.map((priority) =>
            h(
              "li",
              {},
              h("b", {}, words(priority.skill)),
              h("p", {}, priority.action),
              priority.expected_effect && h("p", { class: "soft" }, worth(priority.expected_effect)),
              h("p", { class: "soft" }, words(priority.reason), ". Go through ", evidenceLinks(priority.evidence)),
            ),
          ),
        )
      : h(
          "p",
          {},
          profile.strengths.length
            ? "No weakness stands out. Build on what goes well, and review a few conversations together."
            : "No skill is clearly above or below the centre in these conversations. Review a few together.",
        ),
  );
}

/** What coming up to the centre's mean goes with, in words. */
function worth({ outcome, change, low, high }) {
  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  const name = store.agents.measures[outcome]?.words || words(outcome);
  return `Reaching the centre's mean in this skill goes with ${points(change)} ${name} (95% ${points(low)} to ${points(high)}). That is an association, not a promise.`;
}

function worstCard(mine) {
  const troubled = mine
    .map((row) => ({ row, why: concerns(row) }))
    .filter((found) => found.why.length)
    .sort((a, b) => store.col.day[b.row] - store.col.day[a.row]);
  return card(
    "To look at",
    { note: `Conversations with ${concernRule()}.` },
    troubled.length
      ? h(
          "ul",
          { class: "plain" },
          troubled.slice(0, 8).map(({ row, why }) =>
            h(
              "li",
              {},
              h("a", { href: toConversation(row) }, store.ids[row]),
              " ",
              h("span", { class: "soft" }, shownDay(store.col.day[row])),
              " ",
              why.map((reason) => h("span", { class: "chip bad" }, reason)),
            ),
          ),
        )
      : h("p", { class: "soft" }, "None."),
  );
}
