// Elements are made here and nowhere else. Text is only ever set as text, and a link leads to this page only.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === "href") {
      if (!String(value).startsWith("#")) throw new Error("links lead to this page only");
      element.setAttribute("href", value);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An HTML element: h("a", {class: "x", href: "#/"}, "text", otherElement). */
function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

function say(text) {
  byId("live").textContent = text;
}

/** A select with its label; options are [value, words]. */
function select(label, options, value, onChange, id) {
  return h(
    "label",
    { class: "field" },
    h("span", {}, label),
    h(
      "select",
      { id, on: { change: (event) => onChange(event.target.value) } },
      options.map(([key, words]) => h("option", { value: key, selected: String(key) === String(value) }, words)),
    ),
  );
}

// One tip for the whole page: it shows the lines of the mark under the pointer or the focus.

function startTips() {
  const tip = byId("tip");
  const show = (event) => {
    const mark = event.target instanceof Element && event.target.closest("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.replaceChildren(
      ...mark
        .getAttribute("data-tip")
        .split("\n")
        .map((line, at) => h(at ? "div" : "b", {}, line)),
    );
    const box = mark.getBoundingClientRect();
    const width = tip.offsetWidth;
    const left = Math.max(8, Math.min(box.left + box.width / 2 - width / 2, innerWidth - width - 8));
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip.hidden = true;
  });
  addEventListener(
    "scroll",
    () => {
      tip.hidden = true;
    },
    { passive: true },
  );
}
