/**
 * Which subnet of the cluster a service has on a node.
 *
 * A pair (service, node) hashes to a slot of the cluster's prefix; a slot that is taken passes it on to the
 * next one. Every node computes the same without asking the others, as long as the tables are alike, so the
 * hash, the slot numbering and the probing are part of the contract.
 */

import { AlreadyExistsError, InvalidConfigError, PoolExhaustedError } from "../errors.ts";
import { fnv1a64 } from "../hash/fnv.ts";
import { familyBits, formatIp, ipAdd, type IpAddress } from "../ip/address.ts";
import {
  canonicalPrefix,
  formatPrefix,
  type IpPrefix,
  lastAddress,
  networkAddress,
  prefixCovers,
  prefixEquals,
  prefixesOverlap,
} from "../ip/prefix.ts";
import { quote } from "../quote.ts";
import { compareUtf8 } from "../utf8_order.ts";

/** Stands between service and node in the hashed bytes, so that (a, bc) and (ab, c) differ. */
const SEPARATOR = "\x1f";
const U64_MAX = (1n << 64n) - 1n;

/** One row of the table. */
export interface SubnetAssignment {
  readonly service: string;
  readonly node: string;
  /** Host bits clear. */
  readonly subnet: IpPrefix;
}

/** Options of {@linkcode ServiceSubnetRegistry}. */
export interface SubnetRegistryOptions {
  /** Prefixes that are used otherwise: a slot that overlaps one is passed over as if taken. */
  readonly exclude?: readonly IpPrefix[];
}

/** The table for one cluster. */
export class ServiceSubnetRegistry {
  readonly #network: IpAddress;
  /** Bits to shift a slot number by. */
  readonly #shift: bigint;
  readonly #slots: bigint;
  readonly #byPair = new Map<string, SubnetAssignment>();
  /** Pair that holds a subnet, by network address. */
  readonly #holders = new Map<bigint, string>();
  #excluded: readonly IpPrefix[];

  /**
   * @param cluster Host bits are kept for messages and snapshots and ignored otherwise.
   * @param subnetLength Prefix length of every subnet: 28 or 120 in the daemon.
   * @throws {InvalidConfigError} If the subnet is no part of such a cluster.
   */
  constructor(
    readonly cluster: IpPrefix,
    readonly subnetLength: number,
    options: SubnetRegistryOptions = {},
  ) {
    checkSubnetLength(cluster, subnetLength);
    this.#network = networkAddress(cluster);
    this.#shift = BigInt(familyBits(cluster.address.family) - subnetLength);
    const bits = subnetLength - cluster.length;
    // The hash has 64 bits, so more slots than it can name do not count.
    this.#slots = bits >= 64 ? U64_MAX : 1n << BigInt(bits);
    this.#excluded = options.exclude ?? [];
  }

  /** Replaces the excluded prefixes; subnets already assigned stay. */
  exclude(prefixes: readonly IpPrefix[]): void {
    this.#excluded = prefixes;
  }

  /**
   * The subnet of the pair: the one it has, else the first free slot from its own on.
   *
   * @param node Decimal node id, or any text that names the node.
   * @throws {PoolExhaustedError}
   */
  assign(service: string, node: string): IpPrefix {
    const subnet = this.get(service, node) ?? this.#probe(service, node);
    this.#hold({ service, node, subnet });
    return subnet;
  }

  #probe(service: string, node: string): IpPrefix {
    const hash = fnv1a64(new TextEncoder().encode(service + SEPARATOR + node));
    let slot = hash % this.#slots;
    for (let probed = 0n; probed < this.#slots;) {
      const subnet = this.#subnetAt(slot);
      const step = this.#slotsToSkip(subnet);
      if (step === 0n) return subnet;
      probed += step;
      slot = (slot + step) % this.#slots;
    }
    throw new PoolExhaustedError(
      `service subnets of ${formatPrefix(this.cluster)} exhausted: no /${this.subnetLength} for service ` +
        `${quote(service)} on node ${quote(node)} (No available IP addresses in CIDR range)`,
    );
  }

  /** 0 if the slot is free, else how far to go on: past the whole of an excluded prefix at once. */
  #slotsToSkip(subnet: IpPrefix): bigint {
    const barrier = this.#excluded.find((prefix) => prefixesOverlap(prefix, subnet));
    if (barrier === undefined) return this.#holders.has(subnet.address.value) ? 1n : 0n;
    const skipped = ((lastAddress(barrier).value - subnet.address.value) >> this.#shift) + 1n;
    // The prefix may reach beyond the cluster, or beyond the slots that the hash can name.
    const left = this.#slots - this.#slotOf(subnet);
    return skipped < left ? skipped : left;
  }

  #slotOf(subnet: IpPrefix): bigint {
    return (subnet.address.value - this.#network.value) >> this.#shift;
  }

  #subnetAt(slot: bigint): IpPrefix {
    return { address: ipAdd(this.#network, slot << this.#shift), length: this.subnetLength };
  }

  #hold(assignment: SubnetAssignment): void {
    const key = pairKey(assignment.service, assignment.node);
    this.#byPair.set(key, assignment);
    this.#holders.set(assignment.subnet.address.value, key);
  }

  /** The subnet that the pair has. */
  get(service: string, node: string): IpPrefix | undefined {
    return this.#byPair.get(pairKey(service, node))?.subnet;
  }

  /**
   * Enters an assignment made earlier, wherever probing put it then; repeating it is fine.
   *
   * @throws {InvalidConfigError} If the subnet has another length or lies outside the cluster.
   * @throws {AlreadyExistsError} If another pair holds it, or the pair holds another.
   */
  adopt(service: string, node: string, subnet: IpPrefix): void {
    if (subnet.length !== this.subnetLength || !prefixCovers(this.cluster, subnet)) {
      throw new InvalidConfigError(
        `subnet ${formatPrefix(subnet)} of service ${quote(service)} is not a /${this.subnetLength} ` +
          `of cluster ${formatPrefix(this.cluster)}`,
      );
    }
    const wanted = canonicalPrefix(subnet);
    const held = this.get(service, node);
    if (held && prefixEquals(held, wanted)) return;
    const holder = this.#byPair.get(this.#holders.get(wanted.address.value) ?? "");
    if (held || holder) {
      throw new AlreadyExistsError(
        `cannot give ${formatPrefix(wanted)} to service ${quote(service)} on node ${quote(node)}: ` +
          (held ? `it has ${formatPrefix(held)}` : `service ${quote(holder!.service)} has it`),
      );
    }
    this.#hold({ service, node, subnet: wanted });
  }

  /** Frees the pair's subnet and returns it; the others stay where they are. */
  release(service: string, node: string): IpPrefix | undefined {
    const key = pairKey(service, node);
    const subnet = this.#byPair.get(key)?.subnet;
    if (subnet === undefined) return undefined;
    this.#byPair.delete(key);
    this.#holders.delete(subnet.address.value);
    return subnet;
  }

  /** All assignments, sorted by the bytes of service and node. */
  assignments(): SubnetAssignment[] {
    return [...this.#byPair.values()].sort((a, b) =>
      compareUtf8(a.service, b.service) || compareUtf8(a.node, b.node)
    );
  }
}

/** The address of a service's gateway: the first of its subnet. */
export function gatewayOf(subnet: IpPrefix): IpAddress {
  return ipAdd(networkAddress(subnet), 1n);
}

/** JSON, since no separator is safe from names. */
function pairKey(service: string, node: string): string {
  return JSON.stringify([service, node]);
}

function checkSubnetLength(cluster: IpPrefix, subnetLength: number): void {
  const max = familyBits(cluster.address.family);
  const problem = subnetLength > max
    ? `slice prefix /${subnetLength} exceeds address family max /${max}`
    : subnetLength <= cluster.length
    ? `slice prefix /${subnetLength} must be more specific than cluster prefix /${cluster.length}`
    : undefined;
  if (problem === undefined) return;
  throw new InvalidConfigError(
    `cannot cut service subnets from cluster ${formatIp(cluster.address)}/${cluster.length}: ${problem}`,
  );
}
