/**
 * A table from prefixes to values with longest-prefix match: routes, allowed IPs.
 *
 * One map per prefix length, asked from the longest length in use to the shortest: at most 33 or 129 look-ups
 * of a number, whatever the table holds. Meant for control work, not for a look-up per packet.
 */

import { familyBits, type IpAddress } from "./address.ts";
import { type IpPrefix, networkAddress } from "./prefix.ts";

/** A prefix, host bits clear, and its value. */
export interface PrefixEntry<V> {
  readonly prefix: IpPrefix;
  readonly value: V;
}

/** Prefixes of one length: network address to value. */
interface LengthBucket<V> {
  readonly length: number;
  readonly values: Map<bigint, V>;
}

/** Values by prefix; IPv4 and IPv6 live side by side. Host bits of a prefix never count. */
export class PrefixTable<V> {
  /** Per family, longest length first. */
  readonly #buckets: Readonly<Record<4 | 6, LengthBucket<V>[]>> = { 4: [], 6: [] };

  /** How many prefixes there are. */
  get size(): number {
    return [...this.#all()].reduce((sum, { bucket }) => sum + bucket.values.size, 0);
  }

  /**
   * Gives a prefix to a value.
   *
   * @returns The value that held the very same prefix and has lost it: a prefix has one owner.
   */
  set(prefix: IpPrefix, value: V): V | undefined {
    const values = this.#bucketFor(prefix).values;
    const key = networkAddress(prefix).value;
    const former = values.get(key);
    values.set(key, value);
    return former;
  }

  /** The value of exactly this prefix. */
  get(prefix: IpPrefix): V | undefined {
    return this.#existing(prefix)?.values.get(networkAddress(prefix).value);
  }

  /** Removes exactly this prefix and returns its value. */
  delete(prefix: IpPrefix): V | undefined {
    const bucket = this.#existing(prefix);
    const key = networkAddress(prefix).value;
    const former = bucket?.values.get(key);
    bucket?.values.delete(key);
    return former;
  }

  /** Removes every prefix of the value and returns them. */
  deleteValue(value: V): IpPrefix[] {
    const gone = [...this.entries()].filter((entry) => entry.value === value).map((entry) => entry.prefix);
    for (const prefix of gone) this.delete(prefix);
    return gone;
  }

  /** The longest prefix that holds the address, and its value. */
  lookup(ip: IpAddress): PrefixEntry<V> | undefined {
    const bits = familyBits(ip.family);
    for (const { length, values } of this.#buckets[ip.family]) {
      const host = BigInt(bits - length);
      const network = (ip.value >> host) << host;
      const value = values.get(network);
      if (value !== undefined || values.has(network)) {
        return { prefix: { address: { family: ip.family, value: network }, length }, value: value as V };
      }
    }
    return undefined;
  }

  /** All entries: IPv4 first, longest prefixes first, then in order of insertion. */
  *entries(): IterableIterator<PrefixEntry<V>> {
    for (const { family, bucket } of this.#all()) {
      for (const [network, value] of bucket.values) {
        yield { prefix: { address: { family, value: network }, length: bucket.length }, value };
      }
    }
  }

  *#all(): IterableIterator<{ family: 4 | 6; bucket: LengthBucket<V> }> {
    for (const family of [4, 6] as const) {
      for (const bucket of this.#buckets[family]) yield { family, bucket };
    }
  }

  #existing(prefix: IpPrefix): LengthBucket<V> | undefined {
    return this.#buckets[prefix.address.family].find((bucket) => bucket.length === prefix.length);
  }

  #bucketFor(prefix: IpPrefix): LengthBucket<V> {
    const existing = this.#existing(prefix);
    if (existing) return existing;
    const bucket: LengthBucket<V> = { length: prefix.length, values: new Map() };
    const buckets = this.#buckets[prefix.address.family];
    buckets.push(bucket);
    buckets.sort((a, b) => b.length - a.length);
    return bucket;
  }
}
