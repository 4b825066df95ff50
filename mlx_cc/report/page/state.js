// Where the reader is, kept in the address: the page, the filters, and which conversations a list is about.
//
//   #/conversations?team=north&from=2025-03-01&w=issue:billing_error&w=hour:9

const FILTERS = ["team", "queue", "language", "from", "to", "scores"];
const state = { path: [], filters: {}, where: [], extra: {} };

function readAddress() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const asked = new URLSearchParams(query || "");
  state.path = path
    .split("/")
    .filter(Boolean)
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  state.filters = {};
  state.where = [];
  state.extra = {};
  for (const [key, value] of asked) {
    if (key === "w") state.where.push([value.slice(0, value.indexOf(":")), value.slice(value.indexOf(":") + 1)]);
    else if (FILTERS.includes(key)) state.filters[key] = value;
    else state.extra[key] = value;
  }
}

/** The address of a page with today's filters; `where` is {facet: value as text}. */
function to(path, where = {}, changes = {}) {
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...state.filters, ...changes })) if (value) asked.set(key, value);
  for (const [key, value] of Object.entries(where)) asked.append("w", `${key}:${value}`);
  const query = asked.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

function toList(where) {
  return to(["conversations"], where);
}

function toConversation(row) {
  return to(["conversation", store.ids[row]]);
}

function toAgent(agent) {
  return to(["agent", store.names.agent[agent]]);
}

/** Change filters and stay on the page. */
function refilter(changes) {
  const where = Object.fromEntries(state.where);
  location.hash = to(state.path, where, { ...state.extra, ...changes });
}

// Which rows the filters leave, worked out once for each set of filters.

let rowsFor = { key: null, rows: null };

function rows() {
  const key = JSON.stringify(FILTERS.map((name) => state.filters[name] || ""));
  if (rowsFor.key !== key) rowsFor = { key, rows: selectRows() };
  return rowsFor.rows;
}

function selectRows() {
  const { col, names, n } = store;
  const found = [];
  const codeOf = (name) => (state.filters[name] ? names[name].indexOf(state.filters[name]) : null);
  const team = codeOf("team"),
    queue = codeOf("queue"),
    language = codeOf("language");
  const from = state.filters.from ? dayOf(state.filters.from) : -Infinity;
  const until = state.filters.to ? dayOf(state.filters.to) : Infinity;
  const timed = Number.isFinite(from) || Number.isFinite(until);
  for (let row = 0; row < n; row++) {
    if (team !== null && col.team[row] !== team) continue;
    if (queue !== null && col.queue[row] !== queue) continue;
    if (language !== null && col.language[row] !== language) continue;
    if (timed && !(col.day[row] >= from && col.day[row] <= until)) continue;
    found.push(row);
  }
  return found;
}

/** Whether figures come from a model's answers rather than from labels. */
function fromAnswers() {
  return state.filters.scores === "model" && store.meta.answers > 0;
}
