/**
 * UDP ports of dedicated services' WireGuard devices: a band of 256 above a base port.
 */

import { PoolExhaustedError } from "../errors.ts";

/** Port of the global device where the caller names none, and the base of the dedicated band. */
export const DEFAULT_WG_PORT = 51420;

const BAND_SIZE = 256;
const PORT_MAX = 65535;

/** Ports `base + 1` to `base + 256`, none above 65535. */
export class DedicatedPortAllocator {
  readonly #used = new Set<number>();

  /** @param base 0 to 65535; never handed out itself. */
  constructor(readonly base: number = DEFAULT_WG_PORT) {}

  /**
   * Hands out the lowest free port.
   *
   * @param isUsable Says no to a port that something else has, such as the live global device. A port refused
   * stays free.
   * @throws {PoolExhaustedError}
   */
  allocate(isUsable: (port: number) => boolean = () => true): number {
    const last = Math.min(this.base + BAND_SIZE, PORT_MAX);
    for (let port = this.base + 1; port <= last; port++) {
      if (this.#used.has(port) || !isUsable(port)) continue;
      this.#used.add(port);
      return port;
    }
    const size = last - this.base;
    const band = size > 0 ? `${this.base + 1}..=${last}, ${size} ports` : `none above ${this.base}`;
    throw new PoolExhaustedError(`dedicated-overlay port band exhausted (${band})`);
  }

  /** Marks a port as used, also one outside the band; repeating it is fine. */
  reserve(port: number): void {
    this.#used.add(port);
  }

  /** Frees a port; freeing a free one is fine. */
  release(port: number): void {
    this.#used.delete(port);
  }

  /** Whether the port is handed out or reserved. */
  isUsed(port: number): boolean {
    return this.#used.has(port);
  }
}
