/** A file descriptor that is closed with its scope. Deno's own files do not tell their descriptor. */

import { errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { libc } from "./libc.ts";
import { cString, type PinnedBuffer } from "./memory.ts";

const O_RDONLY = 0;
/** `O_CLOEXEC` of asm-generic/fcntl.h. */
const O_CLOEXEC = 0o2000000;

/** Owns a file descriptor. */
export class FileDescriptor implements Disposable {
  #fd: number;

  /** Takes over a descriptor that is open. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Opens a file for reading.
   *
   * @throws {ErrnoError} With `ENOENT`, `EACCES` and so on; `op` names the path.
   */
  static open(path: string): FileDescriptor {
    const { open } = libc();
    const name = cString(path);
    prepareErrno();
    const fd = open(name, O_RDONLY | O_CLOEXEC);
    const errno = lastErrno();
    if (fd < 0) throw errnoError(`open ${path}`, "open", errno);
    return new FileDescriptor(fd);
  }

  /** The number. @throws {TypeError} If it was closed. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError("the file descriptor is closed");
    return this.#fd;
  }

  /** Reads once, from where the last read ended. @returns Bytes read, 0 at the end. @throws {ErrnoError} */
  read(into: PinnedBuffer): number {
    const { read } = libc();
    const count = read(this.fd, into.pointer, BigInt(into.bytes.length));
    const errno = lastErrno();
    if (count < 0n) throw errnoError("read a file", "read", errno);
    return Number(count);
  }

  /** Closes it; a second call does nothing. */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    libc().close(this.#fd);
    this.#fd = -1;
  }
}
