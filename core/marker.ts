/**
 * The marker `agent_network.json`: what outlives this process on the host (HCN networks, identities of
 * dedicated WireGuard devices), as a value and as text.
 *
 * The caller's own binary reads the file when it is uninstalled, so keys, their order and the layout are its
 * contract. The file itself is `marker_file.ts`'s.
 */

import { z } from "zod";
import { decodeJson } from "./json.ts";
import { interfaceNameProblem } from "./network/validate.ts";
import { decodeKeyPair, encodeKey, type KeyPair } from "./wireguard/keys.ts";

/** What made an entry, and so what has to be removed with it. */
export type MarkerKind = "hcn-internal" | "hcn-transparent" | "wg-dedicated";

/** One network of this host. Keys are those of the file. */
export interface MarkerEntry {
  /** `base`, or `service:<name>`. */
  readonly owner: string;
  /** A {@linkcode MarkerKind}; others are kept as they are. */
  readonly kind: string;
  readonly name: string;
  /** GUID without braces in lower case for `hcn-*`, public key for `wg-dedicated`. */
  readonly id: string;
  readonly subnet: string;
  readonly wg_port?: number | undefined;
  readonly wg_private_key?: string | undefined;
  readonly wg_public_key?: string | undefined;
  readonly interface?: string | undefined;
}

/** The whole file. */
export interface Marker {
  readonly version: number;
  readonly networks: readonly MarkerEntry[];
}

/** A dedicated device's identity, as far as it survives a restart. */
export interface DedicatedIdentity {
  readonly port: number;
  readonly keys: KeyPair;
  readonly interface: string;
}

const VERSION = 1;
/** Owner of the node's base network. */
export const BASE_OWNER = "base";
const SERVICE_OWNER_PREFIX = "service:";
/** Of networks of an earlier deployment. */
const FORMER_OWNER_PREFIX = "former:";

/** What a missing file stands for. */
export const EMPTY_MARKER: Marker = { version: VERSION, networks: [] };

const optional = <T extends z.ZodType>(type: T): z.ZodType<z.output<T> | undefined> =>
  type.nullish().transform((value) => value ?? undefined);

const ENTRY = z.looseObject({
  owner: z.string(),
  kind: z.string(),
  name: z.string(),
  id: z.string(),
  subnet: z.string(),
  wg_port: optional(z.int().min(0).max(65535)),
  wg_private_key: optional(z.string()),
  wg_public_key: optional(z.string()),
  interface: optional(z.string()),
});

const MARKER = z.looseObject({
  version: z.int().min(0).default(VERSION),
  networks: z.array(ENTRY).default([]),
});

/** Owner of a service's entry. */
export function serviceOwner(service: string): string {
  return SERVICE_OWNER_PREFIX + service;
}

/**
 * Reads the file's text. Unknown keys are kept for the next writing, `null` reads as unset.
 *
 * @throws {InvalidConfigError} If it is no marker; the message holds no value of the file.
 */
export function decodeMarker(text: string): Marker {
  return decodeJson(text, MARKER, "network marker");
}

/**
 * The file's text: two spaces of indent, keys in fixed order, unset ones left out, keys of others behind ours, no
 * final newline.
 */
export function encodeMarker(marker: Marker): string {
  const networks = marker.networks.map((entry) => {
    const { owner, kind, name, id, subnet, wg_port, wg_private_key, wg_public_key, ...rest } = entry;
    const { interface: device, ...others } = rest;
    const keys = { owner, kind, name, id, subnet, wg_port, wg_private_key, wg_public_key, interface: device };
    return { ...keys, ...others };
  });
  const { version, networks: _, ...others } = marker;
  return JSON.stringify({ version, networks, ...others }, null, 2);
}

/** Replaces the first entry of the same owner where it stands, else appends. */
export function upsertNetwork(marker: Marker, entry: MarkerEntry): Marker {
  const index = marker.networks.findIndex((one) => one.owner === entry.owner);
  const networks = index < 0 ? [...marker.networks, entry] : marker.networks.with(index, entry);
  return { ...marker, networks };
}

/** Takes out the first entry of the owner; an unknown owner changes nothing. */
export function removeNetwork(marker: Marker, owner: string): { marker: Marker; removed?: MarkerEntry } {
  const index = marker.networks.findIndex((one) => one.owner === owner);
  if (index < 0) return { marker };
  return {
    marker: { ...marker, networks: marker.networks.toSpliced(index, 1) },
    removed: marker.networks[index]!,
  };
}

/** An HCN network as the marker tells of it. */
export interface HcnNetworkEntry {
  readonly owner: string;
  readonly kind: "hcn-internal" | "hcn-transparent";
  readonly name: string;
  /** GUID without braces in lower case. */
  readonly id: string;
  readonly subnet: string;
}

/**
 * Enters an HCN network. A dedicated device that the owner's entry tells of stays in it (daemon.md W15). A network of
 * another name that it tells of is one of an earlier deployment: that stays as an entry of its own, for uninstalling.
 */
export function withHcnNetwork(marker: Marker, network: HcnNetworkEntry): Marker {
  const former = marker.networks.find((entry) => entry.owner === network.owner);
  const found = withoutFormer(marker, network.id);
  const isOther = former !== undefined && isHcnEntry(former) && former.name !== network.name;
  const kept = isOther ? upsertNetwork(found, toFormer(former)) : found;
  return upsertNetwork(kept, { ...former, ...network });
}

/** Takes out an entry that a network of this id has as one of an earlier deployment. */
export function withoutFormer(marker: Marker, id: string): Marker {
  const networks = marker.networks.filter((one) =>
    one.id !== id || !one.owner.startsWith(FORMER_OWNER_PREFIX)
  );
  return networks.length === marker.networks.length ? marker : { ...marker, networks };
}

function toFormer({ kind, name, id, subnet }: MarkerEntry): MarkerEntry {
  return { owner: FORMER_OWNER_PREFIX + name, kind, name, id, subnet };
}

/**
 * Takes out what tells of an owner's HCN network. What tells of its dedicated device stays, as the device's own
 * entry.
 */
export function withoutHcnNetwork(marker: Marker, owner: string): Marker {
  const entry = marker.networks.find((one) => one.owner === owner);
  if (!entry || !isHcnEntry(entry)) return marker;
  const { interface: name, wg_public_key: id } = entry;
  if (name === undefined || id === undefined) return removeNetwork(marker, owner).marker;
  return upsertNetwork(marker, { ...entry, kind: "wg-dedicated", name, id });
}

/** Enters a dedicated device. Kind, name and id of an HCN network that the owner's entry tells of stay. */
export function withDedicated(marker: Marker, device: MarkerEntry): Marker {
  const former = marker.networks.find((entry) => entry.owner === device.owner);
  if (!former || !isHcnEntry(former)) return upsertNetwork(marker, { ...former, ...device });
  const { kind, name, id } = former;
  return upsertNetwork(marker, { ...former, ...device, kind, name, id });
}

/** Whether an entry tells of an HCN network; the caller's uninstall deletes those. */
export function isHcnEntry(entry: MarkerEntry): boolean {
  return entry.kind.startsWith("hcn");
}

/** Ports of dedicated services, used from the start; an entry of another owner does not count. */
export function dedicatedPorts(marker: Marker): number[] {
  return marker.networks
    .filter((entry) => entry.owner.startsWith(SERVICE_OWNER_PREFIX))
    .map((entry) => entry.wg_port)
    .filter((port) => port !== undefined);
}

/**
 * The identity that a dedicated service had before: only whole and valid, else `undefined`, and the service
 * gets a new one.
 */
export function dedicatedIdentity(marker: Marker, service: string): DedicatedIdentity | undefined {
  const entry = marker.networks.find((one) => one.owner === serviceOwner(service));
  const { wg_port: port, wg_private_key, wg_public_key, interface: name } = entry ?? {};
  if (!port || name === undefined || interfaceNameProblem(name) !== undefined) return undefined;
  if (wg_private_key === undefined || wg_public_key === undefined) return undefined;
  try {
    return { port, keys: decodeKeyPair(wg_private_key, wg_public_key), interface: name };
  } catch {
    return undefined;
  }
}

/** The entry of a dedicated service, from which {@linkcode dedicatedIdentity} reads the identity back. */
export function dedicatedEntry(service: string, identity: DedicatedIdentity, subnet: string): MarkerEntry {
  const publicKey = encodeKey(identity.keys.publicKey);
  return {
    owner: serviceOwner(service),
    kind: "wg-dedicated",
    name: identity.interface,
    id: publicKey,
    subnet,
    wg_port: identity.port,
    wg_private_key: encodeKey(identity.keys.privateKey),
    wg_public_key: publicKey,
    interface: identity.interface,
  };
}
