// The lines of wspulse.js of scripts/exact-crowd; what tests/support/crowds/exact_lines.py does for wspulse.client.

import { createInterface } from "node:readline";

import { load } from "./load.mjs";

const { connect } = await load(new URL("../../../actors/apps/page/wspulse.js", import.meta.url));
const LIMIT_MS = 30_000;

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const settings = JSON.parse((await input.next()).value);
const now = () => Number(process.hrtime.bigint()) / 1e9;  // the machine's, as Python's time.monotonic()
const between = (from, to) => from + Math.random() * (to - from);
const oneOf = (list) => list[Math.floor(Math.random() * list.length)];

let finish;
const finishing = new Promise((resolve) => { finish = resolve; });
let isToFinish = false;

function sleep(ms) {
  let timer;
  const over = new Promise((resolve) => { timer = setTimeout(resolve, ms); });
  return Promise.race([over, finishing]).then(() => clearTimeout(timer));
}

const within = (promise, ms) => Promise.race([promise, new Promise((resolve) => setTimeout(resolve, ms, "late"))]);

class Talker {
  constructor(plan) {
    Object.assign(this, { plan, sent: [], faults: [], connected: 0, lasts: 0, sessions: [], isOver: false });
    this.places = new Map();
    this.hasAll = new Promise((resolve) => { this.gotAll = resolve; });
    this.beginSession();
  }

  beginSession() {
    this.sessions.push({ opened: 0, lost_living: 0, lost_away: 0, tellings: [], count: 0, heard: {}, unacknowledged: [] });
  }

  hear(stream, place, isLast) {
    const session = this.sessions.at(-1);
    const ranges = session.heard[stream] ??= [];
    const newest = ranges.at(-1);
    const tellings = session.tellings.length;
    session.count += 1;
    if (newest && newest[1] + 1 === place && newest[2] === tellings) newest[1] = place;
    else ranges.push([place, place, tellings]);
    if (isLast && ++this.lasts === this.plan.lasts) this.gotAll();
  }

  say(event, to, isLast = false) {
    const stream = event === "flood" ? event : `${event} ${to}`;
    const place = this.places.get(stream) ?? 0;
    this.places.set(stream, place + (event === "flood" ? to : 1));
    const number = this.sent.push([event, to, place]) - 1;
    this.line.send(event, [number, to, place, isLast]);
  }

  begin() {
    const { id, url } = this.plan;
    const line = this.line = connect(url, { retry: { base: settings.base_s * 1000, max: settings.max_s * 1000 } });
    line.on("said", ([sender, room, place, isLast]) => this.hear(`${room}<${sender}`, place, isLast));
    line.on("flooded", ([place, , isLast]) => this.hear(`flood<${id}`, place, isLast));
    line.on("whispered", ([sender, place, isLast]) => this.hear(`@${id}<${sender}`, place, isLast));
    line.on("answered", ([number, isLast]) => this.hear(`answer<${id}`, number, isLast));
    let isBack = false;
    line.on("wspulse.state", ({ state }) => {
      isBack = state === "connected";
      if (!isBack) return;
      this.connected += 1;
      this.sessions.at(-1).opened ||= now();
    });
    line.on("wspulse.lost", ({ recovered, lost, unacknowledged }) => {
      const session = this.sessions.at(-1);
      if (recovered) {
        session.tellings.push([session.count, lost]);
        session[isBack ? "lost_living" : "lost_away"] += lost;
        return;
      }
      session.unacknowledged = unacknowledged.map(({ payload }) => payload[0]);
      this.beginSession();
      this.sessions.at(-1).opened = now();
      if (lost) this.faults.push(`a session that begins has lost ${lost}`);
    });
    line.on("wspulse.error", ({ kind, error }) => { if (kind !== "opening") this.faults.push(`${kind}: ${error}`); });
    line.closed.then(({ code, reason }) => { if (!this.isOver) this.faults.push(`it has ended: ${code} ${reason}`); });
  }

  async talk() {
    while (!isToFinish && this.line.state !== "closed") {
      await sleep(between(0, 2000 * settings.period_s));
      if (isToFinish || this.line.state === "closed") break;
      const drawn = Math.random();
      if (drawn < settings.floods) this.say("flood", oneOf([20, 100, 200, 400]));
      else if (drawn < 0.2) this.say("whisper", oneOf(this.plan.whispers_to));
      else this.say("say", oneOf(this.plan.rooms));
    }
  }

  async end() {
    if (this.line.state === "closed") return;
    for (const room of this.plan.rooms) this.say("say", room, true);
    for (const other of this.plan.whispers_to) this.say("whisper", other, true);
    this.say("flood", 1, true);
    if (await within(this.hasAll, LIMIT_MS) === "late") this.faults.push(`${this.lasts} of ${this.plan.lasts} last frames have come`);
    this.isOver = true;
    this.line.close();
    await this.line.closed;
  }

  // The number of the newest frame that was not handed back, which the server takes with all before it; -1 where it takes nothing
  // more.
  newestKept() {
    if (this.line.state === "closed") return -1;
    const handedBack = new Set(this.sessions.flatMap(({ unacknowledged }) => unacknowledged));
    return [...this.sent.keys()].findLast((number) => !handedBack.has(number)) ?? -1;
  }

  book() {
    const { plan: { id, rooms }, sent, sessions, connected, faults } = this;
    return { id, rooms, sent, sessions, connected, faults };
  }
}

const talkers = settings.lines.map((plan) => new Talker(plan));
const ready = async () => {
  const all = Promise.all(talkers.map(({ line }) => line.ready)).catch(() => "late");
  return await within(all, 2 * LIMIT_MS) !== "late";
};

for (const talker of talkers) talker.begin();
console.log(await ready() ? "connected" : "not connected");
const talking = Promise.all(talkers.map((talker) => talker.talk()));
// All readers of this process pause.
const pausing = setInterval(() => { if (!isToFinish) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500); }, 10_000);

await input.next();
isToFinish = true;
finish();
clearInterval(pausing);
await talking;
console.log(await ready() ? "quiet" : "not quiet");
console.log(JSON.stringify(Object.fromEntries(talkers.map((talker) => [talker.plan.id, talker.newestKept()]))));
await input.next();
await Promise.all(talkers.map((talker) => talker.end()));
await new Promise((resolve) => process.stdout.write(`${JSON.stringify(talkers.map((talker) => talker.book()))}\n`, resolve));
process.exit();
