// The conversations behind a figure: sorted, in pages, each a link.

const PAGE = 50;

const listColumns = { __proto__: null };

function defineListColumns() {
  for (const name of scores) {
    const { title, digits, of } = measures[name];
    listColumns[name] = { title, digits, of, number: true };
  }
  Object.assign(listColumns, OTHER_COLUMNS);
}

const OTHER_COLUMNS = {
  wait: {
    title: "Wait",
    number: true,
    of: (row) => store.col.wait[row],
    show: (row) => (known(store.col.wait[row]) ? clock(store.col.wait[row]) : ""),
  },
  issue: {
    title: "Issue",
    text: true,
    of: (row) => (facets.issue.code(row) < 0 ? "" : facets.issue.words(facets.issue.code(row))),
  },
  agent: {
    title: "Agent",
    text: true,
    of: (row) => (store.col.agent[row] < 0 ? "" : store.names.agent[store.col.agent[row]]),
    show: (row) =>
      store.col.agent[row] < 0
        ? ""
        : h("a", { href: toAgent(store.col.agent[row]) }, store.names.agent[store.col.agent[row]]),
  },
  when: {
    title: "When",
    of: (row) => store.col.day[row] + (known(store.col.hour[row]) ? store.col.hour[row] / 24 : 0),
    show: (row) =>
      known(store.col.day[row])
        ? `${shownDay(store.col.day[row])}${known(store.col.hour[row]) ? `, ${store.col.hour[row]}:00` : ""}`
        : "unknown",
  },
};

async function listPage() {
  const sought = state.extra.text || "";
  const found = sought ? await holding(sought, askedRows()) : askedRows();
  const said = askedWords();
  const sort = Object.hasOwn(listColumns, state.extra.sort) ? state.extra.sort : "when";
  const down = state.extra.order ? state.extra.order === "down" : true;
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const page = Math.min(pages, Math.max(1, Number(state.extra.page) || 1));
  const ordered = sorted(found, listColumns[sort], down);
  store.listed = ordered;
  const first = await excerpts();
  return [
    h("h1", {}, said.length ? said.join(" · ") : "Conversations"),
    searchForm(sought),
    h(
      "p",
      { class: "lead" },
      plural(found.length, "conversation"),
      sought && ` with “${sought}” in the transcript`,
      said.length > 0 && [" · ", h("a", { href: toList({}) }, "show all")],
    ),
    found.length > 0 && summaryLine(found),
    found.length === 0
      ? h("p", { class: "card" }, "None matches. Clear a filter or the search.")
      : h(
          "section",
          { class: "card wide", "aria-label": "List" },
          h(
            "div",
            { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of conversations" },
            h(
              "table",
              { class: "list" },
              h("caption", { class: "unseen" }, "Conversations"),
              h(
                "thead",
                {},
                h(
                  "tr",
                  {},
                  h("th", { scope: "col" }, "Conversation"),
                  Object.entries(listColumns).map(([name, column]) =>
                    h(
                      "th",
                      {
                        scope: "col",
                        class: column.number ? "n" : "",
                        "aria-sort": name === sort ? (down ? "descending" : "ascending") : "none",
                      },
                      h(
                        "button",
                        {
                          type: "button",
                          class: "plain",
                          id: `sort-${name}`,
                          on: {
                            click: () =>
                              refilter({ sort: name, order: name === sort && down ? "up" : "down", page: "" }),
                          },
                        },
                        column.title,
                        name === sort ? (down ? " ↓" : " ↑") : "",
                      ),
                    ),
                  ),
                ),
              ),
              h(
                "tbody",
                {},
                ordered.slice((page - 1) * PAGE, page * PAGE).map((row) => listLine(row, first[row])),
              ),
            ),
          ),
          h(
            "div",
            { class: "card-head" },
            pages > 1 ? pager(page, pages) : h("span"),
            h("button", { type: "button", on: { click: () => saveList(ordered) } }, "Save as CSV"),
          ),
        ),
  ];
}

function searchForm(sought) {
  if (!store.meta.texts) return null;
  const box = h("input", { type: "search", id: "search-text", value: sought, placeholder: "words in the transcript" });
  const ask = (event) => {
    event.preventDefault();
    refilter({ text: box.value.trim(), page: "" });
  };
  return h(
    "form",
    { class: "search", "aria-label": "Search in transcripts", on: { submit: ask } },
    h("label", { class: "field" }, h("span", {}, "Search"), box),
    h("button", {}, "Find"),
  );
}

/** A cell no spreadsheet computes: text that begins like a formula gets an apostrophe, as in `mlx_cc table`. */
function csvCell(value) {
  if (typeof value === "number") return known(value) ? String(value) : "";
  const text = /^[ \0\ufeff]*[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function listCsv(list) {
  const names = Object.keys(listColumns).filter((name) => name !== "when");
  const lines = list.map((row) => [
    store.ids[row],
    known(store.col.day[row]) ? isoDay(store.col.day[row]) : "",
    store.col.hour[row],
    ...names.map((name) => listColumns[name].of(row)),
  ]);
  return (
    [["conversation_id", "day", "hour", ...names], ...lines].map((line) => line.map(csvCell).join(",")).join("\r\n") +
    "\r\n"
  );
}

function saveList(list) {
  const link = document.createElement("a");
  link.download = "conversations.csv";
  link.href = URL.createObjectURL(new Blob([listCsv(list)], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say(`${plural(list.length, "conversation")} saved`);
}

function sorted(found, column, down) {
  const keyed = found.map((row) => [column.of(row), row]);
  const order = column.text ? (a, b) => a[0].localeCompare(b[0]) : (a, b) => a[0] - b[0];
  const missing = (value) => value === "" || Number.isNaN(value);
  keyed.sort((a, b) => missing(a[0]) - missing(b[0]) || (down ? -order(a, b) : order(a, b)) || a[1] - b[1]);
  return keyed.map(([, row]) => row);
}

function listLine(row, excerpt) {
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("a", { href: toConversation(row) }, store.ids[row]),
      excerpt && h("div", { class: "excerpt", dir: "auto" }, excerpt),
    ),
    Object.values(listColumns).map((column) => h("td", { class: column.number ? "n" : "" }, listCell(column, row))),
  );
}

function listCell(column, row) {
  if (column.show) return column.show(row);
  const value = column.of(row);
  if (!column.number) return value;
  return known(value) ? value.toFixed(value % 1 ? column.digits : 0) : "";
}

function summaryLine(found) {
  return h(
    "p",
    { class: "summary" },
    [...scores, "fcr"].map((name) => {
      const all = estimate(found, measures[name]);
      return (
        all.n > 0 &&
        h(
          "span",
          {},
          h("b", {}, `${measures[name].title} ${measures[name].show(all.value)}`),
          ` 95% ${interval(all, measures[name])}, n ${count(all.n)}`,
        )
      );
    }),
  );
}

function pager(page, pages) {
  const step = (to_, label) =>
    h(
      "button",
      {
        type: "button",
        id: `page-${label}`,
        disabled: to_ < 1 || to_ > pages,
        on: {
          click: () => {
            refilter({ page: String(to_) });
            scrollTo(0, 0);
          },
        },
      },
      label,
    );
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages of the list" },
    step(page - 1, "Earlier"),
    h("span", {}, `page ${page} of ${pages}`),
    step(page + 1, "Next"),
  );
}
