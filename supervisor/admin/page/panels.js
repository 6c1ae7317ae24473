// What the tables and lists of the page show. Whatever clients chose (ids, rooms, reasons) is put into the document as text only.

import { short } from "./charts.js";

const EVENTS_KEPT = 200;

const WHAT = {
  connect: "connected",
  disconnect: "left",
  drop: "lost its connection",
  restore: "reconnected",
  transfer: "moved to another process",
  "worker.started": "started",
  "worker.ready": "is ready",
  "worker.died": "died",
  "worker.restarted": "replaced the previous one",
  "worker.moving": "is handing over its sessions",
};

export function make(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);       // strings become text nodes
  return made;
}

// Something that a client chose, in its own direction of writing.
export function foreign(text, className = "") {
  const made = make("bdi", className, text === "" ? "(empty)" : text);
  made.dir = "auto";
  return made;
}

// Makes the children of a parent those of a list, and keeps those that were there: the focus stays where it is.
function sync(parent, items, keyOf, create, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focused = document.activeElement;
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = key;
    }
    known.delete(key);
    fill(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const child of known.values()) child.remove();
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

function cell(label, className, ...content) {
  const made = make("td", className, ...content);
  made.dataset.label = label;
  return made;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function button(text, className, describe, act) {
  const made = make("button", className, text);
  made.type = "button";
  made.dataset.order = "";
  made.setAttribute("aria-label", describe);
  made.addEventListener("click", act);
  return made;
}

export function bytes(number) {
  if (number === null || number === undefined) return "–";
  return number >= 1e9 ? `${(number / 1e9).toFixed(1)} GB` : `${Math.round(number / 1e6)} MB`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

const lag = (seconds) => `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;

// `rates` has {in, out} by worker; `restart(worker)` is called by its button.
export function showWorkers(body, workers, rates, restart) {
  const labels = ["State", "Connections", "Frames in/s", "Frames out/s", "Loop lag", "Memory", "Crashes", "PID"];
  sync(body, workers, (worker) => worker.shard, (worker) => {
    const head = make("th", "", `Worker ${worker.shard}`);
    head.scope = "row";
    const cells = labels.map((label, index) => cell(label, index ? "number" : "", ...(index ? [] : [make("span", "badge")])));
    const again = button("Restart", "small", `Restart worker ${worker.shard}`, () => restart(worker.shard));
    return make("tr", "", head, ...cells, cell("", "last", again));
  }, (row, worker) => {
    const state = row.querySelector(".badge");
    say(state, worker.state === "moving" ? `moving, ${worker.moving_left} left` : worker.state);
    state.dataset.kind = { ready: "good", moving: "wait", starting: "wait", waiting: "bad", silent: "bad" }[worker.state] ?? "wait";
    const rate = rates.get(worker.shard);
    const isThere = worker.pid !== null;
    const texts = [
      short(worker.connections),
      rate ? short(rate.in) : "–",
      rate ? short(rate.out) : "–",
      isThere ? lag(worker.loop_lag_s) : "–",
      bytes(worker.rss_bytes),
      String(worker.restarts),
      isThere ? String(worker.pid) : "–",
    ];
    texts.forEach((text, index) => say(row.children[index + 2], text));
    row.children[5].title = isThere ? `worst of the last 10 s: ${lag(worker.loop_lag_worst_s)}` : "";
  });
}

// `choose(room)` is called by its button.
export function showRooms(list, rooms, choose) {
  const most = Math.max(1, ...rooms.map((room) => room.connections));
  sync(list, rooms, (room) => room.id, (room) => {
    const bar = make("span", "bar", make("span"));
    bar.setAttribute("aria-hidden", "true");
    const name = make("button", "link", foreign(room.id));
    name.type = "button";
    name.title = "Show its connections";
    name.addEventListener("click", () => choose(room.id));
    return make("li", "", name, bar, make("span", "count"));
  }, (item, room) => {
    item.querySelector(".bar > span").style.width = `${(100 * room.connections) / most}%`;
    say(item.querySelector(".count"), room.connections.toLocaleString("en"));
  });
}

// `kick(id)` is called by its button.
export function showConnections(body, rows, kick) {
  sync(body, rows, (row) => row.id, (row) => {
    const head = make("th", "id", foreign(row.id));
    head.scope = "row";
    const end = button("Kick", "small danger", `Kick ${row.id}`, () => kick(row.id));
    return make(
      "tr", "", head, cell("Rooms", "rooms"), cell("Worker", ""), cell("State", "", make("span", "badge")), cell("Since", "time"),
      cell("Queued frames", "number"), cell("", "last", end),
    );
  }, (line, row) => {
    const rooms = row.rooms?.length ? row.rooms : [row.room];
    const told = rooms.slice(0, 4).flatMap((room, index) => [...(index ? [", "] : []), foreign(room)]);
    if (rooms.length > 4) told.push(` and ${rooms.length - 4} more`);
    const text = told.map((each) => each.textContent ?? each).join("");
    if (line.children[1].textContent !== text) line.children[1].replaceChildren(...told);
    say(line.children[2], String(row.shard));
    const state = line.querySelector(".badge");
    say(state, row.state);
    state.dataset.kind = row.state === "connected" ? "good" : "wait";
    say(line.children[4], when(row.connected_at));
    say(line.children[5], String(row.queued));
  });
}

function when(seconds) {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

function line(event) {
  const time = make("time", "", new Date(event.time * 1000).toLocaleTimeString("en-GB"));
  const item = make("li", "", time);
  item.dataset.kind = event.kind;
  const what = WHAT[event.kind] ?? event.kind;
  if (event.kind.startsWith("worker.")) {
    const isOver = event.kind === "worker.moving" && event.is_over;
    const text = isOver ? `handed over its sessions: ${event.moved ?? 0} moved, ${event.drained ?? 0} closed` : what;
    item.append(make("strong", "", `worker ${event.shard}`), ` ${text}`);
  } else {
    item.append(foreign(event.connection ?? "", "name"), ` ${what}, room `, foreign(event.room ?? ""));
  }
  if (event.error) {
    const why = make("span", "why", event.error);
    why.dir = "auto";
    item.append(" ", why);
  }
  return item;
}

export function showEvents(list, events) {
  for (const event of events) list.prepend(line(event));
  while (list.children.length > EVENTS_KEPT) list.lastChild.remove();
}

export function showGap(list, text) {
  list.prepend(make("li", "gap", text));
}
