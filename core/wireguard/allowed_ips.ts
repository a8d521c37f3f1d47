/**
 * Allowed IPs: which peer owns an address. Longest prefix wins; a prefix belongs to one peer at a time and moves
 * when it is given to another.
 *
 * A path-compressed binary trie for each family. Nodes keep their prefix in four words of 32 bits (IPv4 uses the
 * first), so that a lookup reads the address from the packet and allocates nothing.
 *
 * @see WireGuard paper §2 (cryptokey routing).
 */

import { ipToBytes } from "../ip/address.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix } from "../ip/prefix.ts";
import { IPV4_DESTINATION, IPV4_SOURCE, IPV6_DESTINATION, IPV6_SOURCE, ipVersion } from "./ip_packet.ts";

/** Four words, the most significant first, and how many bits of them count. */
interface Key {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly length: number;
}

class Node<T> implements Key {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly length: number;
  owner: T | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;

  constructor(key: Key, length: number, owner: T | undefined) {
    this.a = key.a & mask(length);
    this.b = key.b & mask(length - 32);
    this.c = key.c & mask(length - 64);
    this.d = key.d & mask(length - 96);
    this.length = length;
    this.owner = owner;
    this.zero = undefined;
    this.one = undefined;
  }
}

/** Owners of prefixes of both families. */
export class AllowedIps<T extends object> {
  readonly #tries = { 4: new Trie<T>(), 6: new Trie<T>() };
  readonly #prefixes = new Map<T, Map<string, IpPrefix>>();

  /** Gives a prefix, host bits ignored, to an owner; the owner it had loses it. */
  insert(prefix: IpPrefix, owner: T): void {
    const canonical = canonicalPrefix(prefix);
    const text = formatPrefix(canonical);
    const before = this.#tries[prefix.address.family].insert(keyOf(canonical), owner);
    if (before !== undefined && before !== owner) this.#prefixes.get(before)?.delete(text);
    let mine = this.#prefixes.get(owner);
    if (mine === undefined) this.#prefixes.set(owner, mine = new Map());
    mine.set(text, canonical);
  }

  /** Takes a prefix from an owner. @returns False if it was not the owner's. */
  remove(prefix: IpPrefix, owner: T): boolean {
    const canonical = canonicalPrefix(prefix);
    if (!this.#prefixes.get(owner)?.delete(formatPrefix(canonical))) return false;
    this.#tries[prefix.address.family].remove(keyOf(canonical));
    return true;
  }

  /** Takes all prefixes from an owner. */
  removeAll(owner: T): void {
    for (const prefix of this.prefixes(owner)) {
      this.#tries[prefix.address.family].remove(keyOf(prefix));
    }
    this.#prefixes.delete(owner);
  }

  /** Prefixes of an owner, without host bits, in the order they were given. */
  prefixes(owner: T): IpPrefix[] {
    return [...this.#prefixes.get(owner)?.values() ?? []];
  }

  /** The owner of the destination of a packet; undefined if nobody owns it or it is no IP packet. */
  lookupDestination(buffer: Uint8Array, offset: number, available: number): T | undefined {
    switch (ipVersion(buffer, offset, available)) {
      case 4:
        return this.#tries[4].lookup32(word(buffer, offset + IPV4_DESTINATION));
      case 6:
        return this.#lookup128(buffer, offset + IPV6_DESTINATION);
      default:
        return undefined;
    }
  }

  /** The owner of the source of a packet; undefined if nobody owns it or it is no IP packet. */
  lookupSource(buffer: Uint8Array, offset: number, available: number): T | undefined {
    switch (ipVersion(buffer, offset, available)) {
      case 4:
        return this.#tries[4].lookup32(word(buffer, offset + IPV4_SOURCE));
      case 6:
        return this.#lookup128(buffer, offset + IPV6_SOURCE);
      default:
        return undefined;
    }
  }

  #lookup128(buffer: Uint8Array, at: number): T | undefined {
    const a = word(buffer, at);
    const b = word(buffer, at + 4);
    return this.#tries[6].lookup128(a, b, word(buffer, at + 8), word(buffer, at + 12));
  }
}

/** One family. */
class Trie<T> {
  #root: Node<T> | undefined;

  lookup32(a: number): T | undefined {
    let found: T | undefined;
    let node = this.#root;
    while (node !== undefined && Math.clz32(node.a ^ a) >= node.length) {
      if (node.owner !== undefined) found = node.owner;
      if (node.length === 32) break;
      node = (a << node.length) < 0 ? node.one : node.zero;
    }
    return found;
  }

  lookup128(a: number, b: number, c: number, d: number): T | undefined {
    let found: T | undefined;
    let node = this.#root;
    while (node !== undefined && common(node, a, b, c, d) >= node.length) {
      if (node.owner !== undefined) found = node.owner;
      if (node.length === 128) break;
      node = bitOf(node.length, a, b, c, d) ? node.one : node.zero;
    }
    return found;
  }

  /** @returns The owner that the prefix had. */
  insert(key: Key, owner: T): T | undefined {
    let parent: Node<T> | undefined;
    let node = this.#root;
    while (node !== undefined) {
      const shared = Math.min(common(node, key.a, key.b, key.c, key.d), node.length, key.length);
      if (shared < node.length) {
        this.#link(parent, key, split(node, key, { shared, owner }));
        return undefined;
      }
      if (key.length === node.length) {
        const before = node.owner;
        node.owner = owner;
        return before;
      }
      parent = node;
      node = child(node, key);
    }
    this.#link(parent, key, new Node(key, key.length, owner));
    return undefined;
  }

  remove(key: Key): void {
    const path: Node<T>[] = [];
    let node = this.#root;
    while (node !== undefined && node.length < key.length) {
      path.push(node);
      node = child(node, key);
    }
    if (node === undefined || node.length !== key.length) return;
    node.owner = undefined;
    // A node without owner is of use only where two ways part; its removal may make its parent useless.
    for (let at: Node<T> | undefined = node; at !== undefined && isIdle(at);) {
      const parent = path.pop();
      this.#link(parent, key, at.zero ?? at.one);
      at = parent;
    }
  }

  #link(parent: Node<T> | undefined, key: Key, node: Node<T> | undefined): void {
    if (parent === undefined) this.#root = node;
    else if (bitOf(parent.length, key.a, key.b, key.c, key.d)) parent.one = node;
    else parent.zero = node;
  }
}

/** A node for the bits that an old node and a new prefix share, with both below it. */
function split<T>(
  node: Node<T>,
  key: Key,
  { shared, owner }: { readonly shared: number; readonly owner: T },
): Node<T> {
  const above = new Node<T>(key, shared, shared === key.length ? owner : undefined);
  const below = shared === key.length ? undefined : new Node(key, key.length, owner);
  const nodeIsOne = bitOf(shared, node.a, node.b, node.c, node.d);
  above.zero = nodeIsOne ? below : node;
  above.one = nodeIsOne ? node : below;
  return above;
}

function child<T>(node: Node<T>, key: Key): Node<T> | undefined {
  return bitOf(node.length, key.a, key.b, key.c, key.d) ? node.one : node.zero;
}

function isIdle<T>(node: Node<T>): boolean {
  return node.owner === undefined && (node.zero === undefined || node.one === undefined);
}

/** How many leading bits a prefix and an address share, 0 to 128. */
function common(key: Key, a: number, b: number, c: number, d: number): number {
  if (key.a !== a) return Math.clz32(key.a ^ a);
  if (key.b !== b) return 32 + Math.clz32(key.b ^ b);
  if (key.c !== c) return 64 + Math.clz32(key.c ^ c);
  return 96 + Math.clz32(key.d ^ d);
}

/** Bit at a position counted from the left, 0 to 127. */
function bitOf(position: number, a: number, b: number, c: number, d: number): boolean {
  const word = position < 64 ? (position < 32 ? a : b) : (position < 96 ? c : d);
  return (word << (position & 31)) < 0;
}

/** A word with so many leading ones; all for 32 and more, none for 0 and less. */
function mask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

function keyOf(prefix: IpPrefix): Key {
  const bytes = new Uint8Array(16);
  bytes.set(ipToBytes(prefix.address));
  return {
    a: word(bytes, 0),
    b: word(bytes, 4),
    c: word(bytes, 8),
    d: word(bytes, 12),
    length: prefix.length,
  };
}

/** Four bytes in network order as a signed word. */
function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
