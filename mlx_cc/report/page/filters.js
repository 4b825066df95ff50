// The bar of filters under the heading; it holds for every page.

let unfolded = false; // whether a phone shows the filters

function drawFilters() {
  const { names, meta, col } = store;
  const bar = byId("filters");
  const choice = (name, title) =>
    names[name].length > 1 &&
    select(
      title,
      [["", "all"], ...d3.sort(names[name]).map((value) => [value, name === "language" ? value : words(value)])],
      state.filters[name] || "",
      (value) => refilter({ [name]: value }),
      `filter-${name}`,
    );
  const days = d3.extent(col.day);
  const date = (name, title) =>
    days[0] !== undefined &&
    h(
      "label",
      { class: "field" },
      h("span", {}, title),
      h("input", {
        type: "date",
        id: `filter-${name}`,
        min: isoDay(days[0]),
        max: isoDay(days[1]),
        value: state.filters[name] || "",
        on: { change: (event) => refilter({ [name]: event.target.value }) },
      }),
    );
  const span = (weeks) =>
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        id: `span-${weeks}`,
        on: { click: () => refilter({ from: isoDay(days[1] - 7 * weeks + 1), to: isoDay(days[1]) }) },
      },
      `${weeks} weeks`,
    );
  const active = FILTERS.filter((name) => state.filters[name]).length;
  const fields = [
    choice("team", "Team"),
    choice("queue", "Queue"),
    choice("language", "Language"),
    date("from", "From"),
    date("to", "To"),
    days[0] !== undefined && h("span", { class: "spans" }, span(4), span(12)),
    meta.answers > 0 &&
      select(
        "Scores from",
        [
          ["", "labels"],
          ["model", "the model"],
        ],
        state.filters.scores || "",
        (value) => refilter({ scores: value }),
        "filter-scores",
      ),
    active > 0 &&
      h(
        "button",
        {
          type: "button",
          id: "clear",
          on: { click: () => refilter(Object.fromEntries(FILTERS.map((name) => [name, ""]))) },
        },
        "Clear",
      ),
  ];
  bar.replaceChildren();
  append(bar, [
    innerWidth > 560
      ? fields
      : h(
          "details",
          {
            class: "fold",
            open: unfolded,
            on: {
              toggle: (event) => {
                unfolded = event.target.open;
              },
            },
          },
          h("summary", {}, active ? `Filters (${active})` : "Filters"),
          h("div", { class: "fields" }, fields),
        ),
    h("output", { class: "count", id: "count" }, `${count(rows().length)} of ${plural(store.n, "conversation")}`),
  ]);
  bar.onsubmit = (event) => event.preventDefault();
}
