// The types of wspulse.js. What it promises is in doc/howto/browser.md.

/** A message as it goes over the wire. */
export interface Frame {
  event?: string;
  payload?: unknown;
  id?: string;
  /** Which of its rooms a client that is in several of them is told this for. */
  room?: string;
}

/**
 * Called in the order in which frames come, each without waiting for the one before. What it returns, or its promise gives,
 * answers a question of the server (`Connection.call`), undefined excepted; what it throws is answered with its `payload`, or
 * its message, and told to handlers of "wspulse.error".
 */
export type Handler = (payload: any, frame: Frame) => unknown;

/** How a line ended: the code and the reason of a close frame; 1006 where none came. */
export interface End {
  code: number;
  reason: string;
}

export type State = "connecting" | "connected" | "reconnecting" | "closed";

/** Given when the state changes, and once more for each further try that failed. */
export interface StateChange extends Partial<End> {
  state: State;
  /** Milliseconds until the next try. */
  delay?: number;
}

/** Frames may be missing: fetch anew what they would have told. */
export interface Lost {
  /** False: this is another session; it is in no room but the first one, and what was asked is not answered. */
  recovered: boolean;
  /** How many frames of the server's were pushed out of its bounds, where the session goes on. */
  lost: number;
  /** What was sent in the session that is gone: it may have been handled, and is not sent again by itself. */
  unacknowledged: Frame[];
}

/** It has never worked, three times: the server refuses, or is not there. A page is not told which. Tries go on, slowly. */
export interface Refused {
  failures: number;
}

export interface Problem {
  /** What came is no frame; a handler threw; a server did not begin as it should; the address could not be had. */
  kind: "frame" | "handler" | "opening" | "url";
  error: any;
  /** Where a handler threw: what it was given. */
  frame?: Frame;
  /** Where what came is no frame. */
  data?: string | ArrayBuffer;
}

/** What `send` throws and `call` is rejected with. */
export class LineError extends Error {
  /**
   * closed: the line has ended. full: `buffer` frames are not acknowledged. reserved: the event begins with "wspulse.".
   * Of `call`: answer: the other side answered with an error, its `payload`. timeout. lost: the session that was asked is
   * gone; whether it did what it was asked is unknown.
   */
  readonly kind: "closed" | "full" | "reserved" | "answer" | "timeout" | "lost" | "opening" | "frame";
  readonly payload: any;
}

export interface Options {
  /** Subprotocols of the application's, which are offered behind the line's own. */
  protocols?: string | string[];
  /** Whether exact sessions are asked for (true). False for servers that are no wspulse, or whose codec is "raw". */
  exact?: boolean;
  retry?: {
    /** Milliseconds of the second delay (500); each further one is twice as long. */
    base?: number;
    /** Milliseconds of the longest (20000). */
    max?: number;
    /** After how many failed tries in a row the line ends (never). */
    limit?: number;
  };
  /** How many frames may be unsent or unacknowledged (4096). */
  buffer?: number;
  /** Whether to come back after this end. undefined: as the line would by itself. */
  shouldRetry?: (code: number, reason: string) => boolean | undefined;
  /** The class of sockets, where there is none in `globalThis`: Node 20 has none. */
  WebSocket?: new (url: string, protocols: string[]) => any;
}

export interface Line {
  readonly state: State;
  /** Whether the session is exact: nothing is lost or doubled unnoticed. */
  readonly exact: boolean;
  /** The connection's id, once the server has said it. */
  readonly id: string | undefined;
  /** Resolves while the line is connected, and is rejected when it has ended. Another promise after each loss. */
  readonly ready: Promise<void>;
  /** Resolves when the line has ended for good, and what was sent before is gone. */
  readonly closed: Promise<End>;

  /** Returns what takes the handler away. "*" takes the frames that have no handler of their own. */
  on(event: "wspulse.state", handler: (change: StateChange) => void): () => void;
  on(event: "wspulse.lost", handler: (lost: Lost) => void): () => void;
  on(event: "wspulse.refused", handler: (refused: Refused) => void): () => void;
  on(event: "wspulse.error", handler: (problem: Problem) => void): () => void;
  on(event: string, handler: Handler): () => void;

  /** Sends, at once or when the line is back, in order. Throws LineError (closed, full, reserved), and TypeError for what JSON cannot say. */
  send(event: string, payload?: unknown): void;

  /**
   * Sends, and waits for the answer: `timeout` milliseconds (10000, at most an hour). Rejected with LineError, with TypeError
   * as `send`, or with the signal's reason. A call that was given up before it was sent is not sent any more.
   */
  call(event: string, payload?: unknown, options?: { timeout?: number; signal?: AbortSignal }): Promise<any>;

  /** Ends the line and its session. `code` is 1000 or from 3000 to 4999, `reason` has at most 123 bytes; throws for others. */
  close(code?: number, reason?: string): void;
}

/**
 * A line to `url`, which may be a path of this page's server, or a function that gives a fresh address for each try. Returns at
 * once; handlers that are added in the same turn miss nothing. Throws TypeError for an address that is none.
 */
export function connect(url: string | URL | (() => string | URL | Promise<string | URL>), options?: Options): Line;
