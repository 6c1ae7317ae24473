// The chat page of wspulse's `relay`: shows what a line brings, and says what is typed.
// What others send is put into the document as text only, never as HTML.

import { workerOf } from "./placement.js";
import { connect } from "./wspulse.js";

const CUT_S = 5;                 // how long "Cut the line" stays away: time to say something in the other window
const LINES_KEPT = 500;
const MESSAGES_REMEMBERED = 1000;
const CHANGES_TOLD = 6;          // of those that come at once
const ENDINGS = {
  "duplicate connection id": "This chat was opened in another window.",
  "replaced": "This chat was opened in another window.",
  "kicked": "You were removed from the room.",
};

const element = (id) => document.getElementById(id);

function make(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);       // strings become text nodes
  return made;
}

const randomText = () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => (byte % 36).toString(36)).join("");
const nameOf = (id) => (typeof id === "string" && id.replace(/~[0-9a-z]{6}$/, "")) || "somebody";

// Who is in the room, as the server's presence frames tell it.
class People {
  constructor(me) {
    this.me = me;
    this.members = new Map();    // id → {worker, away}
    this.count = 0;
  }

  // Takes a presence frame; returns the changes that are worth a line, as texts. Anybody in the room can send a frame that
  // looks like one, so it is read with care.
  take(frame) {
    const payload = frame.payload;
    if (payload === null || typeof payload !== "object") return [];
    this.count = Number.isInteger(payload.count) ? payload.count : this.members.size;
    if (frame.event === "presence.room" && Array.isArray(payload.members)) {
      this.members.clear();
      for (const member of payload.members) this.set(member, member?.state === "suspended");
      return [];
    }
    const told = [];
    for (const change of Array.isArray(payload.changes) ? payload.changes : []) {
      if (typeof change?.id !== "string") continue;
      if (change.what === "went") this.members.delete(change.id);
      else this.set(change, change.what === "dropped" || change.state === "suspended");
      const verb = {
        came: `came, on worker ${Number(change.worker)}`, went: "left", dropped: "lost the connection", resumed: "is back",
      }[change.what];
      if (change.id !== this.me && verb) told.push(`${nameOf(change.id)} ${verb}`);
    }
    return told.length > CHANGES_TOLD ? [`${told.length} people came or went`] : told;
  }

  set(member, away) {
    if (typeof member?.id === "string") this.members.set(member.id, { worker: Number(member.worker), away });
  }

  clear() {
    this.members.clear();
    this.count = 0;
  }
}

// What a line needs to be cut: its socket, and something that keeps it away for a while.
class Scissors {
  constructor(url) {
    const scissors = this;
    this.socket = null;
    this.due = 0;                // when it may come back
    this.isAway = Promise.resolve();
    this.url = async () => { await this.isAway; return url; };
    this.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        scissors.socket = this;
      }
    };
  }

  cut() {
    this.isAway = new Promise((resolve) => { this.release = resolve; });
    this.due = Date.now() + CUT_S * 1000;
    setTimeout(() => this.letGo(), CUT_S * 1000);
    this.socket.close();         // without a code: the line takes it for a loss
  }

  letGo() {
    this.due = 0;
    this.release?.();
  }

  mend() {
    this.letGo();
    dispatchEvent(new Event("online"));  // a line that waits for its next try hears that
  }
}

class Page {
  constructor(name, room, id) {
    this.name = name;
    this.room = room;
    this.id = id;
    this.people = new People(id);
    this.heard = new Set();      // sender and id of messages: one that was sent again, to another session, may come twice
    this.load = randomText();    // a reloaded page has the same connection id, and numbers its messages anew
    this.number = 0;
    this.written = 0;            // the number of the last message that was said before the line was lost
    this.unsaid = new Map();     // message id → what waits to come back
    this.before = null;          // what presence.you said last
    this.countdown = 0;
    this.isUp = false;
    const path = document.body.dataset.websocketPath;
    const url = new URL(`.${path}`, location.origin + location.pathname);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({ room, id, presence: "1" });
    document.title = `${room} · wspulse`;
    element("title").textContent = room;
    for (const list of ["log", "pending", "people"]) element(list).replaceChildren();
    element("people-box").open = wide.matches;
    element("door").hidden = true;
    element("house").hidden = false;
    this.setState("connecting", "connecting …");
    this.scissors = new Scissors(url.href);
    this.line = connect(this.scissors.url, { WebSocket: this.scissors.WebSocket });
    this.line.on("wspulse.state", (change) => this.changed(change));
    this.line.on("wspulse.lost", (lost) => this.lost(lost));
    this.line.on("wspulse.refused", () => this.note("The server does not let this page in, or is not there.", "bad"));
    this.line.on("wspulse.error", ({ kind, error }) => kind === "opening" && this.note(error.message, "bad"));
    this.line.on("*", (payload, frame) => this.take(frame));
    element("text").focus();
  }

  close() {
    clearInterval(this.countdown);
    this.line.close();
  }

  changed({ state, code, reason, delay }) {
    clearInterval(this.countdown);
    if (state === "closed") {
      const why = code === 1000 ? "" : `: ${reason} (${code})`;
      this.ended(ENDINGS[reason] ?? `The server closed the connection${why}.`);
    } else if (state === "connected") {
      this.isUp = true;          // presence.you tells the rest
    } else {
      if (this.isUp) this.written = this.number;
      this.isUp = false;
      this.wait(delay, code === 1001 ? "the server is restarting" : "connection lost");
    }
  }

  wait(delay, why) {
    const { scissors } = this;
    const due = Date.now() + delay;
    const tick = () => {
      const left_s = Math.ceil((Math.max(due, scissors.due) - Date.now()) / 1000);
      this.setState("waiting", left_s > 0 ? `${scissors.due ? "cut" : why}; back in ${left_s} s` : "reconnecting …");
    };
    this.countdown = setInterval(tick, 200);
    tick();
  }

  // Of what the server has not acknowledged nobody knows whether it was said: it is said again, and who gets it twice knows
  // it by its id. What it has acknowledged is said, though it did not come back.
  lost({ recovered, lost, unacknowledged }) {
    if (recovered) {
      this.note(`${lost} of the messages that came meanwhile are lost.`, "bad");
      return;
    }
    const again = new Set(unacknowledged.map(({ payload }) => payload.id));
    for (const { number, payload } of [...this.unsaid.values()]) {
      if (again.has(payload.id)) this.line.send("chat.said", payload);
      else if (number <= this.written) this.hear(payload);
    }
  }

  setState(state, text) {
    document.body.dataset.state = state;
    element("status").textContent = text;
    element("cut").textContent = { connected: "Cut the line", ended: "Join again" }[state] ?? "Reconnect now";
  }

  arrived(facts) {
    this.setState("connected", `worker ${facts.worker} of ${facts.workers}`);
    if (facts.resumed) {
      this.note("The connection is back: the session went on, and what was said meanwhile is above.");
    } else if (this.before) {
      this.note("Back in a new session: what was said meanwhile is lost.", "bad");
    } else {
      this.note(`You are connected to worker ${facts.worker}; the server has ${facts.workers}, counted from 0.`);
    }
    if (!facts.window_s && !this.before) {
      this.note("This server keeps no session for a lost connection (--resume-window 0).");
    }
    this.before = facts;
    const twin = { room: this.room, name: `${this.name.slice(0, 33)}'s twin`, beside: facts.worker, of: facts.workers };
    element("second").href = `?${new URLSearchParams(twin)}`;
  }

  // A session may move to another worker, and the line stays.
  showWorker() {
    const worker = this.people.members.get(this.id)?.worker;
    if (this.before && document.body.dataset.state === "connected" && Number.isInteger(worker)) {
      this.setState("connected", `worker ${worker} of ${this.before.workers}`);
    }
  }

  ended(why) {
    this.setState("ended", why);
    this.note(why, "bad");
    this.people.clear();
    this.showPeople();
  }

  take(frame) {
    if (frame.event === "presence.room" || frame.event === "presence.changes") {
      for (const text of this.people.take(frame)) this.note(text);
      this.showPeople();
      this.showWorker();
    } else if (frame.event === "presence.you" && frame.payload?.id === this.id) {
      this.arrived(frame.payload);
    } else if (frame.event === "chat.said" && typeof frame.payload?.text === "string") {
      this.hear(frame.payload);
    } else {
      // Somebody without this page: what they send is shown as it is.
      this.add("log", this.said("somebody", JSON.stringify(frame).slice(0, 2000), "foreign"));
    }
  }

  hear({ from, id = "", text }) {
    const key = `${from}/${id}`;
    if (this.heard.has(key)) return;
    if (id) this.heard.add(key);
    if (this.heard.size > MESSAGES_REMEMBERED) this.heard.delete(this.heard.values().next().value);
    const own = from === this.id;
    if (own && this.unsaid.delete(id)) this.pendingLine(id)?.remove();
    this.add("log", this.said(own ? "you" : nameOf(from), text, own ? "own" : "", this.people.members.get(from)?.worker));
  }

  say(text) {
    this.number += 1;
    const id = `${this.load}.${this.number}`;
    const line = this.said("on its way", text, "own");
    line.dataset.id = id;
    this.add("pending", line);
    const payload = { from: this.id, id, text };
    this.unsaid.set(id, { number: this.number, payload });
    this.line.send("chat.said", payload);
  }

  pendingLine(id) {
    return [...element("pending").children].find((line) => line.dataset.id === id);
  }

  said(who, text, kind, worker) {
    const by = make("span", "who", who);
    if (Number.isInteger(worker)) by.append(" ", this.badge(worker));
    return make("li", `said ${kind}`, by, make("span", "what", text));
  }

  note(text, kind = "") {
    this.add("log", make("li", `note ${kind}`, text));
  }

  badge(worker) {
    return make("span", `badge w${worker % 4}`, `worker ${worker}`);
  }

  add(list, line) {
    const log = element("log");
    element(list).append(line);
    while (log.childElementCount > LINES_KEPT) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  showPeople() {
    const members = [...this.people.members].sort(([a], [b]) => nameOf(a).localeCompare(nameOf(b)) || (a < b ? -1 : 1));
    const lines = members.map(([id, { worker, away }]) => {
      const name = make("span", "name", nameOf(id) + (id === this.id ? " (you)" : "") + (away ? ", away" : ""));
      return make("li", away ? "away" : "", name, this.badge(worker));
    });
    const hidden = this.people.count - members.length;
    if (hidden > 0) lines.push(make("li", "away", make("span", "name", `and ${hidden} more`)));
    element("people").replaceChildren(...lines);
    element("count").textContent = this.people.count;
  }
}

// Who reads at the end of the log stays there, when lines come and when a keyboard takes half of the window; who has
// scrolled up is left alone.

let atEnd = true;
element("log").addEventListener("scroll", ({ target }) => {
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 80;
});
new ResizeObserver(([{ target }]) => { if (atEnd) target.scrollTop = target.scrollHeight; }).observe(element("log"));

const wide = matchMedia("(min-width: 721px)");
wide.addEventListener("change", () => { element("people-box").open = wide.matches; });

// The door.

let page = null;
const query = new URLSearchParams(location.search);

// What a reloaded page goes on with. A browser that keeps nothing for pages refuses the access.
const memory = {
  get() { try { return JSON.parse(sessionStorage.getItem("wspulse")); } catch { return null; } },
  set(value) { try { sessionStorage.setItem("wspulse", JSON.stringify(value)); } catch { /* then it begins anew */ } },
};

function join(name, room, id) {
  memory.set({ name, room, id });
  page?.close();
  page = new Page(name, room, id);
}

// A second window chooses an id that lives on another worker than the first one's.
function newId(name) {
  const beside = Number(query.get("beside") ?? -1);
  const workers = Number(query.get("of") ?? 1);
  let id;
  for (let attempt = 0; attempt < 50; attempt += 1) {
    id = `${name}~${randomText()}`;
    if (workerOf(id, workers) !== beside) break;
  }
  return id;
}

element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("name").value.trim();
  if (name) join(name, element("room").value.trim() || "lobby", newId(name));
});

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text").value;
  if (text.trim() && document.body.dataset.state !== "ended") {
    page.say(text);
    element("text").value = "";
  }
});

element("cut").addEventListener("click", () => {
  const state = document.body.dataset.state;
  if (state === "connected") page.scissors.cut();
  else if (state === "ended") join(page.name, page.room, newId(page.name));
  else page.scissors.mend();
});

element("leave").addEventListener("click", () => {
  memory.set(null);
  page.close();
  page = null;
  document.body.dataset.state = "outside";
  document.title = "wspulse";
  element("house").hidden = true;
  element("door").hidden = false;
  element("name").focus();
});

element("name").value = (query.get("name") ?? "").slice(0, element("name").maxLength);
element("room").value = (query.get("room") ?? "").slice(0, element("room").maxLength);
const known = memory.get();
if (known) join(known.name, known.room, known.id);
else element("name").focus();
