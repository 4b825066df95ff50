// What is measured of a conversation, from its labels or, where asked, from a model's answers.

function scored(name, title, low, high, better, digits) {
  return {
    name,
    title,
    better,
    digits,
    scale: [low, high],
    label: name,
    of: (row) => store.col[fromAnswers() ? `said_${name}` : name][row],
    show: (value) => value.toFixed(digits),
    tick: String,
  };
}

const measures = {
  quality: { ...scored("quality", "Quality", 0, 100, 1, 1), unit: "of 100" },
  csat: { ...scored("csat", "CSAT", 1, 5, 1, 2), unit: "of 5" },
  churn: { ...scored("churn", "Churn signal", 0, 100, -1, 1), unit: "of 100" },
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
  const at = store.meta.concern,
    found = [];
  const quality = measures.quality.of(row),
    csat = measures.csat.of(row),
    churn = measures.churn.of(row);
  if (quality < at.quality) found.push(`quality ${quality.toFixed(0)}`);
  if (csat <= at.csat) found.push(`CSAT ${csat.toFixed(csat % 1 ? 1 : 0)}`);
  if (churn > at.churn) found.push(`churn signal ${churn.toFixed(0)}`);
  if (store.col.review[row]) found.push("model asks for review");
  return found;
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
