// A line to a wspulse server that comes back by itself, and loses and doubles nothing: doc/clients.md.

const PROTOCOL = "wspulse.1";
const OPENING_MS = 10_000;     // for the address, the upgrade and the first frame
const SPREAD_MS = 1_000;       // after a restart not all come at once
const STEADY_MS = 5_000;       // a line that stood so long was no failed try
const ACK_MS = 1_000;
const SPACING_MS = 50;
const LONGEST_MS = 3_600_000;  // timers of a month fire at once
const REFUSED = 3;             // failures before anything has worked
const SILENT_TICKS = 10;       // quarters of the heartbeat's period
const ANSWERED = 256;          // questions that are remembered
const FINAL = [1000, 1002, 1003, 1007, 1008, 1009];

export class LineError extends Error {
  constructor(kind, text, payload) {
    super(`wspulse: ${kind}: ${text}`);
    Object.assign(this, { name: "LineError", kind, payload });
  }
}

const isOurs = (event) => typeof event === "string" && event.startsWith("wspulse.");
const now = () => performance.now();  // nobody sets it
const page = globalThis.document;

function addressOf(url) {
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  return address.href;
}

// A promise that may fail unseen.
function promised() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {});
  return made;
}

export function connect(url, options) {
  const { protocols = [], retry, buffer = 4096, exact: wantsExact = true, shouldRetry, WebSocket = globalThis.WebSocket } = options ?? {};
  const { base = 500, max = 20_000, limit = Infinity } = retry ?? {};
  if (!WebSocket) throw new TypeError("wspulse: no WebSocket here; it is an option");
  if (typeof url !== "function") addressOf(url);

  let state = "connecting";
  let exact = wantsExact;
  let ready = promised();
  const closed = promised();
  let handlers = [];            // { event, handler }
  const calls = new Map();      // id → { event, entry, resolve, reject }
  const prefix = `${crypto.getRandomValues(new Uint32Array(3)).join("-")}.`;
  let number = 0;

  let socket = null;
  let timer = 0;                // of the next dial, then its opening
  let due = 0;                  // when it is
  let tries = 0;                // dials in a row that led to nothing steady
  let since = 0;                // when it was connected
  let wasConnected = false;
  let hasStray = false;         // a lost dial may yet replace a later one

  let session = {};             // the first frame's payload
  let log = [];                 // what is not acknowledged, then what waits for a line
  let written = 0;              // so many of these were given to a socket
  let confirmed = 0;            // so many before these the server has taken
  let received = 0;             // frames of the server's
  let told = 0;                 // so many of them are acknowledged
  let toldAt = -Infinity;
  let bytes = 0;                // that came since
  let ackTimer = 0;
  let watch = 0;
  let silent = 0;
  let answered = [];            // ids of questions

  // Dialling, and what ends it.

  async function dial() {
    const own = timer = setTimeout(() => fail(new LineError("opening", "no first frame in time")), OPENING_MS);
    due = 0;
    try {
      // Not in the caller's turn: handlers come first.
      const address = addressOf(await Promise.resolve().then(() => typeof url === "function" ? url() : url));
      if (own !== timer) return;  // given up meanwhile
      const offers = [protocols].flat();
      if (wantsExact && session.token) offers.unshift(`wspulse.resume.${session.token}.${received}`);
      if (wantsExact) offers.unshift(PROTOCOL);
      socket = new WebSocket(address, offers);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => { if (socket.protocol !== PROTOCOL) begin({}, false); };
      socket.onmessage = ({ data }) => receive(data);
      socket.onclose = ({ code, reason }) => lose(code, reason);
      socket.onerror = () => { if (state !== "connected") lose(1006, ""); };  // all that Node says of a refusal
    } catch (error) {
      if (own === timer) fail(error, "url");
    }
  }

  function fail(error, kind = error.kind) {
    tell("wspulse.error", { kind, error });
    lose(1006, "");
  }

  function lose(code, reason) {
    if (state === "closed") return;
    if (state === "connected") {
      ready = promised();
      if (now() - since >= STEADY_MS) tries = 0;
      if (now() - since >= OPENING_MS) hasStray = false;
    }
    abandon();
    state = wasConnected ? "reconnecting" : "connecting";
    if (isFinal(code, reason) || tries >= limit) return end(code, reason);
    if (!wasConnected && tries === REFUSED - 1) tell("wspulse.refused", { failures: REFUSED });
    if (state === "closed") return;
    const delay = delayFor(reason);
    tries += 1;
    wait(delay);
    become(state, { code, reason, delay });
  }

  function isFinal(code, reason) {
    let answer = FINAL.includes(code) || (code >= 4000 && code < 5000);
    if (code === 1000 && hasStray && /^(replaced|duplicate)/.test(reason)) answer = hasStray = false;
    try {
      answer = !(shouldRetry?.(code, reason) ?? !answer);
    } catch (error) {
      tell("wspulse.error", { kind: "handler", error });
    }
    return answer;
  }

  function delayFor(reason) {
    const asked = /\bretry=(\d+)/.exec(reason)?.[1];
    const least = Math.min(asked ?? 0, LONGEST_MS);
    if (tries === 0) return asked ? least : Math.random() * SPREAD_MS;
    const isSlow = page?.hidden || (!wasConnected && tries >= REFUSED - 1);
    const most = Math.min(isSlow ? max : base * 2 ** (tries - 1), max);
    return Math.max(least, most * (0.5 + Math.random() / 2));
  }

  function wait(delay) {
    clearTimeout(timer);
    due = now() + delay;
    timer = setTimeout(dial, delay);
  }

  // The page is seen again, or the network is back.
  function wake() {
    if (page?.hidden) return;
    if (due - now() > SPREAD_MS) {
      wait(Math.random() * SPREAD_MS);
    } else if (watch && now() - toldAt >= ACK_MS) {
      silent = Math.max(silent, SILENT_TICKS / 2);  // this is answered at once
      acknowledge();
    }
  }

  // Nothing more from this socket is looked at.
  function abandon() {
    clearTimeout(timer);
    clearTimeout(ackTimer);
    clearInterval(watch);
    timer = ackTimer = watch = due = 0;
    if (socket) {
      if (state !== "connected") hasStray = true;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {};
      socket.close();
    }
    socket = null;
  }

  function end(code, reason) {
    const last = state === "connected" && socket;
    const error = new LineError("closed", `${code} ${reason}`);
    abandon();
    listen("removeEventListener");
    for (const call of [...calls.values()]) call.reject(error);
    log = [];
    ready.reject(error);
    const done = () => closed.resolve({ code, reason });
    if (last && last.readyState < 3) last.onclose = done;  // all has gone by then
    else done();
    become("closed", { code, reason });
    handlers = [];
  }

  function listen(verb) {
    globalThis[verb]?.("online", wake);
    globalThis[verb]?.("pageshow", wake);
    page?.[verb]("visibilitychange", wake);
  }

  // A session begins or goes on.

  function begin(first, isExact) {
    const { recovered = false, lost = 0 } = first;
    let unacknowledged = [];
    clearTimeout(timer);
    exact = isExact;
    session = first;
    if (recovered) {
      if (!confirm(first.received)) return;
    } else {
      // What was written may have been handled: it is handed back. The rest goes out, but for answers.
      const isSaid = (entry) => !entry.isAnswer;
      unacknowledged = log.splice(0, written).filter(isSaid).map((entry) => JSON.parse(entry.text));
      log = log.filter(isSaid);
      written = confirmed = received = 0;
      for (const call of [...calls.values()]) {
        if (!log.includes(call.entry)) call.reject(new LineError("lost", call.event));
      }
    }
    told = received;
    bytes = silent = 0;
    since = now();
    if (exact) {
      watch = setInterval(() => { if (++silent > SILENT_TICKS) lose(1006, ""); }, first.ping * 250);
      count(lost, 0);
    }
    const isLost = lost > 0 || (wasConnected && !recovered);
    const own = socket;
    wasConnected = true;
    state = "connected";
    write(0);
    if (isLost) tell("wspulse.lost", { recovered, lost, unacknowledged });
    if (own !== socket) return;  // a handler has closed the line
    become(state);
    ready.resolve();
  }

  function receive(data) {
    let frame = null;
    try { frame = JSON.parse(data); } catch { /* told below */ }
    const { event = "", payload } = Object(frame);
    silent = 0;
    if (state !== "connected") {
      const isFirst = event === "wspulse.session" && payload?.ack?.length === 2 && payload.ping > 0;
      if (isFirst && (!payload.recovered || payload.token === session.token)) begin(payload, true);
      else fail(new LineError("opening", "the first frame is none"));
    } else if (isOurs(event)) {
      if (!exact) return;
      if (event === "wspulse.lost" && payload > 0) {
        count(payload, 0);
        tell(event, { recovered: true, lost: payload, unacknowledged: [] });
      } else if (event === "wspulse.ack" && payload !== confirmed) {
        confirm(payload);
      } else if (event === "wspulse.ack" && received > told && now() - toldAt >= ACK_MS) {
        acknowledge();  // without news it would be a question in turn
      }
    } else {
      // Taken, whatever becomes of it. Characters do for bytes.
      if (exact) count(1, data.length ?? data.byteLength);
      if (frame && typeof frame === "object" && !Array.isArray(frame)) take(frame, event, payload);
      else tell("wspulse.error", { kind: "frame", error: new LineError("frame", "what came is no frame"), data });
    }
  }

  function take(frame, event, payload) {
    if (!String(frame.id).startsWith(prefix)) return spread(handlers.some((on) => on.event === event) ? event : "*", frame);
    const call = calls.get(frame.id);
    if (event !== `${call?.event}.error`) call?.resolve(payload);
    else call.reject(new LineError("answer", event, payload));
  }

  const tell = (event, payload) => spread(event, { event, payload });

  function spread(name, frame) {
    for (const on of handlers) if (on.event === name) run(on.handler, frame);
  }

  async function run(handler, frame) {
    const { event = "", payload, id } = frame;
    try {
      const value = await handler(payload, frame);
      if (value !== undefined) answer(id, event, value);
    } catch (error) {
      if (event !== "wspulse.error") tell("wspulse.error", { kind: "handler", error, frame });
      try { answer(id, `${event}.error`, error?.payload ?? error?.message ?? `${error}`); } catch { /* no room for it */ }
    }
  }

  // Only the server's questions, each once: through a relay, answers would go round for ever.
  function answer(id, event, payload) {
    if (!String(id).startsWith("wspulse:") || answered.includes(id) || state === "closed") return;
    answered = [id, ...answered].slice(0, ANSWERED);
    say(event, payload, id, true);
  }

  function become(next, why) {
    state = next;
    tell("wspulse.state", { state, ...why });
  }

  // What goes out.

  function say(event, payload, id, isAnswer) {
    if (state === "closed") throw new LineError("closed", event);
    if (typeof event !== "string" || isOurs(event)) throw new LineError("reserved", event);
    if (typeof payload === "function" || typeof payload === "symbol") throw new TypeError("wspulse: JSON has no such payload");
    if (log.length >= buffer) throw new LineError("full", event);
    const entry = { text: JSON.stringify({ id, event, payload }), isAnswer };
    log.push(entry);
    if (state === "connected") write(written);
    return entry;
  }

  function write(place) {
    // A closing socket would lose them.
    while (place < log.length && socket.readyState === 1) socket.send(log[place++].text);
    written = Math.max(written, place);
    if (!exact) {
      log.splice(0, written);
      written = 0;
    }
  }

  // The server has taken so many of ours.
  function confirm(taken) {
    const news = taken - confirmed;
    if (!Number.isInteger(taken) || news < 0 || news > written) {
      socket.close(4002, "bad acknowledgement");  // pages may not say 1002
      return end(1002, "bad acknowledgement");
    }
    log.splice(0, news);
    written -= news;
    confirmed = taken;
    return true;
  }

  function count(frames, size) {
    received += frames;
    bytes += size;
    const isDue = received - told >= session.ack[0] || bytes >= session.ack[1];
    if (isDue && now() - toldAt >= SPACING_MS) acknowledge();
    else if (received > told) ackTimer ||= setTimeout(acknowledge, ACK_MS);
  }

  function acknowledge() {
    clearTimeout(ackTimer);
    ackTimer = bytes = 0;
    told = received;
    toldAt = now();
    if (socket.readyState === 1) socket.send(`{"event":"wspulse.ack","payload":${told}}`);
  }

  listen("addEventListener");
  dial();

  return {
    get state() { return state; },
    get exact() { return exact; },
    get id() { return session.id; },
    get ready() { return ready.promise; },
    get closed() { return closed.promise; },

    on(event, handler) {
      const added = { event, handler };
      handlers = [...handlers, added];
      return () => { handlers = handlers.filter((each) => each !== added); };
    },

    send(event, payload) {
      say(event, payload);
    },

    call(event, payload, { timeout = 10_000, signal } = {}) {
      const { promise, resolve, reject } = promised();
      const id = `${prefix}${++number}`;
      let entry;
      const over = (settle, value) => {
        clearTimeout(late);
        signal?.removeEventListener("abort", abort);
        calls.delete(id);
        const place = log.indexOf(entry);
        if (place >= written) log.splice(place, 1);  // not asked yet
        settle(value);
      };
      const abort = () => over(reject, signal.reason);
      const late = setTimeout(() => over(reject, new LineError("timeout", event)), Math.min(timeout, LONGEST_MS));
      try {
        signal?.throwIfAborted();
        signal?.addEventListener("abort", abort);
        entry = say(event, payload, id);
        calls.set(id, { event, entry, resolve: (value) => over(resolve, value), reject: (error) => over(reject, error) });
      } catch (error) {
        over(reject, error);
      }
      return promise;
    },

    close(code = 1000, reason = "") {
      if (state === "closed") return;
      socket?.close(code, reason);  // raises for what a page may not say
      end(code, reason);
    },
  };
}
