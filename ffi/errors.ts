/** Errors of the FFI layer. `CodecError` lives in `bytes.ts`, which every folder may import. */

/** Base of the errors that system calls and libraries give. */
export class FfiError extends Error {
  /** @param op What was being done, and to what. */
  constructor(readonly op: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
  }
}

/** A shared library, or a symbol in it, is not there, or cannot be loaded. */
export class LibraryError extends FfiError {
  /** Whether it is known that there is no such file. */
  readonly isAbsent: boolean;

  constructor(readonly library: string, options: { cause?: unknown; isAbsent?: boolean } = {}) {
    const why = options.cause instanceof Error ? `: ${options.cause.message}` : "";
    super("open library", `cannot open ${library}${why}`, options);
    this.isAbsent = options.isAbsent ?? false;
  }
}

/** A system call failed. */
export class ErrnoError extends FfiError {
  /**
   * @param syscall Name of the call.
   * @param errno Error number; 0 when the call ran on another thread, whose errno cannot be seen.
   * @param errnoName Symbol and text, as `errno.ts` gives them.
   */
  constructor(op: string, readonly syscall: string, readonly errno: number, readonly errnoName: string) {
    super(op, `${op}: ${syscall}: ${errnoName}`);
  }
}

/** What the kernel adds to an error (`NETLINK_EXT_ACK`). */
export interface ExtendedAck {
  /** Text for people. */
  readonly message?: string;
  /** Offset of the refused attribute from the start of the message's header. */
  readonly offset?: number;
  /** Type of an attribute that is missing. */
  readonly missingType?: number;
}

/** The kernel refused a netlink request. */
export class NetlinkError extends FfiError {
  /** @param request What the request was to do, and to what. */
  constructor(
    readonly request: string,
    readonly errno: number,
    readonly errnoName: string,
    readonly extendedAck: ExtendedAck = {},
  ) {
    super(request, `${request}: ${errnoName}${describeExtendedAck(extendedAck)}`);
  }
}

function describeExtendedAck(ack: ExtendedAck): string {
  const parts = [
    ack.message,
    ack.offset === undefined ? undefined : `attribute at byte ${ack.offset}`,
    ack.missingType === undefined ? undefined : `attribute ${ack.missingType} is missing`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? "" : `: ${parts.join(", ")}`;
}

/** The kernel answered something that the protocol does not allow, or lost what it had to say. */
export class NetlinkProtocolError extends FfiError {}

/** What a function of the Host Compute Network service answered. */
export class HcnError extends FfiError {
  /** Text of the error record's `Error`; empty when there was none. */
  readonly detail: string;
  /** How often the function was called, 1 or more. */
  readonly attempts: number;

  /**
   * @param op What was being done, and to what.
   * @param fn Name of the function.
   * @param hresult Unsigned.
   * @param answer `text`: the code and its name; `record`: the error record as it came, JSON or empty; `attempts`:
   *   how often it was called, since all but the last time broke off and may have had an effect.
   */
  constructor(
    op: string,
    readonly fn: string,
    readonly hresult: number,
    answer: { readonly text: string; readonly record: string; readonly attempts: number },
  ) {
    const detail = recordDetail(answer.record);
    super(op, `${op}: ${fn}: ${answer.text}${detail === "" ? "" : `: ${detail}`}`);
    this.detail = detail;
    this.attempts = answer.attempts;
  }
}

/** `{"Success":false,"Error":"text","ErrorCode":n}`; what is not that is shown as it is. */
function recordDetail(record: string): string {
  try {
    const parsed: unknown = JSON.parse(record);
    const text = (parsed as { Error?: unknown } | null)?.Error;
    return typeof text === "string" ? text : record;
  } catch {
    return record;
  }
}
