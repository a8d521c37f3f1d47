/** What the marker tells of HCN networks: by it an uninstall finds them, and so does the next start. */

import { type Guid, parseGuid } from "../../../ffi/windows/guid.ts";
import { formatPrefix, type IpPrefix } from "../../ip/prefix.ts";
import {
  type HcnNetworkEntry,
  isHcnEntry,
  type MarkerEntry,
  removeNetwork,
  upsertNetwork,
  withHcnNetwork,
  withoutFormer,
  withoutHcnNetwork,
} from "../../marker.ts";
import type { MarkerFile } from "../../marker_file.ts";

/** A network as the marker names it. */
export interface MarkedNetwork {
  readonly owner: string;
  readonly name: string;
  readonly subnet: IpPrefix;
}

/** See the module. A save that fails is a warning and no reason to stop. */
export class NetworkMarks {
  readonly #file: MarkerFile;

  constructor(file: MarkerFile) {
    this.#file = file;
  }

  /** The network of an owner, if it is one of HCN. */
  async entryOf(owner: string): Promise<MarkerEntry | undefined> {
    const { networks } = await this.#file.load();
    return networks.find((one) => one.owner === owner && isHcnEntry(one));
  }

  /** Its id, if that is a GUID. */
  async idOf(owner: string): Promise<Guid | undefined> {
    const entry = await this.entryOf(owner);
    return entry && parseGuid(entry.id);
  }

  /**
   * Enters a network.
   *
   * @param type HCN's: `Internal` or `Transparent`, in any case.
   * @returns Puts the entry back as it was.
   */
  async enter(network: MarkedNetwork, id: Guid, type: string): Promise<() => Promise<void>> {
    const { owner, name } = network;
    const kind = /^transparent$/i.test(type) ? "hcn-transparent" : "hcn-internal";
    const entry: HcnNetworkEntry = { owner, kind, name, id, subnet: formatPrefix(network.subnet) };
    let former: MarkerEntry | undefined;
    await this.#file.update((marker) => {
      former = marker.networks.find((one) => one.owner === owner);
      const isSame = former !== undefined && former.kind === kind && former.name === name &&
        former.id === id && former.subnet === entry.subnet;
      return isSame ? marker : withHcnNetwork(marker, entry);
    });
    return async () => {
      await this.#file.update((marker) =>
        former ? upsertNetwork(withoutFormer(marker, former.id), former) : removeNetwork(marker, owner).marker
      );
    };
  }

  /** Takes an owner's network out. */
  async remove(owner: string): Promise<void> {
    await this.#file.update((marker) => withoutHcnNetwork(marker, owner));
  }
}
