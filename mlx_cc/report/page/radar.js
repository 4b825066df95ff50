// The six skills of an agent, in standard deviations between agents from the centre's mean; outward is better.

const FARTHEST = 2.5;

/** skill -> {z, words}; z is NaN where the agent or the centre has no estimate. */
function skillsOf(profile) {
  return Object.entries(store.agents.skills).map(([name, skill]) => {
    const metric = profile.metrics[skill.measure],
      centre = store.agents.centre[skill.measure];
    const usable = metric && centre && known(metric.shrunk) && centre.sd_between_agents > 0;
    const z = usable ? (skill.better * (metric.shrunk - centre.mean)) / centre.sd_between_agents : NaN;
    return { name, z, measure: skill.measure, metric };
  });
}

function radarCard(profile, name) {
  const skills = skillsOf(profile);
  return card(
    "Six skills",
    {
      note: "Distance from the centre's mean (the dashed ring), in standard deviations between agents, after shrinking. Outward is better.",
      table: () => ({
        head: ["Skill", "Standard deviations", "Measured by", "Value", "95% interval", "n"],
        rows: skills.map((skill) => [
          words(skill.name),
          known(skill.z) ? skill.z.toFixed(2) : "unknown",
          store.agents.measures[skill.measure].words,
          profiled(skill.measure, skill.metric?.value),
          profiledRange(skill.measure, skill.metric),
          count(skill.metric?.n || 0),
        ]),
      }),
    },
    plot((width, height) => drawRadar(skills, name, width, height), 300),
  );
}

function drawRadar(skills, name, width, height) {
  const svg = canvas(
    width,
    height,
    skills.map((skill) => `${words(skill.name)} ${known(skill.z) ? skill.z.toFixed(1) : "unknown"}`).join(", "),
  );
  const radius = Math.min(width / 2 - 96, height / 2 - 34),
    cx = width / 2,
    cy = height / 2;
  const r = d3.scaleLinear([-FARTHEST, FARTHEST], [0, radius]).clamp(true);
  const angle = (at) => (at * 2 * Math.PI) / skills.length;
  const at = (index, z) => [cx + r(z) * Math.sin(angle(index)), cy - r(z) * Math.cos(angle(index))];
  for (const ring of [-1, 0, 1, 2])
    svg.append(s("circle", { class: ring ? "grid round" : "reference round", cx, cy, r: r(ring) }));
  skills.forEach((skill, index) => {
    const [x, y] = at(index, FARTHEST),
      [tx, ty] = at(index, FARTHEST).map(
        (value, axis) => value + (axis ? -18 * Math.cos(angle(index)) : 12 * Math.sin(angle(index))),
      );
    const anchor = Math.abs(Math.sin(angle(index))) < 0.2 ? "middle" : Math.sin(angle(index)) > 0 ? "start" : "end";
    const wide = 7.8 * skill.name.length;
    const fits = (left) =>
      anchor === "start" ? Math.min(left, width - wide) : anchor === "end" ? Math.max(left, wide) : left;
    svg.append(
      s("line", { class: "grid", x1: cx, y1: cy, x2: x, y2: y }),
      textAt(fits(tx), ty, words(skill.name), anchor, "axis"),
      textAt(fits(tx), ty + 14, known(skill.z) ? `${skill.z > 0 ? "+" : ""}${skill.z.toFixed(1)}` : "no data", anchor),
    );
  });
  const corners = skills.map((skill, index) =>
    at(index, known(skill.z) ? skill.z : 0)
      .map((value) => value.toFixed(1))
      .join(","),
  );
  svg.append(s("polygon", { class: "radar", points: corners.join(" ") }));
  skills.forEach((skill, index) => {
    const [x, y] = at(index, known(skill.z) ? skill.z : 0);
    const tip = `${words(skill.name)}\n${known(skill.z) ? `${skill.z.toFixed(2)} standard deviations` : "no data"}\nn ${skill.metric?.n || 0}`;
    svg.append(
      mark(
        toList({ agent: name }),
        tip,
        s("circle", { class: "hit", cx: x, cy: y, r: 12 }),
        s("circle", { class: known(skill.z) ? "dot" : "dot hollow", cx: x, cy: y, r: 3.5 }),
      ),
    );
  });
  return svg;
}

function profiled(name, value) {
  if (!known(value)) return "";
  const measure = store.agents.measures[name];
  if (measure.share || (measure.low === 0 && measure.high === 1)) return percent(value);
  return `${value.toFixed((measures[name]?.digits || 0) + 1)}${measure.unit ? ` ${measure.unit}` : ""}`;
}

function profiledRange(name, metric) {
  return metric && known(metric.low) ? `${profiled(name, metric.low)} to ${profiled(name, metric.high)}` : "";
}
