/**
 * Error numbers of Linux (asm-generic/errno-base.h, asm-generic/errno.h; equal on x86-64 and arm64).
 *
 * `errno` belongs to a thread and any library call may change it, so it is read in the statement after the call
 * that failed. After a `nonblocking` call it is another thread's and cannot be read at all.
 */

import { libc } from "./libc.ts";
import { ErrnoError } from "./errors.ts";

/** Numbers that code branches on. */
export const EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EAGAIN = 11, EACCES = 13, EBUSY = 16, EEXIST = 17;
/** Numbers that code branches on, continued. */
export const ENODEV = 19, EINVAL = 22, ENOSPC = 28, ERANGE = 34, EMSGSIZE = 90, EOPNOTSUPP = 95;
/** Numbers that code branches on, continued. */
export const EAFNOSUPPORT = 97, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENETDOWN = 100, ENETUNREACH = 101;
/** Numbers that code branches on, continued. */
export const ENOBUFS = 105, EHOSTUNREACH = 113;

const TEXTS: Readonly<Record<number, string>> = {
  1: "EPERM (operation not permitted)",
  2: "ENOENT (no such object)",
  3: "ESRCH (no such process or route)",
  4: "EINTR (interrupted)",
  5: "EIO (input/output error)",
  6: "ENXIO (no such device)",
  7: "E2BIG (too long)",
  9: "EBADF (bad file descriptor)",
  11: "EAGAIN (try again)",
  12: "ENOMEM (out of memory)",
  13: "EACCES (permission denied)",
  14: "EFAULT (bad address)",
  16: "EBUSY (busy)",
  17: "EEXIST (already exists)",
  19: "ENODEV (no such device)",
  20: "ENOTDIR (not a directory)",
  22: "EINVAL (invalid argument)",
  23: "ENFILE (too many open files in system)",
  24: "EMFILE (too many open files)",
  28: "ENOSPC (no space left)",
  34: "ERANGE (out of range)",
  38: "ENOSYS (not implemented)",
  39: "ENOTEMPTY (not empty)",
  40: "ELOOP (loop)",
  62: "ETIME (timer expired)",
  71: "EPROTO (protocol error)",
  75: "EOVERFLOW (value too large)",
  88: "ENOTSOCK (not a socket)",
  90: "EMSGSIZE (message too long)",
  93: "EPROTONOSUPPORT (protocol not supported)",
  95: "EOPNOTSUPP (not supported)",
  97: "EAFNOSUPPORT (address family not supported)",
  98: "EADDRINUSE (address in use)",
  99: "EADDRNOTAVAIL (address not available)",
  100: "ENETDOWN (network is down)",
  101: "ENETUNREACH (network unreachable)",
  105: "ENOBUFS (no buffer space)",
  107: "ENOTCONN (not connected)",
  110: "ETIMEDOUT (timed out)",
  111: "ECONNREFUSED (connection refused)",
  113: "EHOSTUNREACH (no route to host)",
  114: "EALREADY (already in progress)",
  126: "ENOKEY (no key)",
};

/** Symbol and text of an error number; `errno 0` reads as unknown. */
export function errnoName(errno: number): string {
  return errno === 0 ? "unknown error" : TEXTS[errno] ?? `errno ${errno}`;
}

let location: Deno.UnsafePointerView | undefined;

/** Looks the thread's errno up, so that {@linkcode lastErrno} is one read. Call before the call that may fail. */
export function prepareErrno(): void {
  // The address is the thread's; an isolate keeps to its thread, and each isolate has its own copy of this module.
  if (location !== undefined) return;
  const pointer = libc().__errno_location();
  if (pointer !== null) location = new Deno.UnsafePointerView(pointer);
}

/** The errno of this thread: the very next statement after the call that failed. 0 if never prepared. */
export function lastErrno(): number {
  return location === undefined ? 0 : location.getInt32(0);
}

/** The error of a system call. */
export function errnoError(op: string, syscall: string, errno: number): ErrnoError {
  return new ErrnoError(op, syscall, errno, errnoName(errno));
}
