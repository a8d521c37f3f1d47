/** Which HCN networks there are, and what is on them: by what each says itself, since a filter may not be trusted. */

import type { Guid } from "../../../ffi/windows/guid.ts";
import { describeError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { type Hns, isHcn } from "./hns.ts";
import { type NetworkReading, readEndpoint, readNetwork } from "./readings.ts";

/** A network that is there, by the id it was asked for. */
export type FoundNetwork = NetworkReading & { readonly id: Guid };

/** See the module. */
export class NetworkLookup {
  readonly #hns: Hns;
  readonly #log: Log;

  constructor({ hns, log }: { readonly hns: Hns; readonly log: Log }) {
    this.#hns = hns;
    this.#log = log;
  }

  /** All networks of the host that can be read. */
  async all(): Promise<FoundNetwork[]> {
    return await this.read(await this.#hns.enumerate("Network"));
  }

  /**
   * Networks of exactly this name.
   *
   * @param options `isScan`: reads all there are, since a filter may be refused or ignored.
   */
  async byName(name: string, { isScan }: { readonly isScan: boolean }): Promise<FoundNetwork[]> {
    let ids: Guid[] | undefined;
    if (!isScan) {
      ids = await this.#hns.enumerate("Network", { Name: name }).catch((error) => {
        if (!isHcn(error, "error", "invalid-json")) throw error;
        this.#log.debug("HCN refuses a filter by name", { err: describeError(error) });
        return undefined;
      });
    }
    const all = await this.read(ids ?? await this.#hns.enumerate("Network"));
    return all.filter((network) => network.name === name);
  }

  /** Those of these networks that are there and can be read. */
  async read(ids: readonly Guid[]): Promise<FoundNetwork[]> {
    const networks: FoundNetwork[] = [];
    for (const id of ids) {
      try {
        const text = await this.#hns.read("Network", id);
        if (text !== undefined) networks.push({ ...readNetwork(text), id });
      } catch (error) {
        // Seen in the field with 0x803b001b. One network that cannot be read must not hide the others.
        if (!isHcn(error, "error", "invalid-json", "not-found")) throw error;
        this.#log.warn("an HCN network cannot be read and is passed over", { id, err: describeError(error) });
      }
    }
    return networks;
  }

  /**
   * Endpoints on a network. Not by a filter: one that compares the id otherwise than we spell it would find nothing,
   * and a network with containers on it be taken for an empty one.
   */
  async endpointsOn(network: Guid): Promise<Guid[]> {
    const found: Guid[] = [];
    for (const id of await this.#hns.enumerate("Endpoint")) {
      const text = await this.#hns.read("Endpoint", id);
      if (text !== undefined && readEndpoint(text).network === network) found.push(id);
    }
    return found;
  }
}
