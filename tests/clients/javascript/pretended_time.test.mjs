// wspulse.js with a pretended clock and pretended sockets: when it dials, what it gives up, and that it leaves nothing behind.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { load } from "./load.mjs";

// The surroundings, before the client is loaded: a page.

const page = new EventTarget();
const listeners = new Map();
const documentOfIt = {
  hidden: false,
  addEventListener: (name, listener) => globalThis.addEventListener(name, listener),
  removeEventListener: (name, listener) => globalThis.removeEventListener(name, listener),
};
globalThis.addEventListener = (name, listener) => {
  listeners.set(name, (listeners.get(name) ?? 0) + 1);
  page.addEventListener(name, listener);
};
globalThis.removeEventListener = (name, listener) => {
  listeners.set(name, listeners.get(name) - 1);
  page.removeEventListener(name, listener);
};
globalThis.document = documentOfIt;

const clock = { now: 0, timers: new Map(), number: 0 };
const real = { setTimeout, setImmediate };
globalThis.setTimeout = (callback, delay) => {
  clock.timers.set(++clock.number, { at: clock.now + Math.max(0, Number(delay) || 0), callback });
  return clock.number;
};
globalThis.setInterval = (callback, period) => {
  const number = ++clock.number;
  const again = () => {
    clock.timers.set(number, { at: clock.now + period, callback: () => { again(); callback(); } });
  };
  again();
  return number;
};
globalThis.clearTimeout = globalThis.clearInterval = (number) => clock.timers.delete(number);
Object.defineProperty(globalThis, "performance", { value: { now: () => clock.now }, configurable: true });

let drawn = 0;
Math.random = () => drawn;

const settle = () => new Promise((resolve) => real.setImmediate(resolve));

async function pass(duration) {
  const until = clock.now + duration;
  for (;;) {
    await settle();
    const due = [...clock.timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
    if (due === undefined) break;
    clock.now = Math.max(clock.now, due[1].at);
    clock.timers.delete(due[0]);
    due[1].callback();
  }
  clock.now = until;
}

class PretendedSocket {
  static made = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols, at: clock.now, readyState: 0, sent: [], protocol: "", closedWith: null });
    PretendedSocket.made.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(...given) {
    this.closedWith ??= given;
    this.readyState = Math.max(this.readyState, 2);
  }

  open(protocol = "wspulse.1") {
    this.protocol = protocol;
    this.readyState = 1;
    this.onopen?.({});
  }

  says(frame) {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  begins(fields = {}) {
    this.open();
    const payload = { id: "c", token: "t", window: 30, ping: 10, ack: [64, 1048576], received: 0, recovered: false, lost: 0, ...fields };
    this.says({ event: "wspulse.session", payload });
  }

  ends(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

const { connect } = await load(new URL("../../../actors/apps/page/wspulse.js", import.meta.url));
const sockets = PretendedSocket.made;
const last = () => sockets.at(-1);

function open(options = {}, url = "ws://x/") {
  return connect(url, { WebSocket: PretendedSocket, ...options });
}

beforeEach(() => {
  sockets.length = 0;
  clock.timers.clear();
  listeners.clear();
  documentOfIt.hidden = false;
  drawn = 0;
});

// Lets every dial fail, and returns how long each one waited.
async function delaysOf(count, fail = () => last().ends()) {
  const delays = [];
  for (let number = 0; number < count; number += 1) {
    const made = sockets.length;
    const from = clock.now;
    fail();
    for (let step = 0; sockets.length === made; step += 1) {
      assert.ok(step < 100_000, "it dials again");
      await pass(Math.max(1, Math.min(...[...clock.timers.values()].map(({ at }) => at - clock.now))));
    }
    delays.push(last().at - from);
  }
  return delays;
}

test("the first try after a loss comes within a second, the later ones after twice as long each, to 20 s", async () => {
  for (const [draw, expected] of [
    [0, [0, 250, 500, 1000, 2000, 4000, 8000, 10000, 10000]],
    [0.999999, [1000, 500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]],
  ]) {
    const line = open();
    await settle();
    last().begins();
    drawn = draw;
    const delays = await delaysOf(expected.length);
    assert.deepEqual(delays.map(Math.round), expected);
    line.close();
  }
});

test("a server that accepts and closes at once for ever is dialled ever more slowly, until it stood for five seconds", async () => {
  const line = open();
  await settle();
  const flap = () => { last().begins(); last().ends(1001); };
  assert.deepEqual(await delaysOf(8, flap), [0, 250, 500, 1000, 2000, 4000, 8000, 10000]);
  last().begins();
  await pass(4_999);
  assert.deepEqual(await delaysOf(1), [10_000], "four seconds were not enough");
  last().begins();
  await pass(5_000);
  assert.deepEqual(await delaysOf(2), [0, 250]);
  line.close();
});

test("a server that has never worked is dialled slowly from the third failure on", async () => {
  const line = open();
  await settle();
  assert.deepEqual(await delaysOf(5), [0, 250, 10_000, 10_000, 10_000]);
  line.close();
});

test("the server's wish is followed, but a server that wishes nothing good is no reason to hurry", async () => {
  const line = open();
  await settle();
  last().begins();
  const wish = (text) => delaysOf(1, () => last().ends(1012, text));
  assert.deepEqual(await wish("service restart; retry=1500"), [1500]);
  assert.deepEqual(await wish("service restart; retry=0"), [250]);
  assert.deepEqual(await wish("service restart; retry=0"), [500]);
  assert.deepEqual(await wish("try again later; retry=99999999999999999999"), [3_600_000]);
  last().begins();
  await pass(5_000);
  drawn = 0.5;
  assert.deepEqual(await wish("try again later; retry=1e99"), [500], "that is no number of milliseconds");
  last().begins();
  await pass(5_000);
  assert.deepEqual(await wish("service restart; retry=-5"), [500]);
  line.close();
});

test("options change the delays, and how many tries there are", async () => {
  const line = open({ retry: { base: 100, max: 300, limit: 4 } });
  const states = [];
  line.on("wspulse.state", ({ state }) => states.push(state));
  await settle();
  last().begins();
  assert.deepEqual(await delaysOf(4), [0, 50, 100, 150]);
  last().ends();
  await pass(100_000);
  assert.equal(sockets.length, 5);
  assert.equal(line.state, "closed");
  assert.equal(states.at(-1), "closed");
});

test("delays without end are an hour, and such as would be a tight loop are refused", async () => {
  const line = open({ retry: { max: Infinity } });
  await settle();
  assert.deepEqual(await delaysOf(4), [0, 250, 3_600_000, 3_600_000]);
  line.close();
  for (const retry of [{ base: 0 }, { base: -1 }, { base: NaN }, { max: 10 }, { base: 5, max: NaN }]) {
    assert.throws(() => open({ retry }), RangeError);
  }
});

test("an address that is none is refused at once", () => {
  for (const url of ["", "/ws", "ftp://x/", "mailto:ada@x", 5]) assert.throws(() => open({}, url), TypeError, `${url}`);
});

test("a line is exact only from when the server has said so", async () => {
  const line = open();
  assert.equal(line.exact, false);
  await settle();
  last().open();
  assert.equal(line.exact, false);
  last().begins();
  assert.equal(line.exact, true);
  line.close();
});

test("a hidden page comes back at once, and then slowly; seen again it does not wait", async () => {
  const line = open();
  await settle();
  last().begins();
  documentOfIt.hidden = true;
  assert.deepEqual(await delaysOf(2), [0, 10_000]);
  last().ends();
  page.dispatchEvent(new Event("visibilitychange"));
  await pass(2_000);
  assert.equal(sockets.length, 3, "still hidden");
  drawn = 0.5;
  documentOfIt.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  page.dispatchEvent(new Event("pageshow"));
  await pass(499);
  assert.equal(sockets.length, 3);
  await pass(1);
  assert.equal(sockets.length, 4, "spread over a second");
  line.close();
});

test("a page that is kept for a way back drops its socket at once, and goes on with its session when somebody comes back", async () => {
  const line = open();
  await settle();
  last().begins();
  const socket = last();
  page.dispatchEvent(new Event("pagehide"));
  assert.equal(socket.closedWith, null, "a page that goes for good leaves it to the browser");
  page.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: true }));
  assert.deepEqual(socket.closedWith, [], "without a code: its session waits");
  line.send("said", "meanwhile");
  socket.ends(1005);
  page.dispatchEvent(new Event("pageshow"));
  await pass(1_000);
  last().begins({ recovered: true });
  assert.deepEqual([last().protocols[1], last().sent[0].payload, sockets.length], ["wspulse.resume.t.0", "meanwhile", 2]);
  line.close();
});

test("a page that comes back asks once a second at most, and gives an unanswered question a period", async () => {
  const line = open();
  await settle();
  last().begins();
  await pass(2_000);
  const socket = last();
  for (const event of ["online", "pageshow", "visibilitychange"]) page.dispatchEvent(new Event(event));
  assert.deepEqual(socket.sent, [{ event: "wspulse.ack", payload: 0 }]);
  await pass(10_000);
  assert.equal(line.state, "connected");
  await pass(5_000);
  assert.equal(line.state, "reconnecting");
  assert.equal(last().protocols[1], "wspulse.resume.t.0");
  line.close();
});

test("bytes are counted from the last acknowledgement on, and frames from the offer on", async () => {
  const line = open();
  await settle();
  last().begins({ ack: [64, 100] });
  for (let number = 0; number < 2; number += 1) last().says({ event: "a", payload: "x".repeat(40) });
  assert.deepEqual(last().sent, [{ event: "wspulse.ack", payload: 2 }]);
  last().says({ event: "a" });
  assert.equal(last().sent.length, 1);
  last().ends();
  await pass(0);
  assert.equal(last().protocols[1], "wspulse.resume.t.3");
  last().begins({ recovered: true });
  last().says({ event: "wspulse.ack", payload: 0 });
  await pass(2_000);
  assert.deepEqual(last().sent, [], "the offer has told all of it");
  line.close();
});

test("a line on which nothing comes for two and a half periods is given up, one that says anything is not", async () => {
  const line = open();
  await settle();
  last().begins();
  for (let period = 0; period < 10; period += 1) {
    await pass(24_000);
    last().says({ event: "wspulse.ack", payload: 0 });
  }
  assert.equal(sockets.length, 1);
  await pass(24_900);
  assert.equal(line.state, "connected");
  await pass(2_600);
  assert.equal(line.state, "reconnecting");
  assert.deepEqual(sockets[0].closedWith, [], "the session is not ended by it");
  line.close();
});

test("a page that slept for an hour does not take the line for dead before it has listened", async () => {
  const line = open();
  await settle();
  last().begins();
  clock.now += 3_600_000;   // no timer fired meanwhile
  for (const timer of clock.timers.values()) timer.at += 3_595_000;
  await pass(5_000);
  assert.equal(line.state, "connected");
  line.close();
});

test("what comes late from a dial that was given up is not looked at", async () => {
  const heard = [];
  const line = open();
  line.on("a", (payload) => heard.push(payload));
  await settle();
  await pass(10_000);
  assert.equal(sockets.length, 2);
  const handlers = [sockets[0].onopen, sockets[0].onmessage, sockets[0].onclose];
  assert.deepEqual(handlers, [null, null, null]);
  last().begins();
  last().says({ event: "a", payload: 1 });
  assert.deepEqual(heard, [1]);
  // It arrived after all, and has replaced the one that came later: we come back.
  last().ends(1000, "replaced");
  await pass(250);
  assert.equal(sockets.length, 3);
  last().begins({ recovered: true });
  last().ends(1000, "replaced");
  assert.equal(line.state, "closed", "this time it was somebody else");
});

test("an address that comes late, or never, is given up with its dial; one that cannot be had is told and tried again", async () => {
  let give;
  const errors = [];
  const line = open({}, () => new Promise((resolve) => { give = resolve; }));
  line.on("wspulse.error", ({ kind }) => errors.push(kind));
  await settle();
  const late = give;
  await pass(10_000);
  late("ws://late/");
  await settle();
  assert.deepEqual([sockets.length, errors], [0, ["opening"]]);
  give("https://x/in/time#part");
  await settle();
  assert.equal(last().url, "wss://x/in/time");
  line.close();

  const failing = open({}, () => { throw new Error("no token"); });
  failing.on("wspulse.error", ({ kind, error }) => errors.push(`${kind} ${error.message}`));
  await pass(300);
  assert.deepEqual(errors.slice(1), ["url no token", "url no token", "url no token"]);
  failing.close();
});

test("a line leaves no timer and no listener behind, whenever it is closed", async () => {
  for (const moment of ["before the dial", "dialling", "opening", "connected", "owing", "waiting", "calling", "ended", "final"]) {
    sockets.length = 0;
    const line = open();
    if (moment === "calling") line.call("add", 1);
    if (moment !== "before the dial") await settle();
    if (moment === "opening") last().open();
    if (["connected", "owing", "waiting", "calling", "ended", "final"].includes(moment)) last().begins({ ack: [2, 1000] });
    if (moment === "owing") last().says({ event: "a" });
    if (moment === "waiting") last().ends();
    if (moment === "final") last().ends(1008, "too many messages");
    line.close();
    last()?.ends(1000);
    await settle();
    assert.equal(clock.timers.size, 0, moment);
    for (const [name, count] of listeners) assert.equal(count, 0, `${name}, ${moment}`);
    assert.deepEqual(await line.closed, moment === "final" ? { code: 1008, reason: "too many messages" } : { code: 1000, reason: "" }, moment);
  }
});

test("a line that is closed has ended when its socket has: all that was sent has gone by then", async () => {
  const line = open();
  await settle();
  last().begins();
  let end = null;
  line.closed.then((its) => { end = its; });
  line.close(4000, "enough");
  await settle();
  assert.deepEqual([line.state, end, last().closedWith], ["closed", null, [4000, "enough"]]);
  last().ends(4000);
  await settle();
  assert.deepEqual(end, { code: 4000, reason: "enough" });
});

test("a code that a page may not say is refused in every state, and ends nothing", async () => {
  const line = open();
  for (const code of [5, 1001, 2999, 5000, NaN]) assert.throws(() => line.close(code), RangeError, `${code}`);
  await settle();
  last().begins();
  assert.throws(() => line.close(1006), RangeError);
  assert.equal(line.state, "connected");
  last().ends();
  assert.throws(() => line.close(1006), RangeError);
  assert.equal(line.state, "reconnecting");
  line.close();
});

test("a call leaves nothing behind, however it ends, and one that was given up unasked is not asked any more", async () => {
  const line = open();
  await settle();
  const abort = new AbortController();
  const results = Promise.allSettled([
    line.call("a", 1, { timeout: 100 }), line.call("b", 2, { signal: abort.signal }), line.call("c", 3), line.call("d", 4, { signal: AbortSignal.abort() }),
  ]);
  await pass(100);
  abort.abort();
  last().begins();
  assert.deepEqual(last().sent.map(({ event }) => event), ["c"]);
  last().says({ ...last().sent[0], payload: "three" });
  const [a, b, c, d] = await results;
  assert.deepEqual([a.reason.kind, b.reason.name, c.value, d.reason.name], ["timeout", "AbortError", "three", "AbortError"]);
  line.close();
  assert.equal(clock.timers.size, 0);
});

test("a signal is listened to as long as its call lasts", async () => {
  const line = open();
  await settle();
  last().begins();
  const done = { add: 0, remove: 0 };
  const signal = { throwIfAborted() {}, addEventListener() { done.add += 1; }, removeEventListener() { done.remove += 1; } };
  const calls = [line.call("a", 1, { signal }), line.call("b", 2, { signal, timeout: 100 })];
  last().says({ ...last().sent[0], payload: "one" });
  await pass(100);
  assert.deepEqual((await Promise.allSettled(calls)).map(({ status }) => status), ["fulfilled", "rejected"]);
  assert.deepEqual(done, { add: 2, remove: 2 });
  line.close();
  assert.deepEqual(done, { add: 2, remove: 2 }, "nothing of them was left");
});

test("a question is answered once, a frame of somebody else's with an id not at all", async () => {
  const line = open();
  line.on("e", () => "yes");
  await settle();
  last().begins();
  for (const id of ["wspulse:1", "wspulse:1", "7", undefined]) last().says({ event: "e", id });
  await settle();
  assert.deepEqual(last().sent, [{ id: "wspulse:1", event: "e", payload: "yes" }]);
  line.close();
});

test("answers to a session that is gone are not given to the next one", async () => {
  const line = open();
  let answer;
  line.on("e", () => new Promise((resolve) => { answer = resolve; }));
  await settle();
  last().begins();
  last().says({ event: "e", id: "wspulse:1" });
  last().ends();
  answer("yes");
  await pass(0);
  last().begins({ token: "u" });
  assert.deepEqual(last().sent, []);
  line.close();
});

test("what a closing socket would throw away is not counted as written", async () => {
  const line = open();
  await settle();
  last().begins();
  line.send("a", 1);
  last().readyState = 2;
  line.send("a", 2);
  const lost = [];
  line.on("wspulse.lost", ({ unacknowledged }) => lost.push(...unacknowledged));
  last().ends();
  await pass(0);
  last().begins({ token: "u" });
  assert.deepEqual(lost, [{ event: "a", payload: 1 }]);
  assert.deepEqual(last().sent, [{ event: "a", payload: 2 }]);
  line.close();
});

test("handlers that close the line, or raise, in the middle of anything harm nothing", async () => {
  for (const event of ["wspulse.state", "wspulse.lost", "wspulse.error", "wspulse.refused", "a"]) {
    sockets.length = 0;
    const line = open();
    line.on(event, () => { throw new Error("broke"); });
    line.on(event, () => line.close());
    line.on("wspulse.error", () => { throw new Error("broke too"); });
    await settle();
    for (let number = 0; number < 3 && last().readyState < 2; number += 1) {
      if (event === "wspulse.refused") {
        last().ends();
      } else {
        last().begins({ token: `${number}` });
        last().says("no frame");
        last().says({ event: "a" });
        last().ends();
      }
      await pass(1_000);
    }
    await settle();
    assert.equal(line.state, "closed", event);
    assert.equal(clock.timers.size, 0, event);
  }
});
