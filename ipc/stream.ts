/** A byte stream of the kind the IPC layer runs over: what `Deno.UnixConn` is, and `NamedPipe`. */

/** One connection. Reads and writes may be in progress at once; `close` makes both fail. */
export interface IpcStream {
  /** Reads what there is, at most `into.length` bytes; `null` at the end of the stream. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of the bytes; resolves to how many. */
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** Where connections come from. */
export interface IpcListener {
  /** What operators know it by: a socket path or a pipe name. */
  readonly name: string;
  /** The next connection. Rejects on an error, which need not be the last word. */
  accept(): Promise<IpcStream>;
  /** Stops accepting; may be called twice. */
  close(): void;
}
