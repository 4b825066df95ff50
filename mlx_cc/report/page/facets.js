// A facet is a way to split conversations; every bar, point and cell of the page is a value of one or two facets.

const WAITS = [0, 15, 30, 60, 120, 300, 600, Infinity];
const BANDS = [0, 40, 60, 75, 90, 101];

function binOf(value, edges) {
  if (!known(value)) return -1;
  for (let bin = 0; bin < edges.length - 1; bin++) if (value < edges[bin + 1]) return bin;
  return edges.length - 2;
}

function named(column, title) {
  return {
    title,
    code: (row) => store.col[column][row],
    words: (code) => (code < 0 ? "none" : words(store.names[column][code])),
    write: (code) => store.names[column][code],
    read: (text) => store.names[column].indexOf(text),
  };
}

function numbered(title, code, say) {
  return { title, code, words: say, write: String, read: Number };
}

const facets = { __proto__: null };
const classes = []; // columns of the tasks that are answered with classes

function defineFacets(tasks) {
  Object.assign(facets, OTHER_FACETS);
  for (const { name, columns, scale } of tasks) {
    if (!scale) {
      for (const column of columns) {
        const code = (row) => store.col[fromAnswers() ? `said_${column}` : column][row];
        facets[column] = { ...named(column, words(column)), code };
        classes.push(column);
      }
    } else if (scale.high - scale.low <= 10) {
      const { title, of } = measures[name];
      facets[name] = numbered(title, (row) => (known(of(row)) ? Math.round(of(row)) : -1), String);
    }
  }
}

const OTHER_FACETS = {
  agent: { ...named("agent", "Agent"), words: (code) => store.names.agent[code] },
  channel: named("channel", "Channel"),
  team: named("team", "Team"),
  queue: named("queue", "Queue"),
  language: { ...named("language", "Language"), words: (code) => store.names.language[code] },
  group: {
    title: "Group",
    code: (row) => store.col.group[row],
    words: (code) => store.groups[code],
    write: (code) => store.groups[code],
    read: (text) => store.groups.indexOf(text),
  },
  week: {
    title: "Week of",
    code: (row) => (known(store.col.day[row]) ? mondayOf(store.col.day[row]) : -1),
    words: (code) => shownDay(code),
    write: isoDay,
    read: dayOf,
  },
  weeks: {
    title: "Four weeks from",
    code: (row) => (known(store.col.day[row]) ? fourWeeksOf(store.col.day[row]) : -1),
    words: (code) => shownDay(code),
    write: isoDay,
    read: dayOf,
  },
  month: {
    title: "Month",
    code: (row) => (known(store.col.day[row]) ? monthOf(store.col.day[row]) : -1),
    words: (code) => `${MONTHS[code % 12]} ${Math.floor(code / 12)}`,
    write: String,
    read: Number,
  },
  weekday: numbered(
    "Weekday",
    (row) => (known(store.col.day[row]) ? weekdayOf(store.col.day[row]) : -1),
    (code) => WEEKDAYS[code],
  ),
  hour: numbered(
    "Hour",
    (row) => (known(store.col.hour[row]) ? store.col.hour[row] : -1),
    (code) => `${code}:00 to ${code}:59`,
  ),
  wait: numbered("Queue wait", (row) => binOf(store.col.wait[row], WAITS), waitWords),
  quality: numbered(
    "Quality",
    (row) => binOf(measures.quality.of(row), BANDS),
    (code) => `${BANDS[code]} to ${BANDS[code + 1] - 1}`,
  ),
  resolved: numbered(
    "First-contact resolution",
    (row) => (known(store.col.fcr[row]) ? store.col.fcr[row] : -1),
    (code) => (code ? "yes" : "no"),
  ),
  concern: numbered(
    "To look at",
    (row) => Number(concerns(row).length > 0),
    (code) => (code ? "yes" : "no"),
  ),
  review: numbered(
    "Model asks for review",
    (row) => store.col.review[row],
    (code) => (code ? "yes" : "no"),
  ),
  latest: numbered(
    "Days before the latest",
    (row) => (lastDay() - store.col.day[row] < 7 ? 7 : 0),
    () => "the last 7",
  ),
};

/** The first day of the four weeks a day lies in; counted from the first Monday of 1970. */
function fourWeeksOf(day) {
  return day - ((((day - 4) % 28) + 28) % 28);
}

function monthOf(day) {
  const date = new Date(day * 864e5);
  return 12 * date.getUTCFullYear() + date.getUTCMonth();
}

function waitWords(bin) {
  if (bin < 0) return "unknown";
  const high = WAITS[bin + 1];
  return high === Infinity ? `over ${seconds(WAITS[bin])}` : `${seconds(WAITS[bin])} to ${seconds(high)}`;
}

function lastDay() {
  let last = -Infinity;
  for (const row of rows()) if (store.col.day[row] > last) last = store.col.day[row];
  return last;
}

/** Rows by a facet's code; rows that say nothing are left out. */
function groupBy(chosen, facet) {
  const found = new Map();
  for (const row of chosen) {
    const code = facets[facet].code(row);
    if (code === -1) continue;
    const list = found.get(code);
    if (list) list.push(row);
    else found.set(code, [row]);
  }
  return found;
}

/** The filtered rows that the address asks for. */
function askedRows() {
  let found = rows();
  for (const [name, text] of state.where) {
    if (!Object.hasOwn(facets, name)) continue;
    const code = facets[name].read(text);
    const last = name === "latest" ? lastDay() : 0;
    found =
      name === "latest"
        ? found.filter((row) => last - store.col.day[row] < 7)
        : found.filter((row) => facets[name].code(row) === code);
  }
  return found;
}

function askedWords() {
  return state.where
    .filter(([name]) => Object.hasOwn(facets, name))
    .map(([name, text]) => `${facets[name].title}: ${facets[name].words(facets[name].read(text))}`);
}
