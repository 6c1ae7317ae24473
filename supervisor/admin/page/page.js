// The operator's page: it looks at the server while it is seen, and gives orders where a token was entered.

import { Chart, short } from "./charts.js";
import { duration, bytes, foreign, make, showConnections, showEvents, showGap, showRooms, showWorkers } from "./panels.js";
import { Refused, access, connections, looks, order, token } from "./server.js";

const AGAIN_MS = 2000;
const FIND_MS = 250;             // after the last key
const REFRESH_MS = 5000;
const REFRESH_MANY_MS = 30000;   // the server lists all of them for that
const MANY = 2000;
const NOTE_MS = 10000;
const PENDING_KEPT = 200;

const element = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let rights = { reads: false, changes: false, has_token: false };
let before = null;               // the look before, for differences
let pending = null;              // events that wait while the list is paused
let room = null;                 // whose connections are shown; null: all
let stop = new AbortController();
let asked = 0;
let foundAt = 0;

const FIGURES = ["Connections", "Rooms", "Frames in/s", "Frames out/s", "Queued frames", "Memory", "Uptime"];
const figures = new Map(FIGURES.map((name) => {
  const value = make("strong", "", "–");
  element("figures").append(make("p", "figure-tile", make("span", "", name), value));
  return [name, value];
}));

const charts = {
  frames: new Chart("Frames/s", ["in", "out"]),
  upgrades: new Chart("Upgrades/s", ["accepted", "refused"]),
  drops: new Chart("Frames dropped/s", [""]),
  lag: new Chart("Loop lag, worst worker", [""], " ms"),
};
element("charts").append(...Object.values(charts).map((chart) => chart.element));

// What came of orders.

// `pieces` is a text, or a list of texts and elements.
function note(pieces, isBad = false) {
  const told = make("p", isBad ? "note bad" : "note", ...[pieces].flat());
  element("notes").append(told);
  setTimeout(() => told.remove(), NOTE_MS);
}

async function give(name, body, done) {
  try {
    const result = await order(name, body);
    note(done(result));
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    note(`${name}: ${error.message.replace(/^wspulse: /, "")}`, true);
    if (error.status === 401) await learnRights();
    return false;
  }
}

function sure(title, text, yes) {
  const dialog = element("sure-dialog");
  element("sure-title").textContent = title;
  element("sure-text").replaceChildren(text);
  element("sure-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

const moved = (result) => {
  const all = Array.isArray(result) ? result : [result];
  const sum = (name) => all.reduce((total, each) => total + each[name], 0);
  const longest = Math.max(0, ...all.map((each) => each.longest_pause_s));
  const count = sum("moved");
  const closed = sum("drained") ? `, ${sum("drained")} closed` : "";
  return `${count} ${count === 1 ? "session" : "sessions"} moved${closed}; the longest pause was ${Math.round(longest * 1000)} ms`;
};

async function restart(shard) {
  if (await sure(`Restart worker ${shard}?`, "Its sessions move to a new process. Clients stay connected.", "Restart")) {
    await give("restart", { shard }, (result) => `Worker ${shard} was replaced: ${moved(result)}.`);
  }
}

async function kick(id) {
  if (await sure("Kick this connection?", foreign(id), "Kick")) {
    if (await give("kick", { connection: id }, () => [foreign(id), " was kicked."])) find();
  }
}

element("reload").addEventListener("click", async () => {
  if (await sure("Reload all workers?", "Each is replaced by a process with the current code. Sessions move over, and clients stay connected.", "Reload")) {
    element("reload").disabled = true;
    await give("reload", {}, (result) => `All workers were replaced: ${moved(result)}.`);
    element("reload").disabled = false;
  }
});

element("scale").addEventListener("submit", async (event) => {
  event.preventDefault();
  const workers = Number(element("scale-to").value);
  if (await sure(`Scale to ${workers} ${workers === 1 ? "worker" : "workers"}?`, "Sessions move as needed. Clients stay connected.", "Scale")) {
    await give("scale", { workers }, (result) => `${result.workers === 1 ? "There is 1 worker" : `There are ${result.workers} workers`}: ${moved(result)}.`);
  }
});

element("broadcast").addEventListener("submit", async (event) => {
  event.preventDefault();
  const payload = element("broadcast-payload").value;
  const problem = element("broadcast-problem");
  try {
    JSON.parse(payload);
    problem.hidden = true;
  } catch (error) {
    problem.textContent = `The payload is not JSON: ${error.message}`;
    problem.hidden = false;
    element("broadcast-payload").focus();
    return;
  }
  // As it was typed: numbers that JavaScript cannot hold stay what they are.
  const target = element("broadcast-room").value;
  const [quoted, name] = [target, element("broadcast-event").value].map((text) => JSON.stringify(text));
  const done = () => ["Frame sent to the room ", foreign(target), "."];
  await give("broadcast", `{"room":${quoted},"event":${name},"payload":${payload}}`, done);
});

// Rights.

async function learnRights() {
  try {
    rights = await access();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 401) return false;
    token.forget();
    note("The token is no longer valid.", true);
    return learnRights();
  }
  document.body.dataset.changes = rights.changes;
  element("main").hidden = !rights.reads;
  element("gate").hidden = rights.reads;
  element("gate-open").hidden = !rights.has_token;
  element("token-open").hidden = rights.changes || !rights.has_token;
  element("token-forget").hidden = !rights.changes;
  const why = rights.has_token ? "Read-only until you enter the token" : "Read-only: started without --admin-token-file";
  element("rights").textContent = rights.changes ? "Token accepted" : why;
  for (const each of document.querySelectorAll("[data-order]")) each.disabled = !rights.changes;
  return true;
}

function openToken() {
  element("token-problem").hidden = true;
  element("token-input").value = "";
  element("token-dialog").showModal();
}
element("token-open").addEventListener("click", openToken);
element("gate-open").addEventListener("click", openToken);
element("token-cancel").addEventListener("click", () => element("token-dialog").close());
element("token-forget").addEventListener("click", async () => {
  token.forget();
  await learnRights();
  stop.abort();
});
element("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = element("token-input").value.trim();
  try {
    await access(given);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    element("token-problem").textContent = error.status === 401 ? "Wrong token." : error.message;
    element("token-problem").hidden = false;
    element("token-input").select();
    return;
  }
  token.set(given);
  element("token-dialog").close();
  await learnRights();
  stop.abort();
});

// Connections.

async function find() {
  const number = ++asked;
  foundAt = performance.now();
  try {
    const found = await connections(element("search-text").value, room);
    if (number !== asked) return;
    showConnections(element("connections").tBodies[0], found.rows, kick);
    for (const each of document.querySelectorAll("#connections [data-order]")) each.disabled = !rights.changes;
    const shown = found.rows.length < found.found ? `newest ${found.rows.length} of ${found.found.toLocaleString("en")}` : `${found.found}`;
    const missing = found.missing_shards.length ? `; no answer from worker ${found.missing_shards.join(", ")}` : "";
    const told = shown + missing;
    if (element("connections-count").textContent !== told) element("connections-count").textContent = told;
    element("connections-empty").hidden = found.found > 0;
    element("connections").hidden = found.found === 0;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (number === asked) element("connections-count").textContent = error.message.replace(/^wspulse: /, "");
  }
}

function choose(name) {
  room = name;
  element("room-filter").hidden = name === null;
  if (name !== null) element("room-filter").replaceChildren("in room ", foreign(name), " ×");
  element("broadcast-room").value = name ?? element("broadcast-room").value;
  find();
}

let findTimer = 0;
element("search-text").addEventListener("input", () => {
  clearTimeout(findTimer);
  findTimer = setTimeout(find, FIND_MS);
});
element("search").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
element("room-filter").setAttribute("aria-label", "Show the connections of all rooms");
element("room-filter").addEventListener("click", () => {
  choose(null);
  element("search-text").focus();
});

// Looks.

const since = (now, then, name) => Math.max(0, now[name] - then[name]);

function take(look) {
  if (look.away !== undefined) {
    away(`Not responding: ${look.away}`);
    return;
  }
  const { server, rooms } = look;
  const at = performance.now() / 1000;
  const { totals, workers } = server;
  document.body.dataset.state = "live";
  element("state").textContent = `version ${server.version}, ${workers.length} ${workers.length === 1 ? "worker" : "workers"}`;
  const went = before !== null && before.server.pid === server.pid ? server.uptime_s - before.server.uptime_s : 0;
  const rates = new Map();
  if (went > 0) {
    const of = (name) => since(totals, before.server.totals, name) / went;
    const worst = Math.max(0, ...workers.map((worker) => worker.loop_lag_s)) * 1000;
    charts.frames.push(at, [of("frames_in"), of("frames_out")]);
    charts.upgrades.push(at, [of("upgrades"), of("upgrades_refused")]);
    charts.drops.push(at, [of("frames_dropped")]);
    charts.lag.push(at, [worst]);
    figures.get("Frames in/s").textContent = short(of("frames_in"));
    figures.get("Frames out/s").textContent = short(of("frames_out"));
    for (const worker of workers) {
      const then = before.server.workers.find((each) => each.shard === worker.shard && each.pid === worker.pid);
      if (then && worker.pid !== null) {
        rates.set(worker.shard, { in: since(worker, then, "frames_in") / went, out: since(worker, then, "frames_out") / went });
      }
    }
  }
  figures.get("Connections").textContent = totals.connections.toLocaleString("en");
  figures.get("Rooms").textContent = totals.rooms.toLocaleString("en");
  figures.get("Queued frames").textContent = short(totals.queued);
  figures.get("Memory").textContent = bytes(workers.reduce((sum, worker) => sum + (worker.rss_bytes ?? 0), server.rss_bytes ?? 0));
  figures.get("Uptime").textContent = duration(server.uptime_s);
  if (went > 0 || before === null || before.server.pid !== server.pid) {
    showWorkers(element("workers").tBodies[0], workers, rates, restart);
    for (const each of document.querySelectorAll("#workers [data-order]")) each.disabled = !rights.changes;
    before = look;
  }
  if (document.activeElement !== element("scale-to") && !element("scale-to").value) element("scale-to").value = workers.length;
  showRooms(element("rooms"), rooms, choose);
  element("rooms-empty").hidden = rooms.length > 0;
  element("rooms-count").textContent = rooms.length < look.room_count ? `largest ${rooms.length} of ${look.room_count.toLocaleString("en")}` : "";
  showUnwell(server);
  takeEvents(look);
}

function showUnwell(server) {
  const reasons = [...server.unwell];
  for (const worker of server.workers) {
    if (!["ready", "moving"].includes(worker.state)) reasons.push(`worker ${worker.shard} is ${worker.state}`);
    for (const reason of worker.unwell) if (!server.unwell.includes(reason)) reasons.push(`worker ${worker.shard}: ${reason}`);
  }
  const text = reasons.length ? `Not ready: ${reasons.join("; ")}.` : "";
  if (element("unwell").textContent !== text) element("unwell").textContent = text;
  element("unwell").hidden = !text;
}

function takeEvents(look) {
  const gap = look.skipped || look.missed ? (look.skipped ? `${look.skipped} events not shown` : "some events may be missing") : "";
  const events = gap ? [{ gap }, ...look.events] : look.events;
  if (pending !== null) {
    pending = [...pending, ...events].slice(-PENDING_KEPT);
    element("pause").textContent = pending.length ? `Resume (${pending.length} new)` : "Resume";
  } else {
    tellEvents(events);
  }
}

function tellEvents(events) {
  for (const event of events) {
    if (event.gap) showGap(element("events"), event.gap);
    else showEvents(element("events"), [event]);
  }
  element("events-empty").hidden = element("events").children.length > 0;
}

element("pause").addEventListener("click", () => {
  const held = pending;
  pending = held === null ? [] : null;
  element("pause").setAttribute("aria-pressed", String(held === null));
  element("pause").textContent = held === null ? "Resume" : "Pause";
  if (held !== null) tellEvents(held);
});

function away(text) {
  document.body.dataset.state = "away";
  element("state").textContent = text;
  before = null;
  for (const chart of Object.values(charts)) chart.push(performance.now() / 1000, null);
}

// It looks only while it is seen.

const seen = () => new Promise((done) => {
  if (!document.hidden) done();
  else document.addEventListener("visibilitychange", () => done(), { once: true });
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stop.abort();
  else find();
});

async function watch() {
  for (;;) {
    await seen();
    stop = new AbortController();
    if (!(await learnRights())) away("The server is not responding.");
    else if (rights.reads) {
      find();
      try {
        for await (const look of looks(stop.signal)) take(look);
        if (!stop.signal.aborted) away("Disconnected. Retrying …");
      } catch (error) {
        if (!stop.signal.aborted) away(error instanceof Refused ? error.message : "Connection lost. Retrying …");
      }
    } else document.body.dataset.state = "locked";
    if (!stop.signal.aborted) await Promise.race([pause(AGAIN_MS), new Promise((done) => stop.signal.addEventListener("abort", done))]);
  }
}

setInterval(() => {
  const isMany = (before?.server.totals.connections ?? 0) > MANY;
  const isDue = performance.now() - foundAt >= (isMany ? REFRESH_MANY_MS : REFRESH_MS);
  if (isDue && !document.hidden && document.body.dataset.state === "live") find();
}, 1000);

watch();
