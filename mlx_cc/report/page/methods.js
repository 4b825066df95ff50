// How each figure comes about, and what it can't say.

function methodsPage() {
  const { meta, agents } = store;
  const item = (title, ...text) => [h("dt", {}, title), h("dd", {}, text)];
  return [
    h("h1", {}, "Methods"),
    h(
      "section",
      { class: "card wide prose" },
      h("h2", {}, "Figures"),
      h(
        "dl",
        {},
        item(
          "Labels",
          "Who gave them: ",
          Object.keys(meta.sources).length
            ? Object.keys(meta.sources)
                .map((name) => `${words(name).toLowerCase()}: ${sourceWords(name)}`)
                .join("; ")
            : "nobody",
          ". ",
          simulatedLabels() &&
            h(
              "b",
              {},
              "Simulated labels were made together with the conversations; they show how the page works, not how a centre does.",
            ),
        ),
        meta.answers > 0 &&
          item(
            "Model answers",
            `${plural(meta.answers, "conversation")}, by ${meta.models.join(", ") || "a model"}. Choose "Scores from: the model" to see them everywhere. They are never mixed with labels.`,
          ),
        item(
          "Intervals",
          "95%: Student's t for means, cut at the ends of the scale; Wilson's for shares. Conversations count as independent; those of one agent are alike, so intervals over few agents are too narrow.",
        ),
        item(
          "Change",
          `The last 28 days of the data under the filters against the 28 before: the difference with Welch's interval, called a change where it leaves out zero. ${scores.length + 1} measures are compared, so about ${percent(1 - 0.95 ** (scores.length + 1))} of pages show a change by chance.`,
        ),
        item(
          "Drift of an issue",
          "Cochran-Armitage test for a trend over weeks in the issue's share of conversations; Benjamini-Hochberg at 5% over all issues. A share can rise because others fall.",
        ),
        item(
          "Unusual point",
          "A share beyond 3 standard errors of its mean over all weeks (p-chart), where at least 5 conversations of the issue are expected.",
        ),
        item(
          "Periods",
          `Weeks from Monday; four weeks where the filters leave fewer than ${FEWEST_A_WEEK} conversations a week.`,
        ),
        item("First-contact resolution", store.agents.methods.fcr || ""),
        item("Churn signal", "What this conversation says, 0 to 100; not a forecast with a horizon."),
        item("To look at", `${concernRule()}; or the model asks for review.`),
        item(
          "Time",
          Object.keys(meta.zones).length
            ? `Hours and weekdays are on the site's clock (${Object.keys(meta.zones).join(", ")}).`
            : "No time zone is known: days are in UTC, hours are left out.",
        ),
      ),
    ),
    h(
      "section",
      { class: "card wide prose" },
      h("h2", {}, "Agents"),
      h(
        "dl",
        {},
        item("Profiles", `${meta.profiles}. An estimate needs ${agents.least} conversations.`),
        ["interval", "shrunk", "skills", "agents", "groups"]
          .filter((name) => agents.methods[name])
          .map((name) => item(words(name), agents.methods[name])),
        item(
          "Limits",
          "Conversations are not assigned at random: queues and hours differ. A low value is a reason to listen to conversations, not a verdict.",
        ),
      ),
    ),
    h(
      "section",
      { class: "card wide prose" },
      h("h2", {}, "This page"),
      h(
        "dl",
        {},
        item(
          "Made",
          `${meta.made} of ${meta.source}: ${plural(store.n, "conversation")}, ${count(meta.texts)} with transcript.`,
        ),
        item(
          "Privacy",
          "It loads nothing and sends nothing. It holds transcripts: keep it where they may be kept. ",
          meta.unredacted > 0 &&
            h("b", {}, `${plural(meta.unredacted, "conversation")} did not pass through redaction.`),
        ),
        meta.answers_elsewhere > 0 &&
          item("Left out", `${count(meta.answers_elsewhere)} answers are about conversations that are not here.`),
      ),
    ),
  ];
}
