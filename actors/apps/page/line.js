const CUT_S = 5;                 // how long "Cut the line" stays away: time to say something in the other window
const FIRST_RETRY_S = 0.5;
const LONGEST_RETRY_S = 10;
const ENDINGS = {
  "duplicate connection id": "This chat was opened in another window.",
  "replaced": "This chat was opened in another window.",
  "kicked": "You were removed from the room.",
};

// One session with the server: it reconnects with the same id until it is told to end, and loses nothing that it was
// given to say. A message counts as said when the server has relayed it back; until then it is kept and sent again.
export class Line {
  constructor(url, id, show) {
    this.url = url;
    this.id = id;
    this.show = show;            // state(state, text), you(facts), frame(frame), ended(why), dropped(message)
    this.unsaid = new Map();     // message id → frame, in the order of speaking
    this.socket = null;
    this.closing = null;         // the socket that was cut, until the server knows
    this.ready = false;          // the server has said who we are: everything that waited there has come before
    this.attempts = 0;
    this.timer = 0;
    this.over = false;
  }

  open() {
    clearTimeout(this.timer);
    this.show.state("connecting", this.attempts ? "reconnecting …" : "connecting …");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.ready = false;
    socket.onmessage = (event) => { if (socket === this.socket) this.receive(event.data); };
    socket.onclose = (event) => { if (socket === this.socket) this.lost(event); };
  }

  receive(data) {
    if (typeof data !== "string") {
      this.end("This server speaks another codec than JSON; this page does not.");
      return;
    }
    let frame;
    try { frame = JSON.parse(data); } catch { return; }
    if (frame === null || typeof frame !== "object") return;
    if (frame.event === "presence.you" && frame.payload?.id === this.id) {
      this.ready = true;
      this.attempts = 0;
      this.show.you(frame.payload);
      // Behind the replay: what of ours had arrived has come back by now, so only the rest goes again.
      for (const unsaid of this.unsaid.values()) this.socket.send(JSON.stringify(unsaid));
      return;
    }
    this.show.frame(frame);
  }

  say(frame) {
    this.unsaid.set(frame.id, frame);
    if (this.ready) this.socket.send(JSON.stringify(frame));
  }

  lost(event) {
    this.socket = null;
    this.ready = false;
    if (this.over) return;
    if (event.code === 1000 || event.code >= 3000) {   // the server means it for good; anything else is worth a new try
      const why = event.code === 1000 ? "" : `: ${event.reason} (${event.code})`;
      this.end(ENDINGS[event.reason] ?? `The server closed the connection${why}.`);
      return;
    }
    if (event.code === 1009 && this.unsaid.size) {
      // Sending it again would end the next socket too.
      const [first] = this.unsaid.values();
      this.unsaid.delete(first.id);
      this.show.dropped(first);
    }
    // Twice as long each time, and not all clients of a restarted server at once.
    const most = Math.min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** this.attempts);
    this.attempts += 1;
    this.retryIn(most * (0.5 + Math.random() / 2), event.code === 1001 ? "the server is restarting" : "connection lost");
  }

  retryIn(delay_s, why) {
    const due = Date.now() + delay_s * 1000;
    const tick = () => {
      const left_s = (due - Date.now()) / 1000;
      if (left_s <= 0) {
        this.open();
        return;
      }
      this.show.state("waiting", `${why}; back in ${Math.ceil(left_s)} s`);
      this.timer = setTimeout(tick, Math.min(left_s, 1) * 1000);
    };
    clearTimeout(this.timer);
    tick();
  }

  retryNow() {
    // Not before the server knows of the cut: it would take the new socket for a second one of this id.
    if (!this.over && this.socket === null && this.closing === null) this.open();
  }

  cut() {
    const socket = this.socket;
    this.socket = null;
    this.ready = false;
    this.closing = socket;
    socket.onclose = () => { this.closing = null; };
    socket.close();
    this.retryIn(CUT_S, "cut");
  }

  close() {
    this.over = true;
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close(1000);
  }

  end(why) {
    this.close();
    this.show.ended(why);
  }
}
