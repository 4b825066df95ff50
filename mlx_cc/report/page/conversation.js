// One conversation: its turns, what was labelled and by whom, what a model answered and how sure it was.

async function conversationPage(id) {
  const row = store.place.get(id);
  if (row === undefined)
    return [h("h1", {}, "Conversation"), h("p", { class: "card" }, "There is no such conversation in this page.")];
  const found = await transcript(row);
  const body = found || { facts: {}, turns: [], labels: {}, chain: null, answer: null };
  const cited = citedTurns(body);
  return [
    neighbours(row),
    h("h1", {}, id),
    h("p", { class: "lead" }, factLine(row, body.facts)),
    h(
      "div",
      { class: "reading" },
      h(
        "section",
        { class: "card transcript", "aria-label": "Transcript" },
        h("h2", {}, "Transcript"),
        found
          ? [
              cited.size > 0 &&
                h(
                  "p",
                  { class: "note" },
                  `A bar marks the turns that a recommendation or the reasoning cites: ${d3
                    .sort(cited)
                    .map((turn) => `T${turn}`)
                    .join(", ")}.`,
                ),
              h(
                "ol",
                { class: "turns" },
                body.turns.map((turn, at) => turnItem(turn, at + 1, cited)),
              ),
            ]
          : h("p", {}, "The transcript was left out of this page (--texts)."),
      ),
      h(
        "div",
        { class: "beside" },
        labelCard(body.labels, body.answer),
        body.answer && answerCard(body.answer),
        recommendations(body),
        body.chain && chainCard("Reasoning", body.chain),
        body.answer?.chain && chainCard("The model's reasoning", body.answer.chain),
      ),
    ),
  ];
}

function neighbours(row) {
  const list = store.listed && store.listed.includes(row) ? store.listed : rows();
  const at = list.indexOf(row);
  const link = (other, label) =>
    other === undefined ? h("span", { class: "soft" }, label) : h("a", { href: toConversation(other) }, label);
  return h(
    "nav",
    { class: "neighbours", "aria-label": "Neighbours in the list" },
    link(list[at - 1], "← before"),
    link(at < 0 ? undefined : list[at + 1], "next →"),
  );
}

function factLine(row, facts) {
  const { col, names } = store;
  const parts = [];
  if (facts.local) parts.push(`${facts.local.slice(0, 16).replace("T", " ")} local time`);
  else if (facts.started) parts.push(`${facts.started} UTC`);
  for (const name of ["channel", "queue", "team", "language"])
    if (col[name][row] >= 0) parts.push(placed(name, names[name][col[name][row]]));
  if (known(col.wait[row])) parts.push(`waited ${seconds(col.wait[row])}`);
  if (known(col.handle[row])) parts.push(`handled in ${seconds(col.handle[row])}`);
  if (facts.disposition) parts.push(facts.disposition);
  const line = [parts.join(" · ")];
  if (col.agent[row] >= 0) line.unshift(h("a", { href: toAgent(col.agent[row]) }, names.agent[col.agent[row]]), " · ");
  if (col.previous[row] >= 0)
    line.push(" · follows ", h("a", { href: toConversation(col.previous[row]) }, store.ids[col.previous[row]]));
  for (const flag of facts.flags || []) line.push(" ", h("span", { class: "chip warn" }, words(flag)));
  return line;
}

/** "queue Sales", but "Team 37" where the name says it already. */
function placed(kind, name) {
  if (kind === "language" || kind === "channel") return name;
  return name.toLowerCase().includes(kind) ? words(name) : `${kind} ${words(name)}`;
}

/** Numbers of the turns that recommendations and chains point at. */
function citedTurns(body) {
  const cited = new Set();
  for (const item of adviceOf(body)) if (Number.isInteger(item.turn)) cited.add(item.turn);
  for (const chain of [body.chain, body.answer?.chain]) {
    if (chain)
      for (const text of chain.text) for (const found of text.matchAll(/\[T(\d+)\]/g)) cited.add(Number(found[1]));
  }
  return new Set(Array.from(cited).filter((turn) => turn >= 1 && turn <= body.turns.length));
}

function adviceOf(body) {
  const labelled = body.labels.coaching;
  const found = Array.isArray(labelled?.[0])
    ? labelled[0].map((item) => ({ ...item, by: SOURCE_WORDS[labelled[1]] || labelled[1] }))
    : [];
  return found
    .concat((body.answer?.coaching || []).map((item) => ({ ...item, by: "model" })))
    .filter((item) => item && typeof item === "object");
}

function turnItem([role, text, start, agent], number, cited) {
  return h(
    "li",
    {
      class: `turn ${["agent", "customer", "bot", "system"].includes(role) ? role : "unknown"} ${cited.has(number) ? "cited" : ""}`,
      id: `T${number}`,
      tabindex: "-1",
    },
    h(
      "div",
      { class: "who" },
      h("b", {}, words(role)),
      agent && h("span", {}, ` ${agent}`),
      h("span", { class: "soft" }, ` T${number}${known(start) ? ` · ${clock(start)}` : ""}`),
      cited.has(number) && h("span", { class: "chip" }, "cited"),
    ),
    h("div", { class: "said", dir: "auto" }, text),
  );
}

function turnLink(number) {
  return h(
    "button",
    {
      type: "button",
      class: "turn-link",
      on: {
        click: () => {
          const turn = byId(`T${number}`);
          if (!turn) return;
          turn.scrollIntoView({ block: "center" });
          turn.focus({ preventScroll: true });
        },
      },
    },
    `T${number}`,
  );
}

/** What a label or a task is called. */
function labelWords(name) {
  return words(store.meta.tasks.find((task) => task.name === name)?.words || name);
}

function valueWords(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Math.round(100 * value) / 100);
  if (typeof value === "string") return words(value);
  if (typeof value === "object" && "score" in value) return valueWords(value.score);
  if (typeof value === "object") return Object.values(value).map(valueWords).join(", ");
  return String(value);
}

function labelCard(labels) {
  const names = Object.keys(labels).filter((name) => name !== "coaching");
  return card(
    "Labels",
    {},
    names.length
      ? plainTable(
          "Labels",
          ["Label", "Value", "Given by"],
          names.map((name) => [
            labelWords(name),
            valueWords(labels[name][0]),
            h("span", { class: `chip source-${labels[name][1]}` }, SOURCE_WORDS[labels[name][1]] || labels[name][1]),
          ]),
        )
      : h("p", { class: "soft" }, "Nobody labelled this conversation."),
  );
}

function answerCard(answer) {
  const said = store.meta.tasks.filter((task) => Object.hasOwn(answer.tasks, task.name));
  return card(
    "The model's answers",
    {
      note: [
        answer.model && `${answer.model}. `,
        "Confidence is how probable the model holds its answer; the range holds 80% of the probability. A model can be wrong.",
      ],
    },
    answer.needs_review &&
      h("p", { class: "chip warn" }, `Needs a second look: ${(answer.review || []).map(labelWords).join(", ") || "yes"}`),
    plainTable(
      "The model's answers",
      ["Task", "Answer", "Confidence", "80%"],
      said.map(({ name }) => {
        const { values, confidence: sure, interval: range, likely } = answer.tasks[name];
        return [
          labelWords(name),
          values.filter(known).map(valueWords).join(", "),
          confidence(sure),
          range ? range.map((end) => Math.round(end)).join(" to ") : likely.map(words).join(", "),
        ];
      }),
    ),
  );
}

function confidence(value) {
  if (!known(value)) return "";
  return h(
    "span",
    { class: "confidence" },
    s(
      "svg",
      { width: 44, height: 8, "aria-hidden": "true" },
      s("rect", { class: "track", width: 44, height: 8, rx: 4 }),
      s("rect", { class: "bar", width: 44 * value, height: 8, rx: 4 }),
    ),
    ` ${percent(value)}`,
  );
}

function recommendations(body) {
  const found = adviceOf(body);
  if (!found.length) return null;
  return card(
    "Coaching",
    {},
    h(
      "ul",
      { class: "findings" },
      found.map((item) =>
        h(
          "li",
          { class: "plain" },
          h("b", {}, words(item.skill)),
          " ",
          known(item.turn) && turnLink(item.turn),
          " ",
          h("span", { class: "chip" }, item.by),
          h("p", {}, String(item.action ?? "")),
          item.expected_outcome && h("p", { class: "soft" }, String(item.expected_outcome)),
        ),
      ),
    ),
  );
}

function chainCard(title, chain) {
  return card(
    title,
    { note: `Written by ${chain.by}. [T3] is the third turn.` },
    chain.text.map((text, at) =>
      h(
        "details",
        { open: at > 0, class: "chain" },
        h("summary", {}, ["Thinking", "Analysis", "Insights"][at] || "More"),
        h(
          "div",
          { class: "said" },
          text.split(/(\[T\d+\])/).map((piece) => {
            const turn = piece.match(/^\[T(\d+)\]$/);
            return turn ? turnLink(Number(turn[1])) : piece;
          }),
        ),
      ),
    ),
  );
}
