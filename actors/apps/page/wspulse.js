// A line that reconnects by itself, and loses and doubles nothing: doc/howto/browser.md.

const PROTOCOL = "wspulse.1";
const OPENING_MS = 10_000;     // with address and first frame
const SPREAD_MS = 1_000;       // after a restart not all come at once
const STEADY_MS = 5_000;       // longer is no failure
const ACK_MS = 1_000;
const LONGEST_MS = 3_600_000;  // longer timers fire at once
const REFUSED = 3;             // failures before anything has worked
const SILENT_TICKS = 10;       // quarters of the heartbeat's period
const ANSWERED = 256;
const FINAL = [1000, 1002, 1003, 1007, 1008, 1009];

export class LineError extends Error {
  constructor(kind, text, payload) {
    super(`wspulse: ${text}`);
    Object.assign(this, { name: "LineError", kind, payload });
  }
}

const isText = (value) => typeof value === "string";
const isOurs = (event) => isText(event) && event.startsWith("wspulse.");
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const now = () => performance.now();  // nobody sets it
const page = globalThis.document;

function addressOf(url) {
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  if (!/^wss?:$/.test(address.protocol)) throw new TypeError(`wspulse: not a WebSocket URL: ${url}`);
  return address.href;
}

function isFirst(event, payload) {
  const { token, ping, ack, received, lost = 0 } = Object(payload);
  return event === "wspulse.session" && isText(token) && /^[\w.~+-]+$/.test(token) && ping >= 0.01 && ping <= 86_400 &&
    [ack?.[0] - 1, ack?.[1] - 1, received, lost].every(isCount);
}

// May fail unseen.
function promised() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {});
  return made;
}

export function connect(url, options) {
  const { protocols = [], retry, buffer = 4096, exact: wantsExact = true, shouldRetry, WebSocket = globalThis.WebSocket } = options ?? {};
  const { base = 500, max = 20_000, limit = Infinity } = retry ?? {};
  if (!(base > 0 && max >= base)) throw new RangeError("wspulse: retry: base > 0, max >= base");
  if (!WebSocket) throw new TypeError("wspulse: no WebSocket: pass one as option");
  if (typeof url !== "function") addressOf(url);

  let state = "connecting";
  let exact = false;
  let ready = promised();
  const closed = promised();
  let handlers = [];            // { event, handler }
  const calls = new Map();
  const prefix = `${crypto.getRandomValues(new Uint32Array(3))}.`;
  let number = 0;

  let socket = null;
  let timer = 0;                // of the next dial, then its opening
  let due = 0;
  let tries = 0;                // dials in a row that led to nothing
  let since = 0;                // when it was connected
  let wasConnected = false;
  let hasStray = false;         // a lost dial may yet replace a later one

  let session = {};             // the first frame's payload
  let log = [];                 // what is not acknowledged, then what waits for a line
  let written = 0;              // so many of these were given to a socket
  let confirmed = 0;            // so many before these the server has taken
  let received = 0;
  let told = 0;                 // so many of these acknowledged
  let toldAt = -Infinity;
  let bytes = 0;                // that came since
  let ackTimer = 0;
  let watch = 0;
  let silent = 0;
  let answered = [];            // ids

  // Dialling, and what ends it.

  async function dial() {
    const own = timer = setTimeout(() => fail(new LineError("opening", "no first frame within 10 s")), OPENING_MS);
    due = 0;
    try {
      // Handlers come first.
      const address = addressOf(await Promise.resolve().then(() => typeof url === "function" ? url() : url));
      if (own !== timer) return;  // given up meanwhile
      const offers = [protocols].flat();
      if (session.token) offers.unshift(`wspulse.resume.${session.token}.${received}`);
      if (wantsExact) offers.unshift(PROTOCOL);
      socket = new WebSocket(address, offers);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => { if (socket.protocol !== PROTOCOL) begin({}, false); };
      socket.onmessage = ({ data }) => receive(data);
      socket.onclose = ({ code, reason }) => lose(code, reason);
      socket.onerror = () => { if (state !== "connected") lose(1006, ""); };
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
    const asked = /\bretry=(\d+)\b/.exec(reason)?.[1];
    const isSlow = page?.hidden || (!wasConnected && tries >= REFUSED - 1);
    const most = Math.min(isSlow ? max : base * 2 ** (tries - 1), max);
    const delay = tries ? Math.max(asked ?? 0, most * (0.5 + Math.random() / 2)) : asked ?? Math.random() * SPREAD_MS;
    return Math.min(delay, LONGEST_MS);
  }

  function wait(delay) {
    clearTimeout(timer);
    due = now() + delay;
    timer = setTimeout(dial, delay);
  }

  function wake() {
    if (page?.hidden) return;
    if (due - now() > SPREAD_MS) {
      wait(Math.random() * SPREAD_MS);
    } else if (watch && now() - toldAt >= ACK_MS) {
      silent = Math.max(silent, SILENT_TICKS / 2);  // this is answered at once
      acknowledge();
    }
  }

  // A page that is kept for "back" hears nothing.
  const leave = ({ persisted }) => persisted && socket?.close();

  // This socket no longer counts.
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
    const error = new LineError("closed", `line closed: ${code} ${reason}`);
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
    globalThis[verb]?.("pagehide", leave);
    page?.[verb]("visibilitychange", wake);
  }

  // A session begins or goes on.

  function begin(first, isExact) {
    const { recovered = false } = first;
    const lost = recovered && first.lost || 0;
    let unacknowledged = [];
    clearTimeout(timer);
    exact = isExact;
    session = first;
    if (recovered) {
      if (!confirm(first.received)) return;
    } else {
      // What was written may have been handled. The rest goes out, except answers.
      const isSaid = (entry) => !entry.isAnswer;
      unacknowledged = log.splice(0, written).filter(isSaid).map((entry) => JSON.parse(entry.text));
      log = log.filter(isSaid);
      written = confirmed = received = 0;
      for (const call of [...calls.values()]) {
        if (!log.includes(call.entry)) call.reject(new LineError("lost", `${call.event}: session lost`));
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
    wasConnected = true;
    state = "connected";
    write(0);
    if (isLost) tell("wspulse.lost", { recovered, lost, unacknowledged });
    become(state);
    ready.resolve();
  }

  function receive(data) {
    let frame = null;
    try { frame = JSON.parse(data); } catch { /* told below */ }
    const { event = "", payload, id = "" } = Object(frame);
    silent = 0;
    if (state !== "connected") {
      if (isFirst(event, payload) && (!payload.recovered || payload.token === session.token)) begin(payload, true);
      else fail(new LineError("opening", "unexpected first frame"));
    } else if (isOurs(event)) {
      if (!exact) return;
      if (event === "wspulse.lost" && payload !== 0) {
        if (!isCount(payload)) return refuse("bad count of lost frames");
        count(payload, 0);
        tell(event, { recovered: true, lost: payload, unacknowledged: [] });
      } else if (event === "wspulse.ack" && payload !== confirmed) {
        confirm(payload);
      } else if (event === "wspulse.ack" && received > told && now() - toldAt >= ACK_MS) {
        acknowledge();  // without news it would be a question
      }
    } else {
      // Characters do for bytes.
      if (exact) count(1, data.length ?? data.byteLength);
      if (Object(frame) === frame && !Array.isArray(frame) && isText(event) && isText(id)) take(frame, event, payload);
      else tell("wspulse.error", { kind: "frame", error: new LineError("frame", "not a frame"), data });
    }
  }

  function take(frame, event, payload) {
    if (!frame.id?.startsWith(prefix)) return spread(handlers.some((on) => on.event === event) ? event : "*", frame);
    const call = calls.get(frame.id);
    if (event !== `${call?.event}.error`) call?.resolve(payload);
    else call.reject(new LineError("answer", `answered with ${event}`, payload));
  }

  const tell = (event, payload) => spread(event, { event, payload });

  function spread(name, frame) {
    for (const on of handlers) if (on.event === name) run(on.handler, frame);
  }

  async function run(handler, frame) {
    const { event = "", payload, id } = frame;
    const { token } = session;
    // Others' questions are not for us: through a relay, answers would go round for ever.
    const answer = (name, value) => {
      if (!id?.startsWith("wspulse:") || answered.includes(id) || token !== session.token || state === "closed") return;
      say(name, value, id, true);
      answered = [id, ...answered].slice(0, ANSWERED);
    };
    try {
      const value = await handler(payload, frame);
      if (value !== undefined) answer(event, value);
    } catch (error) {
      if (event !== "wspulse.error") tell("wspulse.error", { kind: "handler", error, frame });
      try { answer(`${event}.error`, error?.payload ?? error?.message ?? `${error}`); } catch { /* no room for it */ }
    }
  }

  function become(next, why) {
    state = next;
    tell("wspulse.state", { state, ...why });
  }

  // What goes out.

  function say(event, payload, id, isAnswer) {
    if (state === "closed") throw new LineError("closed", `${event}: line closed`);
    if (!isText(event) || isOurs(event)) throw new LineError("reserved", `${event}: reserved`);
    if (typeof payload === "function" || typeof payload === "symbol") throw new TypeError(`wspulse: ${event}: payload is not JSON`);
    if (log.length >= buffer) throw new LineError("full", `${event}: buffer full`);
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

  function refuse(reason) {
    socket.close(4002, reason);  // pages may not say 1002
    lose(1002, reason);
  }

  function confirm(taken) {
    const news = taken - confirmed;
    if (![taken, news, written - news].every(isCount)) return refuse("bad acknowledgement");
    log.splice(0, news);
    written -= news;
    confirmed = taken;
    return true;
  }

  function count(frames, size) {
    received += frames;
    bytes += size;
    const isDue = received - told >= session.ack[0] || bytes >= session.ack[1];
    if (isDue && now() - toldAt >= 200) acknowledge();
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
      const late = setTimeout(() => over(reject, new LineError("timeout", `${event}: no answer in time`)), Math.min(timeout, LONGEST_MS));
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
      if (code !== 1000 && !(code >= 3000 && code < 5000)) throw new RangeError("wspulse: close code: 1000 or 3000 to 4999");
      socket?.close(code, reason);
      end(code, reason);
    },
  };
}
