// The types of wspulse.js. Its guarantees are described in doc/howto/browser.md.

/** A message as it is sent over the wire. */
export interface Frame {
  event?: string;
  payload?: unknown;
  id?: string;
  /** The room that this frame is about, for a client that is in several. */
  room?: string;
}

/**
 * Called once per frame, in order, without waiting for earlier calls to finish. If the server asked a question
 * (`Connection.call`), the value that it returns or resolves to is the answer, unless it is undefined. If it throws, the answer is
 * an error with the `payload` or the message of what was thrown, and handlers of "wspulse.error" are called.
 */
export type Handler = (payload: any, frame: Frame) => unknown;

/** How a line ended: the code and reason of the close frame, or 1006 if there was none. */
export interface End {
  code: number;
  reason: string;
}

export type State = "connecting" | "connected" | "reconnecting" | "closed";

/** Emitted when the state changes, and again after each further failed attempt. */
export interface StateChange extends Partial<End> {
  state: State;
  /** Milliseconds until the next attempt. */
  delay?: number;
}

/** Frames may be missing: fetch again whatever they would have told you. */
export interface Lost {
  /** False if this is a new session: it is in its first room only, and pending calls get no answer. */
  recovered: boolean;
  /** If the session was kept: how many frames the server dropped because its buffer was full. */
  lost: number;
  /** Frames sent in the old session that may or may not have been handled. They are not sent again automatically. */
  unacknowledged: Frame[];
}

/** The first three attempts failed: the server refuses or cannot be reached; a page cannot tell which. Slow attempts continue. */
export interface Refused {
  failures: number;
}

export interface Problem {
  /** What came is not a frame; a handler threw; the server did not start the session properly; the URL function failed. */
  kind: "frame" | "handler" | "opening" | "url";
  error: any;
  /** For "handler": the frame that it was given. */
  frame?: Frame;
  /** For "frame": what came instead. */
  data?: string | ArrayBuffer;
}

/** Thrown by `send`; `call` is rejected with it. */
export class LineError extends Error {
  /**
   * closed: the line has ended. full: `buffer` frames are unsent or unacknowledged. reserved: the event begins with "wspulse.".
   * Only from `call`: answer: the server answered with an error, see `payload`. timeout: no answer in time. lost: the session
   * ended before the answer came; whether the call was carried out is unknown.
   */
  readonly kind: "closed" | "full" | "reserved" | "answer" | "timeout" | "lost" | "opening" | "frame";
  readonly payload: any;
}

export interface Options {
  /** Subprotocols of your application, offered after the line's own. */
  protocols?: string | string[];
  /** Whether to ask for an exact session (true). Use false for servers other than wspulse, or with the "raw" codec. */
  exact?: boolean;
  retry?: {
    /** The second delay in milliseconds (500); it doubles with each further attempt. */
    base?: number;
    /** The longest delay in milliseconds (20000). */
    max?: number;
    /** The line ends after this many failed attempts in a row (Infinity). */
    limit?: number;
  };
  /** How many frames may be unsent or unacknowledged at a time (4096). */
  buffer?: number;
  /** Whether to reconnect after this end. Return undefined for the default. */
  shouldRetry?: (code: number, reason: string) => boolean | undefined;
  /** The WebSocket class to use where `globalThis` has none, as in Node 20. */
  WebSocket?: new (url: string, protocols: string[]) => any;
}

export interface Line {
  readonly state: State;
  /** Whether the session is exact: no frame is lost or duplicated without notice. */
  readonly exact: boolean;
  /** The connection's id, once the server has sent it. */
  readonly id: string | undefined;
  /** Resolves once the line is connected; rejected when it has ended. A new promise after each lost connection. */
  readonly ready: Promise<void>;
  /** Resolves when the line has ended for good, after everything sent before has left. */
  readonly closed: Promise<End>;

  /** Returns a function that removes the handler. "*" receives frames whose event has no handler of its own. */
  on(event: "wspulse.state", handler: (change: StateChange) => void): () => void;
  on(event: "wspulse.lost", handler: (lost: Lost) => void): () => void;
  on(event: "wspulse.refused", handler: (refused: Refused) => void): () => void;
  on(event: "wspulse.error", handler: (problem: Problem) => void): () => void;
  on(event: string, handler: Handler): () => void;

  /** Sends in order, now or after reconnecting. Throws LineError (closed, full, reserved), or TypeError if JSON cannot express it. */
  send(event: string, payload?: unknown): void;

  /**
   * Sends, and waits up to `timeout` milliseconds (10000; at most an hour) for the answer. Rejected with LineError, with TypeError
   * as `send` is, or with the signal's reason. A call that is abandoned before it was sent is never sent.
   */
  call(event: string, payload?: unknown, options?: { timeout?: number; signal?: AbortSignal }): Promise<any>;

  /** Ends the line and its session. Throws unless `code` is 1000 or 3000 to 4999 and `reason` has at most 123 bytes. */
  close(code?: number, reason?: string): void;
}

/**
 * Opens a line to `url`: a URL, a path on this page's server, or a function that returns one for each attempt. Returns
 * immediately; handlers added in the same turn miss nothing. Throws TypeError if `url` is not a WebSocket URL.
 */
export function connect(url: string | URL | (() => string | URL | Promise<string | URL>), options?: Options): Line;
