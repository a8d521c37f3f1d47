/**
 * The C library of Linux: the one symbol table for it. Widths are those of x86-64 and arm64 (LP64).
 *
 * Lengths (`size_t`) are passed as `bigint`: a number takes Deno's slow call path for 64-bit parameters.
 */

import { lazyLibrary } from "./library.ts";

const SYMBOLS = {
  /** `int *__errno_location(void)`, errno.h */
  __errno_location: { parameters: [], result: "pointer" },
  /** `int socket(int domain, int type, int protocol)`, sys/socket.h */
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** `int bind(int fd, const struct sockaddr *addr, socklen_t len)`, sys/socket.h */
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int connect(int fd, const struct sockaddr *addr, socklen_t len)`, sys/socket.h */
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int getsockname(int fd, struct sockaddr *addr, socklen_t *len)`, sys/socket.h */
  getsockname: { parameters: ["i32", "pointer", "pointer"], result: "i32" },
  /** `int setsockopt(int fd, int level, int name, const void *value, socklen_t len)`, sys/socket.h */
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  /** `ssize_t send(int fd, const void *buf, size_t len, int flags)`, sys/socket.h */
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  /** As `send`, on another thread. */
  sendNonblocking: {
    name: "send",
    parameters: ["i32", "buffer", "usize", "i32"],
    result: "isize",
    nonblocking: true,
  },
  /** `ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addrlen)` */
  recvfrom: { parameters: ["i32", "pointer", "usize", "i32", "pointer", "pointer"], result: "isize" },
  /** `int poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)`, poll.h; on another thread */
  pollNonblocking: {
    name: "poll",
    parameters: ["buffer", "u64", "i32"],
    result: "i32",
    nonblocking: true,
  },
  /** As above, on this thread: for workers that have nothing else to do meanwhile */
  poll: { parameters: ["pointer", "u64", "i32"], result: "i32" },
  /** `int ioctl(int fd, unsigned long request, void *argument)`, sys/ioctl.h */
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  /** `int ioctl(int fd, unsigned long request, unsigned long argument)`: for requests that take a value */
  ioctlValue: { name: "ioctl", parameters: ["i32", "u64", "u64"], result: "i32" },
  /** `ssize_t read(int fd, void *buf, size_t len)`, unistd.h */
  read: { parameters: ["i32", "pointer", "u64"], result: "isize" },
  /** `ssize_t writev(int fd, const struct iovec *iov, int count)`, sys/uio.h */
  writev: { parameters: ["i32", "pointer", "i32"], result: "isize" },
  /** `ssize_t recvmsg(int fd, struct msghdr *message, int flags)`, sys/socket.h */
  recvmsg: { parameters: ["i32", "pointer", "i32"], result: "isize" },
  /** `ssize_t sendmsg(int fd, const struct msghdr *message, int flags)`, sys/socket.h */
  sendmsg: { parameters: ["i32", "pointer", "i32"], result: "isize" },
  /** `int clock_gettime(clockid_t clock, struct timespec *time)`, time.h */
  clock_gettime: { parameters: ["i32", "pointer"], result: "i32" },
  /** `int eventfd(unsigned int initval, int flags)`, sys/eventfd.h */
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  /** `ssize_t write(int fd, const void *buf, size_t len)`, unistd.h */
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  /** `int open(const char *path, int flags)`, fcntl.h; never with O_CREAT, so no third argument */
  open: { parameters: ["buffer", "i32"], result: "i32" },
  /** `int close(int fd)`, unistd.h */
  close: { parameters: ["i32"], result: "i32" },
  /** `int setns(int fd, int nstype)`, sched.h */
  setns: { parameters: ["i32", "i32"], result: "i32" },
  /** `void abort(void)`, stdlib.h */
  abort: { parameters: [], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The C library's symbols; opens it at the first call. @throws {LibraryError} On a system without glibc. */
export const libc: () => Deno.StaticForeignLibraryInterface<typeof SYMBOLS> = lazyLibrary(
  ["libc.so.6"],
  SYMBOLS,
);
