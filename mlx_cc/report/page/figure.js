// What every chart shares: a frame with its title, its note and its table; marks that a keyboard reaches.

/** A card. `table` is a function that gives {head, rows}; it is asked when the table is opened. */
function card(title, { note, controls, table, wide, className } = {}, ...body) {
  const id = `t-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h(
    "section",
    { class: `card ${wide ? "wide" : ""} ${className || ""}`, "aria-labelledby": id },
    h("div", { class: "card-head" }, h("h2", { id }, title), controls && h("div", { class: "controls" }, controls)),
    note && h("p", { class: "note" }, note),
    body,
    table && asTable(title, table),
  );
}

function asTable(title, table) {
  const details = h("details", { class: "as-table" }, h("summary", {}, "Show as table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      const { head, rows: lines } = table();
      details.append(plainTable(title, head, lines));
    }
  });
  return details;
}

/** A table whose cells are texts, numbers or elements. */
function plainTable(caption, head, lines) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((cell) => h("th", { scope: "col" }, cell)),
        ),
      ),
      h(
        "tbody",
        {},
        lines.map((line) =>
          h(
            "tr",
            {},
            line.map((cell, at) => (at ? h("td", {}, cell) : h("th", { scope: "row" }, cell))),
          ),
        ),
      ),
    ),
  );
}

/** A box in which `draw(width)` makes an SVG as soon as the box has a width. */
function plot(draw, height, least = 260) {
  const box = h("div", { class: "plot" });
  box.style.minHeight = `${height}px`;
  box.draw = () => {
    const svg = draw(Math.max(least, box.clientWidth), height);
    box.replaceChildren(svg);
    rove(svg);
  };
  return box;
}

function drawPlots() {
  for (const box of document.querySelectorAll(".plot")) box.draw();
}

/** A mark that leads to its conversations: a link in an SVG. */
function mark(href, tip, ...shapes) {
  return s(
    "a",
    { href, class: "mark", "data-tip": tip, "aria-label": tip.replaceAll("\n", ", "), tabindex: "-1" },
    shapes,
  );
}

/** One tab stop for all marks of a chart; arrow keys move among them. */
function rove(root, selector = "a.mark") {
  const marks = Array.from(root.querySelectorAll(selector));
  if (!marks.length) return;
  marks[0].setAttribute("tabindex", "0");
  root.addEventListener("keydown", (event) => {
    const at = marks.indexOf(document.activeElement);
    const across = root.tagName === "TABLE" && { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (across) {
      const below = sameColumn(marks[at], across);
      if (below) {
        event.preventDefault();
        choose(marks[at], below);
      }
      return;
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step ? at + step : { Home: 0, End: marks.length - 1 }[event.key];
    if (at < 0 || next === undefined || !marks[next]) return;
    event.preventDefault();
    choose(marks[at], marks[next]);
  });
}

function choose(from, mark_) {
  from.setAttribute("tabindex", "-1");
  mark_.setAttribute("tabindex", "0");
  mark_.focus();
}

/** The next mark above or below in a table. */
function sameColumn(from, step) {
  const cell = from.closest("td");
  let line = cell.parentElement;
  do line = step > 0 ? line.nextElementSibling : line.previousElementSibling;
  while (line && !line.cells[cell.cellIndex].querySelector("a.mark"));
  return line && line.cells[cell.cellIndex].querySelector("a.mark");
}

function canvas(width, height, label) {
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
}

/** Horizontal lines and labels at round values of a scale. */
function yAxis(svg, y, left, right, show, ticks = 4) {
  for (const value of y.ticks(ticks)) {
    svg.append(
      s("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, show(value)),
    );
  }
}

function textAt(x, y, content, anchor = "middle", className = "tick") {
  return s("text", { class: className, x, y, "text-anchor": anchor }, content);
}

/** A value's interval on the scale of the centre: a line with a dot, and a tick for the reference. */
function whisker(found, domain, reference, width = 120) {
  const x = d3.scaleLinear(domain, [4, width - 4]).clamp(true);
  return s(
    "svg",
    { width, height: 16, viewBox: `0 0 ${width} 16`, "aria-hidden": "true", class: "whisker" },
    s("line", { class: "grid", x1: 4, x2: width - 4, y1: 8, y2: 8 }),
    known(reference) && s("line", { class: "reference", x1: x(reference), x2: x(reference), y1: 1, y2: 15 }),
    known(found.low) && s("line", { class: "range", x1: x(found.low), x2: x(found.high), y1: 8, y2: 8 }),
    s("circle", { class: "dot", cx: x(found.value), cy: 8, r: 3.5 }),
  );
}
