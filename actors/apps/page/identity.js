// Who this window is: the id of its connection, which a reload keeps, and which no other window may have.

import { workerOf } from "./placement.js";

const CLAIM_MS = 500;            // a page that is reloaded lets go of its id at once

export const query = new URLSearchParams(location.search);

export const randomText = () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => (byte % 36).toString(36)).join("");

// A second window chooses an id that lives on another worker than the first one's.
export function newId(name) {
  const beside = Number(query.get("beside") ?? -1);
  const workers = Number(query.get("of") ?? 1);
  let id;
  for (let attempt = 0; attempt < 50; attempt += 1) {
    id = `${name}~${randomText()}`;
    if (workerOf(id, workers) !== beside) break;
  }
  return id;
}

export const nameOf = (id) => (typeof id === "string" && id.replace(/~[0-9a-z]{6}$/, "")) || "unknown sender";

// What a reloaded page goes on with. A browser that keeps nothing for pages refuses the access.
export const memory = {
  get() { try { return JSON.parse(sessionStorage.getItem("wspulse")); } catch { return null; } },
  set(value) { try { sessionStorage.setItem("wspulse", JSON.stringify(value)); } catch { /* then it begins anew */ } },
};

let letGo = () => {};

// Takes an id for this window, in place of the one that it had, until the page goes. Resolves to false where another window has
// it: a duplicated tab, and one that window.open made, begin with a copy of the session storage. Where a page gets no locks (it
// came over plain HTTP from another machine) it resolves to true.
export function claim(id) {
  letGo();
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const isHeld = new Promise((release) => { letGo = release; });
    const patience = new AbortController();
    setTimeout(() => patience.abort(), CLAIM_MS);
    navigator.locks.request(`wspulse ${id}`, { signal: patience.signal }, () => {
      resolve(true);
      return isHeld;
    }).catch(() => resolve(false));
  });
}

export const release = () => letGo();
