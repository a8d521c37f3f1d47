/**
 * Which objects of HCN this process holds handles of: none is deleted under one that still reads it, say the regular
 * look at everything, and none is opened while it is being deleted.
 */

import type { Guid } from "../../../ffi/windows/guid.ts";

/** See the module. */
export class OpenHandles {
  readonly #held = new Map<Guid, { count: number; readonly released: PromiseWithResolvers<void> }>();
  /** Deletions under way. */
  readonly #leaving = new Map<Guid, Promise<void>>();

  /** A handle is going to be opened, which waits for the end of a deletion. */
  async enter(id: Guid): Promise<void> {
    for (let end = this.#leaving.get(id); end; end = this.#leaving.get(id)) await end;
    this.add(id);
  }

  /** There is a handle of something new. */
  add(id: Guid): void {
    const held = this.#held.get(id);
    if (held) held.count++;
    else this.#held.set(id, { count: 1, released: Promise.withResolvers() });
  }

  /** One was closed, or not opened after all. */
  remove(id: Guid): void {
    const held = this.#held.get(id)!;
    if (--held.count > 0) return;
    this.#held.delete(id);
    held.released.resolve();
  }

  /** Runs a deletion when there is no handle of the object, and lets none be opened until it ends. */
  async alone<T>(id: Guid, remove: () => Promise<T>): Promise<T> {
    for (;;) {
      const busy = this.#held.get(id)?.released.promise ?? this.#leaving.get(id);
      if (!busy) break;
      await busy;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#leaving.set(id, promise);
    try {
      return await remove();
    } finally {
      this.#leaving.delete(id);
      resolve();
    }
  }
}
