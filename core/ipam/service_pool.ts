/**
 * The pool of one service's subnet on this node: the lowest free address first.
 *
 * IPv4 hands out host addresses (not network and broadcast; both addresses of a /31, the one of a /32), IPv6
 * everything but the network address. A bridge's own address is reserved: never handed out, never released.
 */

import { AlreadyExistsError, InvalidConfigError, PoolExhaustedError } from "../errors.ts";
import { familyBits, formatIp, ipAdd, type IpAddress } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, networkAddress, prefixContains } from "../ip/prefix.ts";
import { FreeRanges } from "./free_ranges.ts";

/** Counters stop here, as they travel in 32 bits. */
const COUNTER_MAX = 0xffff_ffffn;

/** Addresses of one subnet. */
export class ServicePool {
  readonly #network: IpAddress;
  /** Offsets from the network address that `allocate` walks. */
  readonly #hosts: { readonly first: bigint; readonly last: bigint };
  readonly #free: FreeRanges;
  readonly #reserved = new Set<bigint>();
  #allocated = 0n;

  /**
   * @param subnet Host bits are kept for messages and ignored otherwise.
   * @param bridge Name of the bridge, for messages.
   */
  constructor(readonly subnet: IpPrefix, readonly bridge: string) {
    this.#network = networkAddress(subnet);
    this.#hosts = hostOffsets(subnet);
    this.#free = new FreeRanges(0n, subnetSize(subnet) - 1n);
  }

  /**
   * A pool whose first host address is the bridge's own.
   *
   * @throws {PoolExhaustedError} If the subnet has no host address.
   */
  static forBridge(subnet: IpPrefix, bridge: string): ServicePool {
    const pool = new ServicePool(subnet, bridge);
    pool.reserve(pool.allocateFirst());
    return pool;
  }

  /** How many addresses there are, at most 4294967295; 0 for a /31, a /32 and a /128, as it always was. */
  get total(): number {
    const size = subnetSize(this.subnet);
    const hosts = this.subnet.address.family === 6 ? size - 1n : size < 4n ? 0n : size - 2n;
    return Number(hosts < COUNTER_MAX ? hosts : COUNTER_MAX);
  }

  /** How many addresses are taken, reserved ones included. */
  get allocated(): number {
    return Number(this.#allocated);
  }

  /** `total` less `allocated`, never below 0. */
  get available(): number {
    return Math.max(0, this.total - this.allocated);
  }

  /**
   * Hands out the lowest free address.
   *
   * @throws {PoolExhaustedError}
   */
  allocate(): IpAddress {
    const offset = this.#free.lowest(this.#hosts.first);
    if (offset === undefined || offset > this.#hosts.last) throw this.#exhausted();
    return this.#take(offset);
  }

  /**
   * Hands out the first host address.
   *
   * @throws {AlreadyExistsError} If it is taken.
   * @throws {PoolExhaustedError} If the subnet has no host address.
   */
  allocateFirst(): IpAddress {
    if (this.#hosts.first > this.#hosts.last) throw this.#exhausted();
    const first = ipAdd(this.#network, this.#hosts.first);
    this.allocateSpecific(first);
    return first;
  }

  /**
   * Hands out this very address; the network and broadcast addresses are accepted.
   *
   * @throws {InvalidConfigError} If it lies outside the subnet.
   * @throws {AlreadyExistsError} If it is taken.
   */
  allocateSpecific(ip: IpAddress): void {
    const offset = this.#offsetOf(ip);
    if (!this.#free.isFree(offset)) {
      throw new AlreadyExistsError(`${formatIp(ip)} is already allocated in ${formatPrefix(this.subnet)}`);
    }
    this.#take(offset);
  }

  /**
   * Marks an address as taken, as when leases are read back; repeating it is fine.
   *
   * @throws {InvalidConfigError} If it lies outside the subnet.
   */
  markAllocated(ip: IpAddress): void {
    const offset = this.#offsetOf(ip);
    if (this.#free.isFree(offset)) this.#take(offset);
  }

  /**
   * Marks an address as taken for good: {@linkcode release} refuses it.
   *
   * @throws {InvalidConfigError} If it lies outside the subnet.
   */
  reserve(ip: IpAddress): void {
    this.markAllocated(ip);
    this.#reserved.add(this.#offsetOf(ip));
  }

  /**
   * Takes an address back.
   *
   * @returns Whether it was handed out; a reserved or any other address changes nothing.
   */
  release(ip: IpAddress): boolean {
    if (!prefixContains(this.subnet, ip)) return false;
    const offset = this.#offsetOf(ip);
    if (this.#reserved.has(offset) || !this.#free.free(offset)) return false;
    this.#allocated--;
    return true;
  }

  /** Whether the address is taken. */
  isAllocated(ip: IpAddress): boolean {
    return prefixContains(this.subnet, ip) && !this.#free.isFree(this.#offsetOf(ip));
  }

  #take(offset: bigint): IpAddress {
    this.#free.take(offset);
    this.#allocated++;
    return ipAdd(this.#network, offset);
  }

  #offsetOf(ip: IpAddress): bigint {
    if (prefixContains(this.subnet, ip)) return ip.value - this.#network.value;
    throw new InvalidConfigError(`${formatIp(ip)} is outside subnet ${formatPrefix(this.subnet)}`);
  }

  #exhausted(): PoolExhaustedError {
    return new PoolExhaustedError(
      `service bridge ${this.bridge} subnet ${formatPrefix(this.subnet)} exhausted`,
    );
  }
}

function subnetSize(subnet: IpPrefix): bigint {
  return 1n << BigInt(familyBits(subnet.address.family) - subnet.length);
}

function hostOffsets(subnet: IpPrefix): { first: bigint; last: bigint } {
  const last = subnetSize(subnet) - 1n;
  if (subnet.address.family === 6) return { first: 1n, last };
  return last < 2n ? { first: 0n, last } : { first: 1n, last: last - 1n };
}
