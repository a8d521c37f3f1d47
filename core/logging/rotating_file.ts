/**
 * A log file for a daemon whose standard output nobody sees. A full file is kept as `<path>.1`, the one before as
 * `<path>.2`, and so on; the oldest goes.
 *
 * A file that cannot be written, on a full disk say, is tried again until it can: to whoever writes it is a slow
 * stream, which {@linkcode BoundedWriter} knows how to live with.
 */
import type { ByteSink } from "./writer.ts";

/** Where a file is kept for the moment in which the older ones make room. */
const MOVING = 0;
const DEFAULT_LIMIT_BYTES = 10 * 1024 * 1024;
const DEFAULT_KEEP = 4;
/** Before a file that could not be written is tried again. */
const RETRY_MS = 1000;

/** How a file is kept. */
export interface RotatingFileOptions {
  /** Makes the directory that it is in; called before the file is opened. */
  readonly makeDirectory: () => Promise<void>;
  /** A file that would become larger is full. Default 10 MiB. */
  readonly limitBytes?: number;
  /** How many full files are kept. Default 4. */
  readonly keep?: number;
  /** Waits before a file is tried again; a second unless given. */
  readonly pause?: () => Promise<void>;
}

/** Paths of a log file and of all that may be kept of it. */
export function logFiles(path: string, keep: number = DEFAULT_KEEP): string[] {
  return [path, ...Array.from({ length: keep + 1 }, (_, number) => `${path}.${number}`)];
}

/** See the module. One write at a time. */
export class RotatingFile implements ByteSink, Disposable {
  readonly #path: string;
  readonly #options: Required<RotatingFileOptions>;
  #file: Deno.FsFile | undefined;
  #sizeBytes = 0;
  #fullAtBytes: number;

  constructor(path: string, options: RotatingFileOptions) {
    this.#path = path;
    this.#options = {
      limitBytes: DEFAULT_LIMIT_BYTES,
      keep: DEFAULT_KEEP,
      pause: () => new Promise((resolve) => setTimeout(resolve, RETRY_MS)),
      ...options,
    };
    this.#fullAtBytes = this.#options.limitBytes;
  }

  /** Writes whole lines; comes back when they are in a file. */
  async write(lines: Uint8Array): Promise<number> {
    for (let written = 0;;) {
      try {
        const file = await this.#fileFor(written === 0 ? lines.length : 0);
        while (written < lines.length) written += await this.#append(file, lines.subarray(written));
        return lines.length;
      } catch {
        this[Symbol.dispose]();
        await this.#options.pause();
      }
    }
  }

  async #append(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
    const written = await file.write(bytes);
    this.#sizeBytes += written;
    return written;
  }

  /** The open file, a new one if this one has no room for so many bytes. */
  async #fileFor(bytes: number): Promise<Deno.FsFile> {
    const file = this.#file ?? await this.#open();
    if (this.#sizeBytes === 0 || this.#sizeBytes + bytes <= this.#fullAtBytes) return file;
    this[Symbol.dispose]();
    if (!await this.#rotate()) this.#fullAtBytes = this.#sizeBytes + this.#options.limitBytes;
    return await this.#open();
  }

  async #open(): Promise<Deno.FsFile> {
    await this.#options.makeDirectory();
    const file = await Deno.open(this.#path, { append: true, create: true, mode: 0o600 });
    this.#file = file;
    this.#sizeBytes = (await file.stat()).size;
    return file;
  }

  /** Closes the file; a later write opens it again. */
  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = undefined;
  }

  /** @returns False where the file cannot be moved: on Windows somebody may have it open in a way that forbids it. */
  async #rotate(): Promise<boolean> {
    // Of a rotation that was cut short.
    await this.#makeRoom();
    if (!await moved(this.#path, this.#name(MOVING))) return false;
    await this.#makeRoom();
    this.#fullAtBytes = this.#options.limitBytes;
    return true;
  }

  /** Moves each kept file up, if one waits to be kept. */
  async #makeRoom(): Promise<void> {
    const waits = await Deno.lstat(this.#name(MOVING)).then(() => true, () => false);
    for (let number = this.#options.keep - 1; waits && number >= MOVING; number--) {
      await moved(this.#name(number), this.#name(number + 1));
    }
  }

  #name(number: number): string {
    return `${this.#path}.${number}`;
  }
}

/** Moves a file over another. @returns Whether it could be. */
function moved(from: string, to: string): Promise<boolean> {
  return Deno.rename(from, to).then(() => true, () => false);
}
