/**
 * Read-write locks by key, first come first served.
 *
 * There is no global lock in this daemon: work is serialised per object. A caller that needs several locks
 * names them all at once; they are taken in sorted order, so two callers can never wait for each other.
 */

/** How a key is held: any number of `read` holders together, or one `write` holder. */
export type LockMode = "read" | "write";

interface Waiter {
  readonly mode: LockMode;
  readonly grant: () => void;
}

interface Entry {
  readers: number;
  writing: boolean;
  readonly queue: Waiter[];
}

/** A set of independent read-write locks, made on demand. */
export class KeyedLock {
  readonly #entries = new Map<string, Entry>();

  /** Number of keys held or waited for. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether all keys could be had this moment: nobody holds or waits for one in a way that stands against it. */
  isFree(keys: Readonly<Record<string, LockMode>>): boolean {
    return Object.entries(keys).every(([key, mode]) => {
      const entry = this.#entries.get(key);
      return !entry || (entry.queue.length === 0 && admits(entry, mode));
    });
  }

  /** Runs `work` while all keys are held. */
  async run<T>(keys: Readonly<Record<string, LockMode>>, work: () => Promise<T>): Promise<T> {
    const held: [string, LockMode][] = [];
    try {
      for (const key of Object.keys(keys).sort()) {
        await this.#acquire(key, keys[key]!);
        held.push([key, keys[key]!]);
      }
      return await work();
    } finally {
      for (const [key, mode] of held.reverse()) this.#release(key, mode);
    }
  }

  #acquire(key: string, mode: LockMode): Promise<void> | void {
    let entry = this.#entries.get(key);
    if (!entry) this.#entries.set(key, entry = { readers: 0, writing: false, queue: [] });
    if (entry.queue.length === 0 && admits(entry, mode)) return enter(entry, mode);
    return new Promise((grant) => entry.queue.push({ mode, grant }));
  }

  #release(key: string, mode: LockMode): void {
    const entry = this.#entries.get(key)!;
    if (mode === "read") entry.readers--;
    else entry.writing = false;
    while (entry.queue.length > 0 && admits(entry, entry.queue[0]!.mode)) {
      const next = entry.queue.shift()!;
      enter(entry, next.mode);
      next.grant();
    }
    if (!entry.writing && entry.readers === 0 && entry.queue.length === 0) this.#entries.delete(key);
  }
}

function admits(entry: Entry, mode: LockMode): boolean {
  return !entry.writing && (mode === "read" || entry.readers === 0);
}

function enter(entry: Entry, mode: LockMode): void {
  if (mode === "read") entry.readers++;
  else entry.writing = true;
}
