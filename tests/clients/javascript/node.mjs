// One scenario under Node: node node.mjs <wspulse.js> <http://127.0.0.1:port>; the scenario is read from standard input.
// Prints what is not as the scenario says, as a JSON list. When it ends by itself, no timer and no socket was left.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { load } from "./load.mjs";
import { play } from "./scenario.mjs";

// What a browser's page has: for the scenarios in which it comes back.
const page = new EventTarget();
const heard = new Map();
globalThis.addEventListener = (name, listener) => {
  heard.set(name, (heard.get(name) ?? 0) + 1);
  page.addEventListener(name, listener);
};
globalThis.removeEventListener = (name, listener) => {
  heard.set(name, heard.get(name) - 1);
  page.removeEventListener(name, listener);
};
globalThis.dispatchEvent = (event) => page.dispatchEvent(event);

const problems = [];
process.on("unhandledRejection", (error) => problems.push(`unhandled: ${error}`));
process.on("uncaughtException", (error) => problems.push(`uncaught: ${error}`));

const [, , client, server] = process.argv;
const scenario = JSON.parse(readFileSync(0, "utf-8"));
const { connect } = await load(pathToFileURL(client));
problems.push(...await play(scenario, server, connect));
for (const [name, count] of heard) if (count) problems.push(`${count} listeners of ${name} are left`);
process.on("exit", () => console.log(JSON.stringify(problems)));
setTimeout(() => {
  problems.push(`left over: ${process.getActiveResourcesInfo()}`);
  process.exit();
}, 3000).unref();
