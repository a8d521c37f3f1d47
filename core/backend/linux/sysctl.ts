/**
 * Kernel settings under `/proc/sys/net`.
 *
 * Those of our own links vanish with the links and are just written. Host-wide ones are changed only if they are
 * not as needed, and their former values kept, so that purge can put them back.
 */

import { describeError, PermissionError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { HostSettings } from "../backend.ts";

const IPV6_CONF = "/proc/sys/net/ipv6/conf";

/** See the module. */
export class HostSysctls {
  readonly #log: Log;
  readonly #root: string;
  readonly #changed = new Map<string, string>();
  #hasIpv6 = false;

  /** @param options `root`: where the IPv6 settings are, for tests. */
  constructor(log: Log, options: { readonly root?: string } = {}) {
    this.#log = log;
    this.#root = options.root ?? IPV6_CONF;
  }

  /** Whether this host has IPv6 at all. It may come, with its module, but it cannot go. */
  get hasIpv6(): boolean {
    return this.#hasIpv6 ||= read(`${this.#root}/all/forwarding`) !== undefined;
  }

  /**
   * Lets the host forward IPv6 packets that come in by the link.
   *
   * Kernels from 6.17 on can be told so per link (`force_forwarding`). On older ones forwarding is the whole
   * host's, and turning it on makes the host deaf to router advertisements; `accept_ra` 2 keeps its own routes.
   *
   * @throws {PermissionError} If the settings cannot be written.
   */
  enableIpv6Forwarding(interfaceName: string): void {
    const own = `${this.#root}/${interfaceName}/force_forwarding`;
    const forced = read(own);
    if (forced === "1" || read(`${this.#root}/all/forwarding`) === "1") return;
    if (forced !== undefined) return write(own, "1");
    for (const entry of Deno.readDirSync(this.#root)) {
      const acceptRa = `${this.#root}/${entry.name}/accept_ra`;
      if (read(acceptRa) === "1") this.#change(acceptRa, "2");
    }
    this.#change(`${this.#root}/all/forwarding`, "1");
  }

  /** Former values of what was changed, by path, in the order of the changes. */
  changed(): HostSettings {
    return Object.fromEntries(this.#changed);
  }

  /** Puts former values back, last change first. A path that is gone is passed over. */
  restore(settings: HostSettings): void {
    for (const [path, value] of Object.entries(settings).reverse()) {
      if (!path.startsWith(`${this.#root}/`) || path.includes("/../")) continue;
      if (read(path) !== undefined) write(path, value);
      this.#changed.delete(path);
    }
  }

  #change(path: string, value: string): void {
    const former = read(path);
    if (former === undefined || former === value) return;
    write(path, value);
    if (!this.#changed.has(path)) this.#changed.set(path, former);
    this.#log.info("changed a host-wide setting", { path, from: former, to: value });
  }
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return undefined;
  }
}

function write(path: string, value: string): void {
  try {
    Deno.writeTextFileSync(path, value, { create: false });
  } catch (cause) {
    throw new PermissionError(`cannot write ${value} to ${path}: ${describeError(cause)}; needs root`, {
      cause,
    });
  }
}
