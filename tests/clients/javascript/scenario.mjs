// Plays the client's half of one scenario with wspulse.js, under Node and in a browser: see ../README.md.
// Returns what is not as the scenario says, as texts.

const STATES = ["wspulse.state", "wspulse.lost", "wspulse.refused", "wspulse.error"];
const PATIENCE_MS = 5000;

const show = (value) => JSON.stringify(value, (_, each) => (each instanceof Error ? `${each}` : each));

// Objects may have more members than is expected, lists may not. An absent payload is null in the scenarios.
function fits(expected, came) {
  if (expected === null) return came === null || came === undefined;
  if (Array.isArray(expected)) {
    return Array.isArray(came) && came.length === expected.length && expected.every((value, place) => fits(value, came[place]));
  }
  if (typeof expected === "object") {
    return typeof came === "object" && came !== null && Object.keys(expected).every((name) => fits(expected[name], came[name]));
  }
  return expected === came;
}

function kindOf(error) {
  if (error?.name === "AbortError") return "aborted";
  return error?.kind ?? (error instanceof TypeError ? "unsendable" : `${error}`);
}

// Everything that the client asks its surroundings for, faster by `factor`, and with nothing random.
function pretend(factor) {
  const given = { setTimeout, setInterval };
  const real = { random: Math.random, now: performance.now.bind(performance) };
  for (const name of Object.keys(given)) real[name] = given[name].bind(globalThis);  // browsers take them only so
  for (const name of Object.keys(given)) globalThis[name] = (callback, delay) => real[name](callback, delay / factor);
  Object.defineProperty(performance, "now", { value: () => real.now() * factor, configurable: true });
  Math.random = () => 0;
  return {
    real,
    end() {
      Object.assign(globalThis, given);
      delete performance.now;
      Math.random = real.random;
    },
  };
}

function optionsOf({ protocols, exact, retry = {}, buffer, should_retry: wanted }, WebSocket) {
  const { base_s: base = 0.02, max_s: max = 0.04, limit } = retry;
  const options = { protocols, exact, buffer, WebSocket, retry: { base: base * 1000, max: max * 1000, limit } };
  if (wanted) options.shouldRetry = (code) => (wanted.includes(code) ? true : undefined);
  return options;
}

class Player {
  constructor(connect, server, options) {
    this.connect = connect;
    this.server = server;
    this.options = options;
    this.seen = [];
    this.awaited = 0;
    this.results = {};
    this.aborts = {};
    this.offs = {};
    this.problems = [];
  }

  see(event, payload) {
    this.seen.push([event, payload]);
  }

  call([event, payload], name, timeout_s) {
    const abort = this.aborts[name] = new AbortController();
    const timeout = timeout_s === undefined ? undefined : timeout_s * 1000;
    return this.line.call(event, payload, { timeout, signal: abort.signal }).then(
      (value) => { this.results[name] = { value }; },
      (error) => { this.results[name] = { error: kindOf(error), payload: error?.payload }; },
    );
  }

  on(event, step) {
    this.offs[event] = this.line.on(event, (payload) => {
      this.see(event, payload);
      if ("raises" in step) throw new Error(step.raises);
      const answer = step.answers?.$ === "unsendable" ? 1n : step.answers;
      return "calls" in step ? this.call(step.calls, step.as).then(() => answer) : answer;
    });
  }

  async until(condition, what) {
    const deadline = this.real.now() + PATIENCE_MS;
    while (!condition()) {
      if (this.real.now() > deadline) throw new Error(`waited in vain for ${what}`);
      await new Promise((resolve) => this.real.setTimeout(resolve, 2));
    }
  }

  async awaited_(what) {
    if (what === "ready" || what === "closed") {
      let isOver = false;
      this.line[what].then(() => { isOver = true; }, () => {});
      await this.until(() => isOver, what);
    } else if ("result" in what) {
      await this.until(() => what.result in this.results, `the result ${what.result}`);
    } else {
      const { event, payload = {} } = what;
      const isIt = ([name, came]) => name === event && ("payload" in what ? fits(payload, came) : true);
      await this.until(() => {
        const place = this.seen.findIndex((each, at) => at >= this.awaited && isIt(each));
        if (place >= 0) this.awaited = place + 1;
        return place >= 0;
      }, show(what));
    }
  }

  async step(step) {
    if ("connect" in step) {
      this.line = this.connect(`${this.server.replace("http", "ws")}/`, optionsOf(step.connect, this.options.WebSocket));
      for (const event of STATES) this.line.on(event, (payload) => this.see(event, payload));
    } else if ("on" in step) {
      this.on(step.on, step);
    } else if ("off" in step) {
      this.offs[step.off]();
    } else if ("send" in step) {
      const [event, payload] = step.send;
      try {
        this.line.send(event, payload?.$ === "unsendable" ? 1n : payload);
        if ("raises" in step) this.problems.push(`did not raise: ${show(step)}`);
      } catch (error) {
        if (kindOf(error) !== step.raises) this.problems.push(`raised ${error}: ${show(step)}`);
      }
    } else if ("call" in step) {
      this.call(step.call, step.as, step.timeout_s);
    } else if ("abort" in step) {
      this.aborts[step.abort].abort();
    } else if ("await" in step) {
      await this.awaited_(step.await);
    } else if ("open" in step) {
      await fetch(`${this.server}/open/${step.open}`);
    } else if ("wake" in step) {
      globalThis.dispatchEvent(new Event("online"));
    } else if ("close" in step) {
      this.line.close(...step.close);
    } else {
      throw new Error(`no such step: ${show(step)}`);
    }
  }
}

export async function play(scenario, server, connect, options = {}) {
  const time = pretend(scenario.clock ?? 1);
  const player = new Player(connect, server, options);
  player.real = time.real;
  try {
    for (const step of scenario.client) await player.step(step);
    // Whatever follows from the last step comes while the server plays its last ones.
    const report = await (await fetch(`${server}/report`)).json();
    player.problems.push(...report.failures);
    await player.until(() => player.seen.length >= scenario.sees.length, "all that it had to see").catch(() => {});
    if (!fits(scenario.sees, player.seen)) player.problems.push(`saw ${show(player.seen)}\ninstead of ${show(scenario.sees)}`);
    if (!fits(scenario.results ?? {}, player.results)) player.problems.push(`the calls gave ${show(player.results)}`);
    for (const [name, value] of Object.entries(scenario.ends ?? {})) {
      if (player.line[name] !== value) player.problems.push(`${name} is ${player.line[name]} in the end`);
    }
  } catch (error) {
    player.problems.push(`${error}; saw ${show(player.seen)}`);
    player.problems.push(...(await (await fetch(`${server}/report`)).json()).failures);
  } finally {
    player.line?.close();
    time.end();
  }
  return player.problems;
}
