// The server as the page sees it: what may be asked, with the token that was entered, and the stream of looks at it.

const KEPT_AS = "wspulse-admin-token";

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEPT_AS) ?? "",
  set: (text) => sessionStorage.setItem(KEPT_AS, text),
  forget: () => sessionStorage.removeItem(KEPT_AS),
};

function headers(given) {
  const shown = given ?? token.get();
  return shown ? { Authorization: `Bearer ${shown}` } : {};
}

async function refusal(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Not an answer of this server, but perhaps of a proxy before it.
  }
  return new Refused(response.status, error.code ?? "", String(error.message ?? `HTTP status ${response.status}`));
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", ...options });
  } catch {
    throw new Refused(0, "away", "No response.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

// What this page may do: {reads, changes, has_token}. `given` is tried instead of the token that is kept.
export async function access(given) {
  return (await ask("/api/access", { headers: headers(given) })).json();
}

export async function connections(text, room) {
  const query = new URLSearchParams({ text });
  if (room !== null) query.set("room", room);
  return (await ask(`/api/connections?${query}`, { headers: headers() })).json();
}

// Has something changed; returns what came of it.
export async function order(name, body) {
  const answer = await ask(`/api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers() },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return (await answer.json()).result;
}

// Looks at the server, once a second, until the stream ends or the signal comes.
export async function* looks(signal) {
  const response = await ask("/api/look", { headers: headers(), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const line = text.slice(0, end).split("\n").find((each) => each.startsWith("data: "));
        text = text.slice(end + 2);
        if (line) yield JSON.parse(line.slice(6));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
