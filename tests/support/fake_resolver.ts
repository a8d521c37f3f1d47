/** A resolver that knows what the test tells it, and answers when the test lets it. */
import { OverlayError } from "../../core/errors.ts";
import { type IpAddress, parseIp } from "../../core/ip/address.ts";
import type { Resolver } from "../../core/resolver.ts";

/** See the file's comment. */
export class FakeResolver implements Resolver {
  /** Addresses by name. */
  readonly hosts = new Map<string, readonly string[]>();
  /** Names in the order in which they were asked for. */
  readonly asked: string[] = [];
  /** Most that were under way at a time. */
  mostAtOnce = 0;
  #gate: Promise<void> = Promise.resolve();
  #underWay = 0;

  /** Lets nothing be answered until the result is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }

  async resolve(name: string): Promise<readonly IpAddress[]> {
    this.asked.push(name);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
    try {
      await this.#gate;
      const found = this.hosts.get(name);
      if (!found) throw new OverlayError("unavailable", `cannot resolve ${name}: ENOTFOUND`);
      return found.map((text) => parseIp(text)!);
    } finally {
      this.#underWay--;
    }
  }
}
