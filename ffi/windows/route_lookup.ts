/**
 * Which interface Windows sends something by, and whether that may have changed since it was last asked: the counterpart
 * of `route_lookup.ts`.
 *
 * The source has no part in the question. Windows would look among the routes of the interface that has it, and so
 * always find that one.
 *
 * @see iphlpapi.h `GetBestInterfaceEx`; `change_signal.ts`.
 */

import type { RouteQuestion } from "../route_lookup.ts";
import { type AdapterList, openAdapterList } from "./adapters.ts";
import { ChangeSignal } from "./change_signal.ts";

/** The routing table of this host. */
export class WindowsRouteLookup implements Disposable {
  readonly #adapters: Pick<AdapterList, "bestInterface">;
  readonly #signal: ChangeSignal;

  /**
   * Opens it.
   *
   * @param path Absolute: `%SystemRoot%\\System32\\iphlpapi.dll`.
   * @throws {FfiError} If Windows refuses to tell of changes.
   */
  constructor(path: string) {
    this.#adapters = openAdapterList(path);
    this.#signal = new ChangeSignal(path);
  }

  /** Index of the interface; undefined if there is no way. */
  outIndex({ destination }: RouteQuestion): number | undefined {
    return this.#adapters.bestInterface(destination);
  }

  /** Whether interfaces, addresses or routes have changed since the last time this was asked. */
  hasChanged(): boolean {
    return this.#signal.take();
  }

  /** Ends the notifications. */
  [Symbol.dispose](): void {
    this.#signal[Symbol.dispose]();
  }
}
