/**
 * Looks host names up: few at a time, each once while it is under way. A name server that is silent holds a
 * look-up for half a minute, and each of them one of the few threads that the runtime has for files too.
 */

import type { IpAddress } from "../ip/address.ts";
import type { Resolver } from "../resolver.ts";

/** Most look-ups under way. */
const MAX_AT_ONCE = 4;

/** See the module. */
export class NameLookups {
  readonly #resolver: Resolver;
  readonly #underWay = new Map<string, Promise<readonly IpAddress[]>>();
  readonly #waiting: (() => void)[] = [];
  #free = MAX_AT_ONCE;

  constructor(resolver: Resolver) {
    this.#resolver = resolver;
  }

  /** Addresses of a host. @throws {OverlayError} As the resolver does. */
  resolve(name: string): Promise<readonly IpAddress[]> {
    let lookup = this.#underWay.get(name);
    if (!lookup) {
      lookup = this.#lookUp(name).finally(() => this.#underWay.delete(name));
      this.#underWay.set(name, lookup);
    }
    return lookup;
  }

  async #lookUp(name: string): Promise<readonly IpAddress[]> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    try {
      return await this.#resolver.resolve(name);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
