// Start: unpack, then draw the page the address names, again whenever the address changes.

const PAGES = [
  ["Overview", []],
  ["Agents", ["agents"]],
  ["Conversations", ["conversations"]],
  ["Methods", ["methods"]],
];
let drawn = 0;

function pageOf([name, argument]) {
  if (name === "agents") return agentsPage();
  if (name === "agent") return agentPage(argument || "");
  if (name === "conversations") return listPage();
  if (name === "conversation") return conversationPage(argument || "");
  if (name === "methods") return methodsPage();
  return overview();
}

async function draw() {
  const before = state.path.join("/");
  readAddress();
  const same = drawn > 0 && before === state.path.join("/");
  const focused = document.activeElement?.id;
  const turn = ++drawn;
  const content = await pageOf(state.path);
  if (turn !== drawn) return; // the address changed meanwhile
  const main = byId("main");
  const scrolled = scrollY;
  main.style.minHeight = same ? `${main.offsetHeight}px` : "";
  byId("tip").hidden = true;
  main.replaceChildren();
  append(main, [content]);
  drawFilters();
  drawNav();
  drawPlots();
  main.style.minHeight = "";
  document.title = `${main.querySelector("h1")?.textContent || ""} · ${store.meta.title}`;
  if (same) {
    scrollTo(0, scrolled);
    if (focused) byId(focused)?.focus({ preventScroll: true });
    say(byId("count").textContent);
  } else if (turn > 1) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  document.documentElement.dataset.ready = String(turn);
}

function drawNav() {
  const here = { agent: "agents", conversation: "conversations" }[state.path[0]] || state.path[0] || "";
  byId("nav").replaceChildren(
    ...PAGES.map(([title, path]) =>
      h("a", { href: to(path), "aria-current": (path[0] || "") === here ? "page" : null }, title),
    ),
  );
  document.querySelector(".brand").setAttribute("href", to([]));
}

function drawNotices() {
  const { meta } = store;
  if (simulatedLabels()) {
    const why = "Labels whose source is `simulated` were made with the conversations";
    append(byId("notice"), [h("span", { class: "chip warn", title: why }, "simulated labels")]);
  }
  append(byId("foot"), [
    `Made ${meta.made} of ${meta.source}. Nothing is loaded or sent. `,
    simulatedLabels() && h("b", {}, "Labels are simulated where their source says so. "),
    h("a", { href: "#/methods" }, "Methods and limits"),
  ]);
}

// Light or dark: as the system says, until the reader chooses.

function startTheme() {
  const button = byId("theme");
  const dark = () =>
    document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`);
  };
  try {
    const kept = localStorage.getItem("theme");
    if (kept) document.documentElement.dataset.theme = kept;
  } catch {
    /* storage may be closed to local files */
  }
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", document.documentElement.dataset.theme);
    } catch {
      /* as above */
    }
    label();
  });
  label();
}

async function start() {
  startTheme();
  startTips();
  await load();
  drawNotices();
  await draw();
  performance.mark("interactive");
  addEventListener("hashchange", draw);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      requestAnimationFrame(drawPlots);
    }
  });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
start().catch((fault) => {
  byId("main").replaceChildren(
    h("p", { class: "card" }, `The page can't show its data: ${fault.message}. Use a browser of 2023 or later.`),
  );
  throw fault;
});
