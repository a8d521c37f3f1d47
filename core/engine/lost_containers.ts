/**
 * Containers of Windows whose endpoint and namespace are both gone from the host. Their records are dropped and their
 * addresses free, so nothing else remembers them; one that still runs has no network, and nobody who asked for it has
 * been told. So `status` tells of them for a while.
 */

import type { Clock } from "../clock.ts";

/** After a restart of the host all are lost, and nobody need see to those that were not to run again. */
const SHOWN_MS = 3_600_000;
/** How many are named. */
const MAX_NAMED = 3;

/** A container as it was. */
export interface LostContainer {
  readonly containerId: string;
  readonly namespace: string;
  readonly ip: string;
}

/** See the module. */
export class LostContainers {
  readonly #clock: Clock;
  /** By id of the container; until when it is shown, monotonic. */
  readonly #lost = new Map<string, LostContainer & { readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Shows one from now on. */
  add(container: LostContainer): void {
    this.#forgetOld();
    this.#lost.set(container.containerId, { ...container, untilMs: this.#clock.monotonicMs() + SHOWN_MS });
  }

  /** Its caller has come back to it: by the id, or the GUID of its namespace. */
  forget(...names: readonly (string | undefined)[]): void {
    for (const { containerId, namespace } of [...this.#lost.values()]) {
      if (names.includes(containerId) || names.includes(namespace)) this.#lost.delete(containerId);
    }
  }

  /** What to tell, in words; `undefined` if there is nothing. */
  problem(): string | undefined {
    this.#forgetOld();
    const shown = [...this.#lost.values()];
    if (shown.length === 0) return undefined;
    const named = shown.slice(0, MAX_NAMED).map(({ containerId, ip }) =>
      `${containerId} (${ip || "no address"})`
    );
    const more = shown.length > MAX_NAMED ? ` and ${shown.length - MAX_NAMED} more` : "";
    return `gone from HCN with endpoint and namespace, and forgotten: ${
      named.join(", ")
    }${more}; one that still ` +
      "runs has no network: stop it, attach it again and start it with what that answers";
  }

  /** Whether or not somebody ever asks: a node goes on for years. */
  #forgetOld(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const { containerId, untilMs } of [...this.#lost.values()]) {
      if (nowMs >= untilMs) this.#lost.delete(containerId);
    }
  }
}
