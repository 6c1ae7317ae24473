// Who is in the room, as the server's presence frames tell it.

import { element, foreign, make } from "./document.js";
import { nameOf } from "./identity.js";

const CHANGES_TOLD = 6;          // of those that come at once
const LONGEST_HOST = 64;         // characters of its name

// A server of several hosts says which one a worker is on.
const place = (worker, host) => typeof host === "string" ? `worker ${worker} on ${host.slice(0, LONGEST_HOST)}` : `worker ${worker}`;

export const badge = (worker, host) => make("span", `badge w${worker % 4}`, place(worker, host));

export class People {
  constructor(me) {
    this.me = me;
    this.members = new Map();    // id → {worker, host, away}
    this.count = 0;
  }

  workerOf(id) {
    return this.members.get(id)?.worker;
  }

  // Takes a presence frame; returns the changes that are worth a line, each as its pieces. Anybody in the room can send a frame
  // that looks like one, so it is read with care.
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
        came: `joined on ${place(Number(change.worker), change.host)}`, went: "left", dropped: "lost the connection", resumed: "is back",
      }[change.what];
      if (change.id !== this.me && verb) told.push([foreign(nameOf(change.id)), ` ${verb}`]);
    }
    return told.length > CHANGES_TOLD ? [[`${told.length} people joined, left or reconnected`]] : told;
  }

  set(member, away) {
    if (typeof member?.id === "string") this.members.set(member.id, { worker: Number(member.worker), host: member.host, away });
  }

  // From outside nobody knows who is in the room.
  clear() {
    this.members.clear();
    this.count = null;
  }

  show() {
    const members = [...this.members].sort(([a], [b]) => nameOf(a).localeCompare(nameOf(b)) || (a < b ? -1 : 1));
    const lines = members.map(([id, { worker, host, away }]) => {
      const name = make("span", "name", foreign(nameOf(id)), (id === this.me ? " (you)" : "") + (away ? ", away" : ""));
      return make("li", away ? "away" : "", name, badge(worker, host));
    });
    const hidden = this.count - members.length;
    if (hidden > 0) lines.push(make("li", "away", make("span", "name", `and ${hidden} more`)));
    element("people").replaceChildren(...lines);
    element("count").textContent = this.count;
  }
}
