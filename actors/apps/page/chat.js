// The chat page of wspulse's `relay`: shows what a line brings, and sends what is typed.

import { clock, element, foreign, make } from "./document.js";
import { claim, memory, nameOf, newId, query, randomText, release } from "./identity.js";
import { People, badge } from "./people.js";
import { Scissors } from "./scissors.js";
import { connect } from "./wspulse.js";

const LINES_KEPT = 500;
const MESSAGES_REMEMBERED = 1000;
const STEADY_MS = 5000;          // an id that is taken away sooner is not replaced without being asked
const TAKEN = ["duplicate connection id", "replaced"];
const CLOSED_BY_SERVER = { 1001: "The server is shutting down.", 1012: "The server is restarting." };

const relabel = (line, text) => { line.querySelector(".who").firstChild.textContent = text; };
const countOf = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

class Chat {
  // `arrival` says what came before: "first", "reloaded", "again" after an end, "beside" a window that has the id that this one
  // was copied from, or "displaced" by a window that took it.
  constructor(name, room, id, arrival) {
    this.name = name;
    this.room = room;
    this.id = id;
    this.arrival = arrival;
    this.people = new People(id);
    this.heard = new Set();      // sender and id of messages: one that was sent again, to another session, may come twice
    this.load = randomText();    // a reloaded page has the same connection id, and numbers its messages anew
    this.number = 0;
    this.written = 0;            // the number of the last message that was written before the line was lost
    this.unsaid = new Map();     // message id → what waits to come back
    this.missed = 0;             // messages that came between the connection and presence.you
    this.facts = null;           // what presence.you said last
    this.worker = null;          // while connected
    this.isUp = false;
    this.since = 0;              // when it was connected
    this.due = 0;                // when the line tries again
    this.countdown = 0;
    this.doubt = "";             // "offline", and no word since; "checking" afterwards; "answers": offline, and the server is heard
    this.waiting = "";           // what the page says of messages that have not come back
    this.over = "";
    this.isLeft = false;
    document.title = `${room} · wspulse`;
    element("title").textContent = element("title").title = room;
    element("link").href = `?${new URLSearchParams({ room })}`;
    history.replaceState(null, "", element("link").href);
    this.offerTwin({});
    element("people-box").open = wide.matches;
    element("door").hidden = true;
    element("house").hidden = false;
    this.showStatus();
    element("text").focus();
  }

  async open() {
    if (!(await claim(this.id))) {
      this.arrival = "beside";
      this.id = this.people.me = newId(this.name);
      await claim(this.id);
    }
    if (this.isLeft) return;
    const { name, room, id } = this;
    memory.set({ name, room, id });
    const path = document.body.dataset.websocketPath;
    const url = new URL(`.${path}`, location.origin + location.pathname);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({ room, id, presence: "1" });
    this.scissors = new Scissors(url.href, () => this.answered());
    this.line = connect(this.scissors.url, { WebSocket: this.scissors.WebSocket });
    this.line.on("wspulse.state", (change) => this.changed(change));
    this.line.on("wspulse.lost", (lost) => this.lost(lost));
    this.line.on("wspulse.refused", () => this.note(["The server cannot be reached, or refuses this page. Still trying."], "bad"));
    this.line.on("wspulse.error", (problem) => this.failed(problem));
    this.line.on("*", (payload, frame) => this.take(frame));
  }

  close() {
    this.isLeft = true;
    clearInterval(this.countdown);
    this.line?.close();
  }

  changed({ state, code, reason, delay }) {
    clearInterval(this.countdown);
    if (this.isLeft) return;
    if (state === "closed") {
      this.ended(code, reason);
      return;
    }
    if (state === "connected") {
      this.isUp = true;          // presence.you tells the rest
      this.since = Date.now();
      this.due = this.missed = 0;
      this.doubt = "";
    } else {
      if (this.isUp) this.lose(code);
      this.due = Date.now() + delay;
      this.countdown = setInterval(() => this.showStatus(), 200);
    }
    this.showStatus();
  }

  lose(code) {
    this.isUp = false;
    this.worker = null;
    this.written = this.number;
    if (this.scissors.due) this.note(["You dropped the connection. What you write now will be sent when it is back."]);
    else this.note([CLOSED_BY_SERVER[code] ?? "The connection was lost."]);
  }

  // Of what the server has not acknowledged nobody knows whether it was said: it is said again, and who gets it twice knows
  // it by its id. What it has acknowledged is said, though it did not come back.
  lost({ recovered, lost, unacknowledged }) {
    if (recovered) {
      this.note([`Up to ${countOf(lost, "message")} did not fit into the server's buffer, and ${lost === 1 ? "is" : "are"} missing here.`], "bad");
      return;
    }
    const again = new Set(unacknowledged.map(({ payload }) => payload.id));
    for (const { number, payload } of [...this.unsaid.values()]) {
      if (again.has(payload.id)) this.line.send("chat.said", payload);
      else if (number <= this.written) this.hear(payload);
    }
  }

  failed({ kind, error, data }) {
    if (kind === "opening") this.note([`Connecting failed: ${error.message}.`], "bad");
    if (kind === "frame") this.stranger(typeof data === "string" ? data : `${data.byteLength} bytes`);
  }

  // What the page is in, what it says of it, and what is not read aloud, since it changes with each second.
  status() {
    const { worker, doubt } = this;
    if (this.over) return ["ended", this.over, ""];
    if (worker !== null) {
      if (doubt === "offline") return ["doubtful", "offline", ""];
      if (doubt === "checking") return ["doubtful", "checking", " …"];
      if (doubt === "answers") return ["doubtful", `worker ${worker}, offline`, ""];
      return ["connected", `worker ${worker} of ${this.facts.workers}`, ""];
    }
    if (!this.due) return ["connecting", "connecting", " …"];
    const left_s = Math.ceil((Math.max(this.due, this.scissors.due) - Date.now()) / 1000);
    return ["waiting", "retrying", left_s > 0 ? ` in ${left_s} s` : " …"];
  }

  showStatus() {
    if (this.isLeft) return;
    const [state, text, more] = this.status();
    document.body.dataset.state = state;
    if (element("state").textContent !== text) element("state").textContent = text;
    element("countdown").textContent = more;
    element("cut").textContent = { ended: "Join again", waiting: "Reconnect", connecting: "Reconnect" }[state] ?? "Drop connection";
    this.waiting = state === "connected" || this.doubt === "answers" ? "on its way" : "waiting for the connection";
    for (const line of element("pending").children) relabel(line, this.waiting);
    const isOver = state === "ended";
    element("cut").classList.toggle("primary", isOver);
    element("text").disabled = element("send").disabled = isOver;
    element("text").placeholder = isOver ? "Not in the room" : "Write a message";
  }

  // The browser says that the network is gone, or is back: a socket may live on all the same, or be dead and not know it.
  networkLost() {
    this.doubt = "offline";
    this.showStatus();
  }

  networkBack() {
    if (this.doubt) this.doubt = this.doubt === "offline" && this.line?.exact ? "checking" : "";  // the line asks the server
    this.showStatus();
  }

  answered() {
    if (this.doubt !== "offline" && this.doubt !== "checking") return;
    this.doubt = navigator.onLine ? "" : "answers";
    this.showStatus();
  }

  arrived(facts) {
    const isFirst = this.facts === null;
    this.facts = facts;
    this.worker = facts.worker;
    this.showStatus();
    if (isFirst) {
      this.note([this.greeting()]);
      if (!facts.window_s) this.note(["This server keeps no sessions for lost connections (--resume-window 0)."]);
    } else if (facts.resumed) {
      const news = this.missed ? ` ${countOf(this.missed, "missed message")} ${this.missed === 1 ? "is" : "are"} above.` : "";
      this.note([`Reconnected to the same session.${news}`]);
    } else {
      const own = this.unsaid.size ? " Your own messages follow." : "";
      this.note([`Reconnected in a new session. What others wrote meanwhile is missing here.${own}`]);
    }
    this.offerTwin({ beside: facts.worker, of: facts.workers });
  }

  greeting() {
    const { worker, workers } = this.facts;
    return {
      reloaded: "You are back. This page does not keep earlier messages.",
      again: "You are back in the room. What was written meanwhile is missing here.",
      beside: "Your other window is still in this room, so this one joined with an id of its own.",
      displaced: "Another window took over the id of this one, which now has a new id. What was written meanwhile is missing here.",
    }[this.arrival] ?? `You are connected to worker ${worker}. ${
      workers === 1 ? "This server has no other" : `This server has ${workers} workers, numbered from 0`}.`;
  }

  offerTwin(place) {
    const twin = { room: this.room, name: `${this.name.slice(0, 33)}'s twin`, ...place };
    element("second").href = `?${new URLSearchParams(twin)}`;
  }

  // A session may move to another worker, and the line stays.
  showWorker() {
    const worker = this.people.workerOf(this.id);
    if (this.worker !== null && Number.isInteger(worker)) this.worker = worker;
    this.showStatus();
  }

  ended(code, reason) {
    this.giveUp();
    this.people.clear();
    this.people.show();
    if (code === 1000 && TAKEN.includes(reason) && Date.now() - this.since >= STEADY_MS) {
      join(this.name, this.room, newId(this.name), "displaced");
      return;
    }
    const isFocused = element("say").contains(document.activeElement);
    this.over = reason === "kicked" ? "removed" : "disconnected";
    this.showStatus();
    if (reason === "kicked") this.note(["You were removed from the room."], "bad");
    else if (TAKEN.includes(reason)) this.note(["Another window took over the id of this one."], "bad");
    else if (reason) this.note(["The server closed the connection: ", foreign(reason), ` (${code}).`], "bad");
    else this.note([`The server closed the connection (${code}).`], "bad");
    if (isFocused) element("cut").focus();
  }

  // What has not come back may have been said, or not.
  giveUp() {
    for (const line of [...element("pending").children]) {
      line.classList.add("unsure");
      relabel(line, "may not have arrived");
      this.add("log", line);
    }
    this.unsaid.clear();
  }

  take(frame) {
    if (frame.event === "presence.room" || frame.event === "presence.changes") {
      for (const pieces of this.people.take(frame)) this.note(pieces);
      this.people.show();
      this.showWorker();
    } else if (frame.event === "presence.you" && frame.payload?.id === this.id) {
      this.arrived(frame.payload);
    } else if (frame.event === "chat.said" && typeof frame.payload?.text === "string") {
      this.hear(frame.payload);
    } else {
      this.stranger(JSON.stringify(frame));
    }
  }

  // A frame of another client, of a program, or of an operator: it does not say whose it is, so it is shown as it came.
  stranger(text) {
    this.add("log", this.said("raw frame, unknown sender", text, "raw"));
  }

  hear({ from, id = "", text }) {
    const key = `${from}/${id}`;
    if (this.heard.has(key)) return;
    if (id) this.heard.add(key);
    if (this.heard.size > MESSAGES_REMEMBERED) this.heard.delete(this.heard.values().next().value);
    const isOwn = from === this.id;
    if (isOwn && this.unsaid.delete(id)) this.pendingLine(id)?.remove();
    if (!isOwn && this.worker === null) this.missed += 1;
    this.add("log", this.said(isOwn ? "you" : nameOf(from), text, isOwn ? "own" : "", this.people.workerOf(from)));
  }

  say(text) {
    this.number += 1;
    const id = `${this.load}.${this.number}`;
    const line = this.said(this.waiting, text, "own");
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
    const by = make("span", "who", foreign(who));
    if (Number.isInteger(worker)) by.append(badge(worker));
    by.append(clock());
    return make("li", `said ${kind}`, by, foreign(text, "what"));
  }

  note(pieces, kind = "") {
    this.add("log", make("li", `note ${kind}`, ...pieces));
  }

  add(list, line) {
    const log = element("log");
    element(list).append(line);
    while (log.childElementCount > LINES_KEPT) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
}

// Who reads at the end of the log stays there, when lines come and when a keyboard takes half of the window; who has
// scrolled up is left alone.

let atEnd = true;
let size = "";
const sizeOf = (log) => `${log.clientWidth} ${log.clientHeight}`;
element("log").addEventListener("scroll", ({ target }) => {
  if (sizeOf(target) !== size) return;  // a window of another size scrolls too, before the observer hears of it
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 80;
});
new ResizeObserver(([{ target }]) => {
  size = sizeOf(target);
  if (atEnd) target.scrollTop = target.scrollHeight;
}).observe(element("log"));

const wide = matchMedia("(min-width: 721px)");
wide.addEventListener("change", () => { element("people-box").open = wide.matches; });

// The door.

let chat = null;

function join(name, room, id, arrival) {
  chat?.close();
  chat = new Chat(name, room, id, arrival);
  chat.open();
}

element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("name").value.trim();
  if (name) join(name, element("room").value.trim() || "lobby", newId(name), "first");
});

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text").value;
  if (text.trim() && chat.line) {
    chat.say(text);
    element("text").value = "";
  }
});

element("cut").addEventListener("click", () => {
  const { state } = document.body.dataset;
  if (state === "ended") join(chat.name, chat.room, newId(chat.name), "again");
  else if (chat.worker !== null) chat.scissors.cut();
  else chat.scissors?.mend();
});

element("leave").addEventListener("click", () => {
  memory.set(null);
  release();
  chat.close();
  chat = null;
  for (const list of ["log", "pending", "people"]) element(list).replaceChildren();
  document.body.dataset.state = "outside";
  document.title = "wspulse";
  element("house").hidden = true;
  element("door").hidden = false;
  element("name").focus();
});

const copy = element("copy");
copy.hidden = !navigator.clipboard;  // which pages over plain HTTP have on their own machine only
copy.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(element("link").href);
    copy.textContent = "Copied";
  } catch {
    copy.textContent = "Not allowed: copy the link itself";
  }
  setTimeout(() => { copy.textContent = "Copy"; }, 2000);
});

addEventListener("offline", () => chat?.networkLost());
addEventListener("online", () => chat?.networkBack());

// A link carries its room. Who is known here, since this is a reload, joins at once.
element("name").value = (query.get("name") ?? "").slice(0, element("name").maxLength);
element("room").value = query.get("room") ?? "";
const known = memory.get();
const asked = query.get("room") || known?.room;
if (known) join(known.name, asked, asked === known.room ? known.id : newId(known.name), asked === known.room ? "reloaded" : "first");
else element("name").focus();
