/**
 * The pool of this node's own addresses: the device's, those of guests, the second ones of containers.
 *
 * Fresh addresses are handed out in order and that order never goes back; a released address is reused first,
 * the last released of several before the others. So an address that just left a container is still the most
 * likely next one, which the callers of the daemon have come to expect.
 */

import { PoolExhaustedError } from "../errors.ts";
import { familyBits, formatIp, ipAdd, type IpAddress } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, networkAddress, prefixContains } from "../ip/prefix.ts";

/** Addresses of one prefix. */
export class NodePool {
  readonly #network: IpAddress;
  /** Highest offset from the network that may be handed out; less than 1 if none may. */
  readonly #lastOffset: bigint;
  /** Offset of the next fresh address. */
  #next = 1n;
  /** Released offsets, the last one on top. */
  #released: bigint[] = [];
  readonly #taken = new Set<bigint>();

  /** @param slice Host bits are kept for messages and ignored otherwise. */
  constructor(readonly slice: IpPrefix) {
    this.#network = networkAddress(slice);
    const size = 1n << BigInt(familyBits(slice.address.family) - slice.length);
    // IPv4 keeps its broadcast address; IPv6 has none.
    this.#lastOffset = slice.address.family === 4 ? size - 2n : size - 1n;
  }

  /** How many addresses are handed out. */
  get allocated(): number {
    return this.#taken.size;
  }

  /**
   * Hands out the last released address, else the next fresh one.
   *
   * @throws {PoolExhaustedError}
   */
  allocate(): IpAddress {
    const offset = this.#released.pop() ?? this.#nextFresh();
    this.#taken.add(offset);
    return ipAdd(this.#network, offset);
  }

  /** Only called when nothing released is left, so an offset ahead of the fresh ones is free or taken. */
  #nextFresh(): bigint {
    while (this.#taken.has(this.#next)) this.#next++;
    if (this.#next > this.#lastOffset) {
      const next = formatIp(ipAdd(this.#network, this.#next));
      throw new PoolExhaustedError(
        `IP allocator exhausted: next address ${next} is outside slice ${formatPrefix(this.slice)}`,
      );
    }
    return this.#next++;
  }

  /**
   * Takes an address back.
   *
   * @returns Whether it was handed out; any other address changes nothing.
   */
  release(ip: IpAddress): boolean {
    const offset = this.#offsetOf(ip);
    if (offset === undefined || !this.#taken.delete(offset)) return false;
    this.#released.push(offset);
    return true;
  }

  /**
   * Marks an address as handed out, as when leases are read back; repeating it is fine.
   *
   * @returns False if the pool never hands out such an address.
   */
  reserve(ip: IpAddress): boolean {
    const offset = this.#offsetOf(ip);
    if (offset === undefined) return false;
    this.#released = this.#released.filter((one) => one !== offset);
    this.#taken.add(offset);
    return true;
  }

  /** Whether the address is handed out. */
  isAllocated(ip: IpAddress): boolean {
    const offset = this.#offsetOf(ip);
    return offset !== undefined && this.#taken.has(offset);
  }

  /** Offset of an address that the pool can hand out. */
  #offsetOf(ip: IpAddress): bigint | undefined {
    if (!prefixContains(this.slice, ip)) return undefined;
    const offset = ip.value - this.#network.value;
    return offset >= 1n && offset <= this.#lastOffset ? offset : undefined;
  }
}
