/** Where errors of the kernel become errors of the domain: above the backend nobody sees an errno. */

import { EACCES, EADDRINUSE, EAFNOSUPPORT, EEXIST, ENODEV, ENOENT } from "../../../ffi/errno.ts";
import { EOPNOTSUPP, EPERM, ESRCH } from "../../../ffi/errno.ts";
import { ErrnoError, LibraryError, NetlinkError } from "../../../ffi/errors.ts";
import {
  AlreadyExistsError,
  describeError,
  NotFoundError,
  OverlayError,
  PermissionError,
  PreconditionError,
  UnsupportedError,
} from "../../errors.ts";

/** Whether the kernel said that the object is not there, or no longer. */
export function isGone(error: unknown): boolean {
  return hasErrno(error, ENODEV, ENOENT, ESRCH);
}

/** Whether a system call or a netlink request failed with one of the numbers. */
export function hasErrno(error: unknown, ...numbers: readonly number[]): boolean {
  return (error instanceof NetlinkError || error instanceof ErrnoError) && numbers.includes(error.errno);
}

/**
 * The domain's error for whatever was thrown.
 *
 * @param doing What was being done, after "cannot": `attach web-1`.
 */
export function translate(doing: string, error: unknown): OverlayError {
  if (error instanceof OverlayError) return error;
  const message = `cannot ${doing}: ${describeError(error)}`;
  const options = { cause: error };
  if (error instanceof LibraryError) return new UnsupportedError(message, options);
  const missing = missingCapability(error);
  if (missing !== undefined) return new PermissionError(`${message}; ${missing} is missing`, options);
  if (isGone(error)) return new NotFoundError("kernel object", doing, { message, ...options });
  if (hasErrno(error, EEXIST)) return new AlreadyExistsError(message, options);
  if (hasErrno(error, EADDRINUSE)) return new PreconditionError(message, options);
  if (hasErrno(error, EOPNOTSUPP, EAFNOSUPPORT)) return new UnsupportedError(message, options);
  return new OverlayError("internal", message, options);
}

/** Runs a section whose errors are translated. */
export function translated<T>(doing: string, section: () => T): T {
  try {
    return section();
  } catch (error) {
    throw translate(doing, error);
  }
}

/** The capability that would have let it pass, as far as the failure tells. */
function missingCapability(error: unknown): string | undefined {
  if (!hasErrno(error, EPERM, EACCES)) return undefined;
  if (error instanceof NetlinkError) return hasErrno(error, EPERM) ? "CAP_NET_ADMIN" : undefined;
  return (error as ErrnoError).syscall === "setns" ? "CAP_SYS_ADMIN" : "CAP_SYS_PTRACE";
}
