/**
 * Which objects of HCN this process holds handles of: none is deleted under one that still reads it, say the regular
 * look at everything.
 */

import type { Guid } from "../../../ffi/windows/guid.ts";

/** See the module. */
export class OpenHandles {
  readonly #held = new Map<Guid, { count: number; readonly released: PromiseWithResolvers<void> }>();

  /** A handle was opened. */
  add(id: Guid): void {
    const held = this.#held.get(id);
    if (held) held.count++;
    else this.#held.set(id, { count: 1, released: Promise.withResolvers() });
  }

  /** One was closed. */
  remove(id: Guid): void {
    const held = this.#held.get(id)!;
    if (--held.count > 0) return;
    this.#held.delete(id);
    held.released.resolve();
  }

  /** Resolves when there is no handle of the object. */
  async none(id: Guid): Promise<void> {
    for (let held = this.#held.get(id); held; held = this.#held.get(id)) await held.released.promise;
  }
}
