/** Waiting on several descriptors on a thread of its own, and an event descriptor that ends the wait. */

import { errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { FileDescriptor } from "./file_descriptor.ts";
import { libc } from "./libc.ts";
import { PinnedBuffer } from "./memory.ts";

const POLLIN = 1;
const POLLERR = 8;
const POLLHUP = 0x10;
const POLLNVAL = 0x20;
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const CLOCK_BOOTTIME = 7;
/** Longest wait in ms: what fits the parameter. */
const MAX_WAIT_MS = 0x7fff_ffff;

/** Wakes a thread that waits in {@linkcode PollSet.wait}. */
export class WakeUp implements Disposable {
  readonly #file: FileDescriptor;
  readonly #one = new Uint8Array(new BigUint64Array([1n]).buffer);

  /** Opens an event descriptor. @throws {ErrnoError} If there are no more descriptors. */
  constructor() {
    prepareErrno();
    const fd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const errno = lastErrno();
    if (fd < 0) throw errnoError("open event descriptor", "eventfd", errno);
    this.#file = new FileDescriptor(fd);
  }

  /** The descriptor. It stays this object's to close. */
  get fd(): number {
    return this.#file.fd;
  }

  /** Ends the wait under way, or the next one. */
  signal(): void {
    libc().write(this.#file.fd, this.#one, 8n);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/** Descriptors to wait on; the first is that of a {@linkcode WakeUp}. */
export class PollSet {
  readonly #entries: PinnedBuffer;
  readonly #count: bigint;
  readonly #wakeUpFd: number;
  readonly #counter = new PinnedBuffer(8);
  readonly #time = new PinnedBuffer(16);
  readonly #poll = libc().poll;
  readonly #clock = libc().clock_gettime;

  constructor(wakeUpFd: number, fds: readonly number[]) {
    const all = [wakeUpFd, ...fds];
    this.#wakeUpFd = wakeUpFd;
    this.#entries = new PinnedBuffer(all.length * 8);
    this.#count = BigInt(all.length);
    // struct pollfd: s32 fd, s16 events, s16 revents.
    for (const [i, fd] of all.entries()) {
      this.#entries.view.setInt32(i * 8, fd, true);
      this.#entries.view.setInt16(i * 8 + 4, POLLIN, true);
    }
  }

  /** Blocks this thread until something can be read, or so many ms have passed. */
  wait(timeoutMs: number): void {
    const limited = Math.max(0, Math.ceil(Math.min(timeoutMs, MAX_WAIT_MS)));
    this.#poll(this.#entries.pointer, this.#count, limited);
    this.#leaveOutBroken();
    if (this.#entries.view.getInt16(6, true) !== 0) libc().read(this.#wakeUpFd, this.#counter.pointer, 8n);
  }

  /** A device that was deleted is always "ready", and would keep the thread busy for ever. */
  #leaveOutBroken(): void {
    for (let at = 8; at < this.#entries.bytes.length; at += 8) {
      const events = this.#entries.view.getInt16(at + 6, true);
      if ((events & (POLLHUP | POLLNVAL)) !== 0 || (events & (POLLERR | POLLIN)) === POLLERR) {
        this.#entries.view.setInt32(at, -1, true);
      }
    }
  }

  /** Milliseconds since boot, sleep included. */
  now(): number {
    this.#clock(CLOCK_BOOTTIME, this.#time.pointer);
    const { view } = this.#time;
    return view.getUint32(0, true) * 1000 + view.getUint32(8, true) / 1e6;
  }
}
