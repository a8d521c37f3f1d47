/** What the operator commands need of the IPC client, and of the terminal. */

/** A request or response body as JSON values, member names as on the wire. */
export type Body = Readonly<Record<string, unknown>>;

/** A connection to the daemon. */
export interface OperatorClient {
  /** Sends one request and resolves to the response as received, `err` included. */
  call(request: Body): Promise<Body>;
  close(): void;
}

/** What a command works with. */
export interface OperatorContext {
  /** The endpoint that `connect` connects to. */
  readonly socket: string;
  connect(): Promise<OperatorClient>;
  /** Writes to stdout; resolves when it is written or nobody reads. */
  out(text: string): Promise<void>;
  /** Writes to stderr, likewise. */
  err(text: string): Promise<void>;
  /** Unix time in seconds. */
  wallSeconds(): number;
  /** JSON that keeps all 64 bits of integers. */
  readonly json: { parse(text: string): unknown; stringify(value: unknown): string };
}
