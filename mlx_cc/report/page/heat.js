// Hour by weekday on the site's clock: a real table, each cell a link to its conversations.

const FEWEST = 5;

function heatCard(name) {
  const volume = name === "volume";
  const measure = measures[name];
  const timed = rows().filter((row) => known(store.col.hour[row]));
  const cells = d3.group(
    timed,
    (row) => weekdayOf(store.col.day[row]),
    (row) => store.col.hour[row],
  );
  const hours = hoursShown(timed);
  const all = volume ? null : estimate(timed, measure);
  const most =
    d3.max(Array.from(cells.values()).flatMap((found) => Array.from(found.values(), (list) => list.length))) || 1;
  const untimed = rows().length - timed.length;
  const zones = Object.keys(store.meta.zones);
  const cell = (weekday, hour) => {
    const list = cells.get(weekday)?.get(hour) || [];
    const found = volume ? null : estimate(list, measure);
    const label = `${WEEKDAYS[weekday]} ${hour}:00`;
    if (!list.length) return h("td", { class: "heat none" }, h("span", { class: "unseen" }, "none"));
    const few = volume ? false : found.n < FEWEST;
    const shade = volume ? `v${Math.ceil((6 * list.length) / most)}` : few ? "few" : deviation(found, all, measure);
    const tip = volume
      ? `${label}\n${plural(list.length, "conversation")}`
      : `${label}\n${measure.title} ${found.n ? measure.show(found.value) : "unknown"}\n95% ${interval(found, measure)}\nn ${found.n}`;
    const shown = volume ? list.length : found.n ? heatNumber(found.value, measure) : "";
    return h(
      "td",
      { class: `heat ${shade}` },
      h(
        "a",
        {
          class: "mark",
          href: toList({ weekday, hour }),
          "data-tip": tip,
          "aria-label": tip.replaceAll("\n", ", "),
          tabindex: "-1",
        },
        shown,
      ),
    );
  };
  const table = h(
    "table",
    { class: "heatmap" },
    h("caption", { class: "unseen" }, `${volume ? "Volume" : measure.title} by weekday and hour`),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, h("span", { class: "unseen" }, "Weekday")),
        hours.map((hour) => h("th", { scope: "col" }, hour)),
      ),
    ),
    h(
      "tbody",
      {},
      WEEKDAYS.map((day, weekday) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, day.slice(0, 3)),
          hours.map((hour) => cell(weekday, hour)),
        ),
      ),
    ),
  );
  rove(table);
  return card(
    "When",
    {
      wide: true,
      controls: [select("Measure", measureOptions(true), name, (value) => refilter({ heat: value }), "heat-measure")],
      note: [
        zones.length
          ? `Local hour (${zones.slice(0, 3).join(", ")}${zones.length > 3 ? ` and ${zones.length - 3} more` : ""}). `
          : "The site's time zone is not known; pass --timezone. ",
        untimed > 0 && `${count(untimed)} conversations have no local hour. `,
        !volume &&
          `Colour: distance from the mean of all (${measure.show(all.value)}) in steps of 1, 2 and 3 standard errors; by chance about 5 of 100 hours pass 2. `,
        !volume && `Fewer than ${FEWEST} conversations: no colour.`,
      ],
      table: () => ({
        head: ["Weekday and hour", "Conversations", ...(volume ? [] : [measure.title, "95% interval"])],
        rows: WEEKDAYS.flatMap((day, weekday) => hours.map((hour) => [weekday, hour, cells.get(weekday)?.get(hour)]))
          .filter(([, , list]) => list)
          .map(([weekday, hour, list]) => {
            const found = volume ? null : estimate(list, measure);
            return [
              h("a", { href: toList({ weekday, hour }) }, `${WEEKDAYS[weekday]} ${hour}:00`),
              count(list.length),
              ...(volume ? [] : [found.n ? measure.show(found.value) : "", interval(found, measure)]),
            ];
          }),
      }),
    },
    h("div", { class: "scroll" }, table),
    legend(volume, measure),
  );
}

function hoursShown(timed) {
  const [low, high] = d3.extent(timed, (row) => store.col.hour[row]);
  return low === undefined ? [] : d3.range(low, high + 1);
}

/** better2, worse1, near ...: how far a cell is from the mean of all, in standard errors. */
function deviation(found, all, measure) {
  const error = (all.sd || 0) / Math.sqrt(found.n);
  const z = error ? (measure.better * (found.value - all.value)) / error : 0;
  const step = Math.min(3, Math.floor(Math.abs(z)));
  return step ? `${z > 0 ? "better" : "worse"}${step}` : "near";
}

function heatNumber(value, measure) {
  if (measure.share) return Math.round(100 * value);
  if (measure.name === "wait" || measure.name === "handle") return Math.round(value / 60) || "<1";
  return value.toFixed(measure.digits);
}

function legend(volume, measure) {
  if (volume)
    return h(
      "p",
      { class: "legend" },
      "fewer ",
      [1, 2, 3, 4, 5, 6].map((step) => h("i", { class: `heat v${step}` })),
      " more",
    );
  const unit = measure.share
    ? "Cells show percent. "
    : ["wait", "handle"].includes(measure.name)
      ? "Cells show minutes. "
      : "";
  return h(
    "p",
    { class: "legend" },
    unit,
    "worse ",
    [3, 2, 1].map((step) => h("i", { class: `heat worse${step}` })),
    h("i", { class: "heat near" }),
    [1, 2, 3].map((step) => h("i", { class: `heat better${step}` })),
    " better",
  );
}
