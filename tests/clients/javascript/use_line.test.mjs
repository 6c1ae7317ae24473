// examples/browser/react/use-line.js with a stand-in for React, which keeps its rules: states, references, effects and their ends.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const source = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf-8");
const module = (text) => `data:text/javascript,${encodeURIComponent(text)}`;

globalThis.react = { cells: [], place: 0, effects: [], opened: [] };

const react = module(`
  const react = globalThis.react;
  export function useRef(initial) { return react.cells[react.place++] ??= { current: initial }; }
  export function useState(initial) {
    const cell = react.cells[react.place++] ??= { value: initial };
    return [cell.value, (value) => { cell.value = value; }];
  }
  export function useEffect(effect, inputs) {
    const cell = react.cells[react.place++] ??= {};
    if (cell.inputs !== undefined && inputs !== undefined && inputs.every((each, at) => each === cell.inputs[at])) return;
    react.effects.push(() => { cell.end?.(); cell.end = effect(); });
    cell.inputs = inputs;
  }
`);

const lines = module(`
  export function connect(url, options) {
    const line = { url, options, state: "connecting", handlers: new Map(), close() { this.state = "closed"; } };
    line.on = (event, handler) => line.handlers.set(event, handler);
    globalThis.react.opened.push(line);
    return line;
  }
`);

const { useLine } = await import(module(
  source("examples/browser/react/use-line.js").replace('"react"', JSON.stringify(react)).replace('"./wspulse.js"', JSON.stringify(lines)),
));

function render(...given) {
  globalThis.react.place = 0;
  const value = useLine(...given);
  for (const effect of globalThis.react.effects.splice(0)) effect();
  return value;
}

function leave() {
  for (const cell of globalThis.react.cells.splice(0)) cell.end?.();
}

test("a component has one line from its first rendering to its end, and another one for another address", () => {
  const { opened } = globalThis.react;
  assert.deepEqual(render("ws://x/a"), { line: null, state: "connecting" });
  assert.equal(render("ws://x/a").line, opened[0]);
  opened[0].handlers.get("wspulse.state")({ state: "connected" });
  assert.equal(render("ws://x/a").state, "connected");
  assert.equal(opened.length, 1);
  render("ws://x/b");
  assert.deepEqual(opened.map(({ url, state }) => [url, state]), [["ws://x/a", "closed"], ["ws://x/b", "connecting"]]);
  assert.equal(render("ws://x/b").line, opened[1]);
  leave();
  assert.equal(opened[1].state, "closed");
});

test("handlers are those of the last rendering", () => {
  const heard = [];
  render("ws://x/", { said: (payload) => heard.push(["first", payload]) });
  const line = globalThis.react.opened.at(-1);
  line.handlers.get("said")(1);
  render("ws://x/", { said: (payload) => heard.push(["second", payload]) });
  line.handlers.get("said")(2);
  assert.deepEqual(heard, [["first", 1], ["second", 2]]);
  leave();
});
