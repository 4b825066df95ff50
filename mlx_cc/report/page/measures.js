// What is measured of a conversation, from its labels or, where asked, from a model's answers.

/** Whether a number lies on a bound's side: {side: "at most", at: 2}. */
function holds({ side, at }, number) {
  if (side === "below") return number < at;
  if (side === "at most") return number <= at;
  return side === "above" ? number > at : number >= at;
}

/** A task that is answered with numbers. */
function scored({ name, words: title, scale }) {
  return {
    ...scale,
    name,
    title: words(title),
    inside: title,
    scale: [scale.low, scale.high],
    unit: `of ${scale.high}`,
    label: name,
    of: (row) => store.col[fromAnswers() ? `said_${name}` : name][row],
    show: (value) => value.toFixed(scale.digits + 1),
    tick: String,
  };
}

const measures = { __proto__: null };
const scores = []; // names of the tasks that are answered with numbers

function defineMeasures(tasks) {
  for (const task of tasks.filter((one) => one.scale)) {
    measures[task.name] = scored(task);
    scores.push(task.name);
  }
  Object.assign(measures, OTHER_MEASURES);
}

const OTHER_MEASURES = {
  fcr: {
    name: "fcr",
    title: "First-contact resolution",
    better: 1,
    share: true,
    scale: [0, 1],
    label: "resolution",
    unit: "",
    of: (row) => store.col.fcr[row],
    show: (value) => percent(value, 1),
    tick: (value) => percent(value),
  },
  wait: {
    name: "wait",
    title: "Queue wait",
    better: -1,
    scale: [0, Infinity],
    unit: "",
    of: (row) => store.col.wait[row],
    show: seconds,
    tick: clock,
  },
  handle: {
    name: "handle",
    title: "Handle time",
    better: -1,
    scale: [0, Infinity],
    unit: "",
    of: (row) => store.col.handle[row],
    show: seconds,
    tick: clock,
  },
};

/** {n, value, low, high, sd} of a measure over rows; rows that say nothing don't count. */
function estimate(chosen, measure) {
  const values = [];
  for (const row of chosen) {
    const value = measure.of(row);
    if (known(value)) values.push(value);
  }
  if (measure.share)
    return shareOf(
      values.reduce((sum, value) => sum + value, 0),
      values.length,
    );
  return meanOf(values, ...measure.scale);
}

function interval(found, measure) {
  if (!known(found.low)) return "no interval from one conversation";
  return `${measure.show(found.low)} to ${measure.show(found.high)}`;
}

function measureOptions(withVolume) {
  const found = Object.values(measures)
    .filter((measure) => rows().some((row) => known(measure.of(row))))
    .map((measure) => [measure.name, measure.title]);
  return withVolume ? [["volume", "Volume"], ...found] : found;
}

/** Why somebody should look at a conversation, in words. */
function concerns(row) {
  const found = [];
  for (const { concern, inside, digits, of } of scores.map((name) => measures[name])) {
    const value = of(row);
    if (concern && holds(concern, value)) found.push(`${inside} ${value.toFixed(value % 1 ? digits : 0)}`);
  }
  if (store.col.review[row]) found.push("model asks for review");
  return found;
}

function concernRule() {
  const found = scores
    .map((name) => measures[name])
    .filter((measure) => measure.concern)
    .map(({ inside, concern }) => `${inside} ${concern.side} ${concern.at}`);
  return found.length > 1 ? `${found.slice(0, -1).join(", ")} or ${found.at(-1)}` : found.join("");
}

/** Whether labels of the page were made together with its conversations. */
function simulatedLabels() {
  return Object.values(store.meta.sources).some((given) => given.simulated);
}

/** Who gave the labels of a measure: "simulated (5,397)". */
function sourceWords(label) {
  const given = store.meta.sources[label];
  if (!given) return "no labels";
  return Object.entries(given)
    .map(([source, n]) => `${SOURCE_WORDS[source] || source} (${count(n)})`)
    .join(", ");
}
