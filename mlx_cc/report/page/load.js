// The data lies in the page, packed with gzip. Columns become typed arrays; transcripts stay packed until opened.

const store = { ids: [], meta: {}, col: {}, names: {}, n: 0, agents: {}, excerpts: null, parts: new Map() };

async function unpack(id) {
  const text = atob(byId(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

/** Names in the data are anybody's: "constructor" must find nothing but what the data holds under it. */
function bare(found) {
  if (found && typeof found === "object" && !Array.isArray(found)) Object.setPrototypeOf(found, null);
}

async function load() {
  const [meta, table, agents] = await Promise.all(["meta", "table", "agents"].map(unpack));
  store.ids = JSON.parse(byId("ids").textContent);
  store.n = store.ids.length;
  store.place = new Map(store.ids.map((id, row) => [id, row]));
  store.meta = meta;
  store.agents = agents;
  for (const found of Object.values(agents)) bare(found);
  defineMeasures(meta.tasks);
  defineFacets(meta.tasks);
  defineListColumns();
  defineProfiled();
  store.names = table.names;
  for (const [name, values] of Object.entries(table.columns)) {
    store.col[name] = Float64Array.from(values, (value) => (value === null ? NaN : value));
  }
  const profiled = (name) => agents.assignments[name] ?? "Not enough data";
  store.groups = [...Object.keys(agents.groups), "Not enough data"];
  const code = new Map(store.groups.map((name, at) => [name, at]));
  const ofAgent = store.names.agent.map((name) => code.get(profiled(name)) ?? store.groups.length - 1);
  store.groupOf = ofAgent;
  store.col.group = Float64Array.from(store.col.agent, (agent) => (agent < 0 ? -1 : ofAgent[agent]));
}

async function excerpts() {
  store.excerpts ??= await unpack("excerpts");
  return store.excerpts;
}

/** Rows whose transcript holds a text, whatever the case; unpacks every part once. */
async function holding(text, among) {
  const sought = text.toLowerCase();
  const found = [];
  for (const row of among) {
    const body = await transcript(row);
    if (body && body.turns.some(([, said]) => said.toLowerCase().includes(sought))) found.push(row);
  }
  return found;
}

/** What a conversation's page shows, or null where its transcript was left out. */
async function transcript(row) {
  const part = Math.floor(row / store.meta.part);
  if (!byId(`part-${part}`)) return null;
  if (!store.parts.has(part)) store.parts.set(part, await unpack(`part-${part}`));
  const found = store.parts.get(part)[row % store.meta.part];
  return found && found.turns ? found : null;
}
