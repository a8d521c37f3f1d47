/**
 * Synchronous work inside another network namespace.
 *
 * `setns(2)` moves the calling thread only. A section therefore enters, does its work without any `await`, and
 * leaves; what it opens (a netlink socket) stays bound to the namespace it was opened in. Threads started inside
 * would inherit the namespace, so nothing `nonblocking` belongs in a section.
 */

import { errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { FileDescriptor } from "./file_descriptor.ts";
import { libc } from "./libc.ts";

/** `CLONE_NEWNET` of linux/sched.h: the descriptor must be a network namespace. */
const CLONE_NEWNET = 0x40000000;

let home: FileDescriptor | undefined;

/**
 * Runs `section` with the calling thread inside the namespace, and always comes back.
 *
 * If the way back fails the process aborts: a daemon whose thread is lost in a container's namespace would
 * configure the wrong network from then on.
 *
 * @param netnsFd Descriptor of a namespace file, such as `/proc/<pid>/ns/net`.
 * @param section Synchronous work; must not return a promise.
 * @throws {ErrnoError} If the namespace cannot be entered (`EPERM`: CAP_SYS_ADMIN is missing).
 */
export function withNetns<T>(netnsFd: number, section: () => T extends PromiseLike<unknown> ? never : T): T {
  home ??= FileDescriptor.open("/proc/thread-self/ns/net");
  enter(netnsFd);
  try {
    return section();
  } finally {
    leave(home.fd);
  }
}

function enter(fd: number): void {
  const { setns } = libc();
  prepareErrno();
  const result = setns(fd, CLONE_NEWNET);
  const errno = lastErrno();
  if (result !== 0) throw errnoError("enter network namespace", "setns", errno);
}

function leave(fd: number): void {
  if (libc().setns(fd, CLONE_NEWNET) === 0) return;
  Deno.stderr.writeSync(
    new TextEncoder().encode("fatal: cannot return to the host's network namespace; aborting\n"),
  );
  libc().abort();
}
