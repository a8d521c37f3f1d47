/**
 * HCN networks: one for the node, one for each dedicated service.
 *
 * A network is found by the id in the marker, then by its name, else it is made, under the id of the one that is
 * gone; work on one name is done one after the other. What was found or made is remembered, and believed until an
 * open of it fails. The marker is written before the network is made, so that an uninstall finds what a crash leaves.
 */

import type { Guid } from "../../../ffi/windows/guid.ts";
import { parseGuid } from "../../../ffi/windows/guid.ts";
import type { Clock } from "../../clock.ts";
import { describeError, PreconditionError } from "../../errors.ts";
import { formatPrefix, type IpPrefix, parsePrefix, prefixEquals } from "../../ip/prefix.ts";
import { KeyedLock } from "../../keyed_lock.ts";
import type { Log } from "../../log.ts";
import { quote } from "../../quote.ts";
import { checkHcnSubnet, gatewayOf, networkDocument } from "./documents.ts";
import { type Hns, isHcn, isRefusal } from "./hns.ts";
import { markerOwner, networkName } from "./names.ts";
import type { FoundNetwork, NetworkLookup } from "./network_lookup.ts";
import type { NetworkMarks } from "./network_marks.ts";
import type { AddressSharing } from "./node_devices.ts";
import { isInternal, isTransparent, type NetworkReading, readNetwork } from "./readings.ts";
import type { ContainerNetworkSpec, RemovedNetwork } from "../containers.ts";

/** A network that is there. */
export interface KnownNetwork {
  readonly id: Guid;
  readonly name: string;
  readonly subnet: IpPrefix;
  /** Whether it is bridged to an adapter of the host: none of its own has the gateway's address then. */
  readonly isBridged: boolean;
  /** Monotonic time at which this process made it; absent: it was there. */
  readonly madeAtMs?: number;
}

/** What {@linkcode HcnNetworks} works with. */
export interface NetworksOptions {
  readonly hns: Hns;
  readonly lookup: NetworkLookup;
  readonly marks: NetworkMarks;
  readonly clock: Clock;
  readonly log: Log;
  readonly newId: () => Guid;
  /** Friendly name of the adapter that the base network is bridged to; blank or absent: an internal network. */
  readonly uplinkAdapter?: string | undefined;
  /** The node's devices: the host's adapter on a network takes over the address that is its gateway. */
  readonly devices: AddressSharing | undefined;
}

/** What a network has to be. */
interface Wish {
  readonly owner: string;
  readonly name: string;
  readonly subnet: IpPrefix;
  readonly uplinkAdapter?: string;
}

/** See the module. */
export class HcnNetworks {
  readonly #options: NetworksOptions;
  readonly #locks = new KeyedLock();
  readonly #known = new Map<string, KnownNetwork>();

  constructor(options: NetworksOptions) {
    this.#options = options;
  }

  /**
   * The network, made right.
   *
   * @throws {InvalidConfigError} If the subnet cannot be one of HCN; nothing has been asked then.
   * @throws {PreconditionError} If one of the name is in use with another subnet, or is of another type.
   */
  async ensure(spec: ContainerNetworkSpec): Promise<KnownNetwork> {
    const wish = this.#wish(spec);
    const network = this.#remembered(wish) ?? await this.#locks.run(
      { [wish.name]: "write" },
      async () => this.#remembered(wish) ?? await this.#ensure(wish),
    );
    // Whoever looks after the networks comes by here every time.
    await this.#options.marks.repeat();
    return network;
  }

  /** The same for a caller who does not open the network: what is remembered is looked at once more. */
  async confirm(spec: ContainerNetworkSpec): Promise<void> {
    const known = this.#remembered(this.#wish(spec));
    if (known && !await this.#isThere(known)) this.forget(known.name);
    await this.ensure(spec);
  }

  async #isThere({ id }: KnownNetwork): Promise<boolean> {
    await using object = await this.#options.hns.open("Network", id);
    return object !== undefined;
  }

  /** Believes no longer that the network is there. */
  forget(name: string): void {
    this.#known.delete(name);
  }

  /** Believes in no other networks than these any longer. */
  keepOnly(ids: ReadonlySet<Guid>): void {
    for (const { id, name } of [...this.#known.values()]) if (!ids.has(id)) this.forget(name);
  }

  /**
   * Removes a service's network. One that still has endpoints is rid of them and tried once more; one of another
   * subnet was in the way of a set-up that failed, and stays with what is on it.
   *
   * @param spec Without a subnet the network goes whatever it has.
   * @param clear Removes the endpoints of a network.
   */
  removeService(
    spec: RemovedNetwork,
    clear: (network: Guid) => Promise<void>,
  ): Promise<void> {
    const name = networkName(spec);
    const owner = markerOwner(spec);
    return this.#locks.run({ [name]: "write" }, async () => {
      const { marks, lookup, log } = this.#options;
      this.#known.delete(name);
      const marked = await marks.idOf(owner);
      const [found] = marked === undefined
        ? (await lookup.byName(name, { isScan: true })).filter(isInternal)
        : await lookup.read([marked]);
      if (found && spec.subnet && !hasSubnet(found, spec.subnet)) {
        return log.warn("an HCN network of another subnet stays", { network: name, subnets: found.subnets });
      }
      const id = found?.id ?? marked;
      if (id !== undefined) {
        await clear(id);
        await this.remove(id, clear);
        log.info("HCN network removed", { network: name, id });
      }
      await marks.remove(owner);
    });
  }

  /** Deletes a network; if something still refers to it, once more without its endpoints. */
  async remove(id: Guid, clear: (network: Guid) => Promise<void>): Promise<void> {
    const { hns } = this.#options;
    try {
      await hns.delete("Network", id);
    } catch (error) {
      if (!isHcn(error, "has-references")) throw error;
      await clear(id);
      await hns.delete("Network", id);
    }
  }

  #wish(spec: ContainerNetworkSpec): Wish {
    const adapter = this.#options.uplinkAdapter?.trim();
    const isBridged = spec.service === undefined && adapter !== undefined && adapter !== "";
    return {
      owner: markerOwner(spec),
      name: networkName(spec),
      subnet: checkHcnSubnet(spec.subnet),
      ...(isBridged ? { uplinkAdapter: adapter } : {}),
    };
  }

  #remembered({ name, subnet }: Wish): KnownNetwork | undefined {
    const known = this.#known.get(name);
    return known && prefixEquals(known.subnet, subnet) ? known : undefined;
  }

  async #ensure(wish: Wish): Promise<KnownNetwork> {
    const marked = await this.#marked(wish);
    const network = marked.network ?? await this.#adopt(wish, { isScan: false }) ??
      await this.#create(wish, marked.vacant);
    await this.#admit(network);
    this.#known.set(wish.name, network);
    return network;
  }

  /** The network that the marker knows, if it is still what is wanted; or the id of one that is gone. */
  async #marked(wish: Wish): Promise<{ readonly network?: KnownNetwork; readonly vacant?: Guid }> {
    const { hns, marks } = this.#options;
    const entry = await marks.entryOf(wish.owner);
    const id = entry && parseGuid(entry.id);
    if (!entry || id === undefined) return {};
    const text = await hns.read("Network", id);
    // One of an earlier deployment is another network.
    if (text === undefined) return entry.name === wish.name ? { vacant: id } : {};
    const reading = readNetwork(text);
    if (reading.name !== wish.name || !hasSubnet(reading, wish.subnet) || !isAdoptable(reading, wish)) {
      return {};
    }
    await marks.enter(wish, id, reading.type);
    return { network: knownFrom(wish, { id, type: reading.type }) };
  }

  /** A network of the name, if there is one that is or can be made what is wanted. */
  async #adopt(wish: Wish, how: { readonly isScan: boolean }): Promise<KnownNetwork | undefined> {
    const { lookup, marks, log } = this.#options;
    const same = await lookup.byName(wish.name, how);
    const foreign = same.find((network) => !isAdoptable(network, wish));
    if (foreign) {
      const isOwnOnce = isTransparent(foreign) && wish.owner === markerOwner({});
      const remedy = isOwnOnce
        ? "set ZLAYER_HCN_UPLINK_ADAPTER to its adapter, or remove it"
        : "it is not of this daemon's making: remove it, or choose another deployment name";
      throw new PreconditionError(
        `an HCN network ${wish.name} of type ${typeText(foreign)} is there (${foreign.id}); ${remedy}`,
      );
    }
    const fit = same.find((network) => hasSubnet(network, wish.subnet));
    if (!fit) {
      for (const network of same) await this.#removeUnused(network, wish);
      return undefined;
    }
    await marks.enter(wish, fit.id, fit.type);
    log.info("HCN network adopted", { network: wish.name, id: fit.id });
    return knownFrom(wish, fit);
  }

  /** A network of ours with an earlier slice goes if nothing is on it. */
  async #removeUnused(network: FoundNetwork, wish: Wish): Promise<void> {
    const { hns, lookup, log } = this.#options;
    const endpoints = await lookup.endpointsOn(network.id);
    if (endpoints.length > 0) {
      throw new PreconditionError(
        `HCN network ${wish.name} has subnet ${network.subnets.join(", ") || "unknown"} and ` +
          `${endpoints.length} endpoints, but ${
            formatPrefix(wish.subnet)
          } is wanted: stop the containers on it first`,
      );
    }
    await hns.delete("Network", network.id);
    log.info("HCN network of another subnet removed", { network: wish.name, subnets: network.subnets });
  }

  /** A network without a way to the tunnel is still one: its containers reach each other. */
  async #admit({ name, subnet, isBridged }: KnownNetwork): Promise<void> {
    const { devices, log } = this.#options;
    if (isBridged) return;
    await devices?.admitAdapter(gatewayOf(subnet)).catch((error) =>
      log.warn("packets may not pass between the network and the tunnel", {
        network: name,
        err: describeError(error),
      })
    );
  }

  /** @param vacant Id of the network that was there before: whoever knows the one knows the other then. */
  async #create(wish: Wish, vacant: Guid | undefined): Promise<KnownNetwork> {
    const { devices } = this.#options;
    if (wish.uplinkAdapter !== undefined) return await this.#make(wish, vacant);
    const gateway = gatewayOf(wish.subnet);
    await devices?.yieldAddress(gateway);
    try {
      return await this.#make(wish, vacant);
    } catch (error) {
      devices?.reclaimAddress(gateway);
      throw error;
    }
  }

  async #make(wish: Wish, vacant: Guid | undefined): Promise<KnownNetwork> {
    const { hns, marks, clock, log, newId } = this.#options;
    const id = vacant ?? newId();
    const mode = wish.uplinkAdapter === undefined ? "internal" : "transparent";
    const what = `cannot create HCN ${mode} network ${wish.name}`;
    // First the marker: whatever happens from here on, an uninstall finds the network.
    const unmark = await marks.enter(wish, id, mode);
    try {
      await using _network = await hns.create("Network", id, { settings: networkDocument(wish), what });
    } catch (error) {
      // Somebody was faster, or an earlier attempt of ours came through after all.
      const adopted = isHcn(error, "already-exists") && await this.#adopt(wish, { isScan: true });
      if (adopted) return adopted;
      if (isRefusal(error)) await unmark();
      if (vacant !== undefined && isHcn(error, "error", "already-exists")) {
        return await this.#make(wish, undefined);
      }
      throw error;
    }
    log.info("HCN network made", { network: wish.name, id, subnet: formatPrefix(wish.subnet) });
    return { ...knownFrom(wish, { id, type: mode }), madeAtMs: clock.monotonicMs() };
  }
}

function knownFrom(
  { name, subnet }: Wish,
  network: Pick<FoundNetwork, "id" | "type">,
): KnownNetwork {
  return { id: network.id, name, subnet, isBridged: isTransparent(network) };
}

function hasSubnet({ subnets }: NetworkReading, wanted: IpPrefix): boolean {
  return subnets.some((text) => {
    const prefix = parsePrefix(text);
    return prefix !== undefined && prefixEquals(prefix, wanted);
  });
}

function isAdoptable(network: NetworkReading, { uplinkAdapter }: Wish): boolean {
  return isInternal(network) || (uplinkAdapter !== undefined && isTransparent(network));
}

/** HCN does not name the type NAT. */
function typeText({ type }: NetworkReading): string {
  return type === "" ? "NAT" : quote(type);
}
