// Lines that say numbered frames in one room of a relay, while somebody cuts them: node crowd.mjs <url> <lines> <frames>
// Prints what came doubled, out of order or not at all, and how often lines came back.

import { load } from "./load.mjs";

const { connect } = await load(new URL("../../../actors/apps/page/wspulse.js", import.meta.url));
const [, , url, lines, frames] = process.argv;
const count = Number(lines);
const most = Number(frames);
const told = { problems: [], returns: 0, lost: 0, heard: 0 };

async function run(number) {
  const line = connect(`${url}?room=crowd&id=js-${number}`, { retry: { base: 20, max: 200 } });
  const heard = new Array(count).fill(0);
  let over;
  const done = new Promise((resolve) => { over = resolve; });
  line.on("said", ([from, what]) => {
    if (what !== heard[from]) told.problems.push(`line ${number} heard ${what} of ${from} after ${heard[from] - 1}`);
    heard[from] = what + 1;
    told.heard += 1;
    if (heard.every((each) => each === most)) over();
  });
  line.on("wspulse.lost", (lost) => { told.lost += 1; told.problems.push(`line ${number}: ${JSON.stringify(lost).slice(0, 200)}`); });
  line.on("wspulse.state", ({ state }) => { if (state === "connected") told.returns += 1; });
  line.on("wspulse.error", ({ kind, error }) => { if (kind !== "opening") told.problems.push(`line ${number}: ${kind} ${error}`); });
  const everybody = new Promise((resolve) => { everybodyIs.push(resolve); });
  await line.ready;
  arrived += 1;
  if (arrived === count) for (const go of everybodyIs) go();
  await everybody;
  for (let what = 0; what < most; what += 1) {
    line.send("said", [number, what]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await done;
  line.close();
  await line.closed;
}

let arrived = 0;
const everybodyIs = [];
const finished = Promise.all(Array.from({ length: count }, (_, number) => run(number)));
const limit = setTimeout(() => {
  told.problems.push("not all of it has come in time");
  console.log(JSON.stringify(told));
  process.exit();
}, 100_000);
await finished;
clearTimeout(limit);
console.log(JSON.stringify(told));
