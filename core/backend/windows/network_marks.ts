/**
 * What the marker tells of HCN networks: by it an uninstall finds them, and so does the next start. A save that fails
 * is a warning and no reason to stop; it is made up for later.
 */

import { type Guid, parseGuid } from "../../../ffi/windows/guid.ts";
import { formatPrefix, type IpPrefix } from "../../ip/prefix.ts";
import {
  type HcnNetworkEntry,
  isHcnEntry,
  type Marker,
  type MarkerEntry,
  removeNetwork,
  upsertNetwork,
  withHcnNetwork,
  withoutFormer,
  withoutHcnNetwork,
} from "../../marker.ts";
import type { MarkerFile } from "../../marker_file.ts";
import { isTransparent } from "./readings.ts";

/** A network as the marker names it. */
export interface MarkedNetwork {
  readonly owner: string;
  readonly name: string;
  readonly subnet: IpPrefix;
}

type Change = (marker: Marker) => Marker;

/** See the module. */
export class NetworkMarks {
  readonly #file: MarkerFile;
  /** The last change for each owner that is not known to be on disk. */
  readonly #unsaved = new Map<string, Change>();

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
    const kind = isTransparent({ type }) ? "hcn-transparent" : "hcn-internal";
    const entry: HcnNetworkEntry = { owner, kind, name, id, subnet: formatPrefix(network.subnet) };
    let former: MarkerEntry | undefined;
    await this.#change(owner, (marker) => {
      former = marker.networks.find((one) => one.owner === owner);
      const isSame = former !== undefined && former.kind === kind && former.name === name &&
        former.id === id && former.subnet === entry.subnet;
      return isSame ? marker : withHcnNetwork(marker, entry);
    });
    const before = former;
    return () =>
      this.#change(
        owner,
        (marker) =>
          before
            ? upsertNetwork(withoutFormer(marker, before.id), before)
            : removeNetwork(marker, owner).marker,
      );
  }

  /** Takes an owner's network out. */
  remove(owner: string): Promise<void> {
    return this.#change(owner, (marker) => withoutHcnNetwork(marker, owner));
  }

  /** Makes up for saves that failed. */
  async repeat(): Promise<void> {
    for (const owner of [...this.#unsaved.keys()]) {
      // Read anew for each: another change may have come meanwhile, and one that is told of later counts.
      const change = this.#unsaved.get(owner);
      if (change) await this.#change(owner, change);
    }
  }

  async #change(owner: string, change: Change): Promise<void> {
    this.#unsaved.set(owner, change);
    const isSaved = await this.#file.update(change);
    if (isSaved && this.#unsaved.get(owner) === change) this.#unsaved.delete(owner);
  }
}
