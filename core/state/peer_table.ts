/**
 * Recorded peers by key, by service, and by the prefixes they own: with a thousand of them nothing that concerns
 * one may cost a walk over all.
 */

import { canonicalPrefix, formatPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import type { PeerRecord } from "./records.ts";

/** Key of a peer in a {@linkcode PeerTable}. */
export function peerKey(service: string, publicKey: string): string {
  return `${service}\u0000${publicKey}`;
}

/** What can be asked of a table. */
export interface PeerView extends ReadonlyMap<string, PeerRecord> {
  /** Peers of one device, in the order they came. */
  ofService(service: string): PeerRecord[];
  /** The peer of that device whose allowed IPs have exactly this prefix, host bits ignored. */
  ownerOf(service: string, prefix: IpPrefix): PeerRecord | undefined;
}

/** Peers of one device. */
interface Group {
  readonly peers: Map<string, PeerRecord>;
  /** Canonical text of a prefix to the public key of its owner: the record that got it last. */
  readonly owners: Map<string, string>;
}

/** See the module. Keys are those of {@linkcode peerKey}. */
export class PeerTable extends Map<string, PeerRecord> implements PeerView {
  readonly #groups = new Map<string, Group>();

  ofService(service: string): PeerRecord[] {
    return [...this.#groups.get(service)?.peers.values() ?? []];
  }

  ownerOf(service: string, prefix: IpPrefix): PeerRecord | undefined {
    const group = this.#groups.get(service);
    const owner = group?.owners.get(textOf(prefix));
    return owner === undefined ? undefined : group!.peers.get(owner);
  }

  /** Puts a record, in the place of the one that it replaces. */
  put(record: PeerRecord): void {
    this.set(peerKey(record.service, record.publicKey), record);
  }

  override set(key: string, record: PeerRecord): this {
    let group = this.#groups.get(record.service);
    if (!group) this.#groups.set(record.service, group = { peers: new Map(), owners: new Map() });
    disown(group, group.peers.get(record.publicKey));
    group.peers.set(record.publicKey, record);
    for (const text of prefixTexts(record)) group.owners.set(text, record.publicKey);
    return super.set(key, record);
  }

  override delete(key: string): boolean {
    const record = this.get(key);
    const group = record && this.#groups.get(record.service);
    if (group) {
      disown(group, record);
      group.peers.delete(record!.publicKey);
      if (group.peers.size === 0) this.#groups.delete(record!.service);
    }
    return super.delete(key);
  }

  override clear(): void {
    this.#groups?.clear();
    super.clear();
  }
}

/** Prefixes that went to another peer meanwhile stay that one's. */
function disown({ owners }: Group, record: PeerRecord | undefined): void {
  if (!record) return;
  for (const text of prefixTexts(record)) if (owners.get(text) === record.publicKey) owners.delete(text);
}

function prefixTexts({ allowedIps }: PeerRecord): string[] {
  return allowedIps.map((cidr) => textOf(parsePrefix(cidr)!));
}

function textOf(prefix: IpPrefix): string {
  return formatPrefix(canonicalPrefix(prefix));
}
