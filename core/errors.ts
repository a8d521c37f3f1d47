/**
 * Errors of the domain: one base class, a closed set of codes that is also what travels over IPC.
 *
 * A message names the object and the value and, where there is one, the remedy. It never holds a key or a
 * stack. Causes stay attached for the log and are never sent.
 */

/** What kind of failure an {@linkcode OverlayError} is. */
export type ErrorCode =
  | "already_exists"
  | "deadline_exceeded"
  | "exhausted"
  | "internal"
  | "invalid_argument"
  | "not_found"
  | "permission_denied"
  | "precondition_failed"
  | "teardown_failed"
  | "unavailable"
  | "unsupported";

/** Base of every error the core throws on purpose. */
export class OverlayError extends Error {
  /** Machine-readable kind. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.name = new.target.name;
  }
}

/** Something that was named does not exist. */
export class NotFoundError extends OverlayError {
  constructor(
    readonly kind: string,
    readonly id: string,
    options: { message?: string; cause?: unknown } = {},
  ) {
    super("not_found", options.message ?? `${kind} ${JSON.stringify(id)} not found`, options);
  }
}

/** Something stands where a new object was to be made, and it is not ours to replace. */
export class AlreadyExistsError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("already_exists", message, options);
  }
}

/** No address, port or subnet is left. The message contains `exhausted`. */
export class PoolExhaustedError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("exhausted", message, options);
  }
}

/** A field of a request or a configuration file has a value that is not allowed. */
export class InvalidConfigError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("invalid_argument", message, options);
  }
}

/** The request is fine but the state is not: something else has to happen first. */
export class PreconditionError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("precondition_failed", message, options);
  }
}

/** The kernel refused for want of a privilege. The message names the capability. */
export class PermissionError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("permission_denied", message, options);
  }
}

/** This host or this build cannot do it. */
export class UnsupportedError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("unsupported", message, options);
  }
}

/** A service that the work depends on does not answer; it is tried again later. */
export class UnavailableError extends OverlayError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("unavailable", message, options);
  }
}

/** The request ran into its deadline; its work is finished or undone in the background. */
export class DeadlineError extends OverlayError {
  constructor(message: string) {
    super("deadline_exceeded", message);
  }
}

/** An attach whose time was over before it was done. @param why Which step that was, if one is to blame. */
export function attachIsLate(containerId: string, why?: string): DeadlineError {
  return new DeadlineError(
    `container ${containerId} was not attached in time${
      why === undefined ? "" : ` (${why})`
    }, since the host's ` +
      "network service is slow: attach it again",
  );
}

/** Several steps of a teardown failed; all of them were tried. */
export class TeardownError extends OverlayError {
  constructor(what: string, readonly errors: readonly unknown[]) {
    super("teardown_failed", `${what}: ${errors.map(describeError).join("; ")}`, { cause: errors[0] });
  }
}

/**
 * Something failed, and so did undoing what it had done: some of it may still be there. Code and message are those
 * of what failed first.
 */
export class IncompleteUndoError extends OverlayError {
  constructor(cause: unknown, readonly errors: readonly unknown[]) {
    super(cause instanceof OverlayError ? cause.code : "internal", describeError(cause), { cause });
  }
}

/** The text of any thrown value that may be shown to a caller: the message, never the stack. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
