/**
 * A peer as callers send it, turned into the one a device takes.
 *
 * The texts and the order of checks are part of the contract: the endpoint before the device is looked up, key
 * and allowed IPs after. The engine therefore calls {@linkcode parsePeerPlace} first, finds the device and
 * then calls {@linkcode parsePeerSpec}.
 */

import type { DevicePeer } from "../backend/backend.ts";
import { InvalidConfigError } from "../errors.ts";
import { formatIp, type IpAddress, ipEquals, parseIp } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import { shown } from "../quote.ts";
import type { PeerSpec } from "../service.ts";
import { decodeKey } from "../wireguard/keys.ts";
import { hostNameProblem } from "./host_name.ts";

/** UDP address and port of a peer. */
export interface PeerEndpoint {
  readonly ip: IpAddress;
  /** 1 to 65535. */
  readonly port: number;
}

/** Where a caller says that a peer is: nothing is known by it, an address, or a host whose address may change. */
export type PeerPlace =
  | { readonly kind: "unknown" }
  | { readonly kind: "address"; readonly endpoint: PeerEndpoint }
  | { readonly kind: "name"; readonly name: string; readonly port: number };

const PORT_MAX = 65535;
const KEEPALIVE_MAX_SECONDS = 65535;

/**
 * Reads a whole peer. One at a host by name has no endpoint so far.
 *
 * @throws {InvalidConfigError} Naming the field and its value, except for a key.
 */
export function parsePeerSpec(spec: PeerSpec): DevicePeer {
  const place = parsePeerPlace(spec.endpoint);
  return {
    publicKey: decodeKey(spec.publicKey),
    ...(place.kind === "address" ? { endpoint: place.endpoint } : {}),
    allowedIps: parseAllowedIps(spec.allowedIps),
    keepaliveSeconds: checkKeepalive(spec.persistentKeepaliveSecs),
  };
}

/**
 * Reads where a peer is: `ip:port`, an IPv6 address in brackets, or `name:port`. Port 0 is how a caller says that
 * it knows no endpoint: the peer speaks first.
 *
 * @throws {InvalidConfigError} `invalid peer endpoint <x>: invalid socket address syntax`, or what is wrong with
 *   the host's name.
 */
export function parsePeerPlace(text: string): PeerPlace {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > PORT_MAX) throw invalid(text, "invalid socket address syntax");
  const [, bracketed, bare = ""] = match;
  const ip = parseIp(bracketed ?? bare);
  if (!ip && isName(bracketed, bare)) return parseName(text, bare, port);
  if (!ip || (bracketed !== undefined) !== (ip.family === 6)) {
    throw invalid(text, "invalid socket address syntax");
  }
  return port === 0 ? { kind: "unknown" } : { kind: "address", endpoint: { ip, port } };
}

/** What is nothing but digits and dots was meant as an address. */
function isName(bracketed: string | undefined, bare: string): boolean {
  return bracketed === undefined && /[^0-9.]/.test(bare);
}

function parseName(text: string, name: string, port: number): PeerPlace {
  const problem = hostNameProblem(name);
  if (problem !== undefined) throw invalid(text, `host name ${problem}`);
  return port === 0 ? { kind: "unknown" } : { kind: "name", name, port };
}

function invalid(text: string, problem: string): InvalidConfigError {
  return new InvalidConfigError(`invalid peer endpoint ${shown(text)}: ${problem}`);
}

/** Reads an endpoint that {@linkcode formatPeerEndpoint} wrote. @returns `undefined` if it did not. */
export function parsePeerEndpoint(text: string): PeerEndpoint | undefined {
  try {
    const place = parsePeerPlace(text);
    return place.kind === "address" ? place.endpoint : undefined;
  } catch (error) {
    if (error instanceof InvalidConfigError) return undefined;
    throw error;
  }
}

/** Whether two endpoints are the same. */
export function samePeerEndpoint(a: PeerEndpoint | undefined, b: PeerEndpoint | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.port === b.port && ipEquals(a.ip, b.ip);
}

/** Text of an endpoint: `ip:port`, an IPv6 address in brackets. */
export function formatPeerEndpoint(endpoint: PeerEndpoint): string {
  const ip = formatIp(endpoint.ip);
  return `${endpoint.ip.family === 6 ? `[${ip}]` : ip}:${endpoint.port}`;
}

/**
 * Reads a comma-separated list of CIDRs; spaces around commas do not matter, an empty list is allowed.
 *
 * @returns In the order given, host bits as written, each prefix once.
 * @throws {InvalidConfigError} `invalid CIDR <x>: invalid IP address syntax`.
 */
export function parseAllowedIps(text: string): IpPrefix[] {
  const prefixes = new Map<string, IpPrefix>();
  if (/^ *$/.test(text)) return [];
  for (const part of text.split(",")) {
    const prefix = parseCidr(part.replace(/^ +| +$/g, ""));
    prefixes.set(formatPrefix(prefix), prefix);
  }
  return [...prefixes.values()];
}

/** Text of a list of allowed IPs, as `status` shows it. */
export function formatAllowedIps(prefixes: readonly IpPrefix[]): string {
  return prefixes.map(formatPrefix).join(",");
}

/**
 * Reads one CIDR; a bare address reads as /32 or /128.
 *
 * @throws {InvalidConfigError} `invalid CIDR <x>: invalid IP address syntax`.
 */
export function parseCidr(text: string): IpPrefix {
  const prefix = parsePrefix(text);
  if (prefix) return prefix;
  throw new InvalidConfigError(`invalid CIDR ${shown(text)}: invalid IP address syntax`);
}

function checkKeepalive(seconds: number): number {
  if (Number.isInteger(seconds) && seconds >= 0 && seconds <= KEEPALIVE_MAX_SECONDS) return seconds;
  throw new InvalidConfigError(
    `persistent_keepalive_secs ${seconds} is out of range: use 0 (off) to ${KEEPALIVE_MAX_SECONDS}`,
  );
}
