/**
 * A peer as callers send it, turned into the one a device takes.
 *
 * The texts and the order of checks are part of the contract: the endpoint before the device is looked up, key
 * and allowed IPs after. The engine therefore calls {@linkcode parsePeerEndpoint} first, finds the device and
 * then calls {@linkcode parsePeerSpec}.
 */

import type { DevicePeer } from "../backend/backend.ts";
import { InvalidConfigError } from "../errors.ts";
import { formatIp, type IpAddress, parseIp } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import { shown } from "../quote.ts";
import type { PeerSpec } from "../service.ts";
import { decodeKey } from "../wireguard/keys.ts";

/** UDP address and port of a peer. */
export interface PeerEndpoint {
  readonly ip: IpAddress;
  /** 1 to 65535. */
  readonly port: number;
}

const PORT_MAX = 65535;
const KEEPALIVE_MAX_SECONDS = 65535;

/**
 * Reads a whole peer.
 *
 * @throws {InvalidConfigError} Naming the field and its value, except for a key.
 */
export function parsePeerSpec(spec: PeerSpec): DevicePeer {
  const endpoint = parsePeerEndpoint(spec.endpoint);
  return {
    publicKey: decodeKey(spec.publicKey),
    ...(endpoint ? { endpoint } : {}),
    allowedIps: parseAllowedIps(spec.allowedIps),
    keepaliveSeconds: checkKeepalive(spec.persistentKeepaliveSecs),
  };
}

/**
 * Reads a literal `ip:port`, an IPv6 address in brackets.
 *
 * @returns `undefined` for port 0, by which a caller says that it knows no endpoint: the peer speaks first.
 * @throws {InvalidConfigError} `invalid peer endpoint <x>: invalid socket address syntax`.
 */
export function parsePeerEndpoint(text: string): PeerEndpoint | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const ip = parseIp(match?.[1] ?? match?.[2] ?? "");
  const port = Number(match?.[3]);
  const bracketed = match?.[1] !== undefined;
  if (!ip || !(port <= PORT_MAX) || bracketed !== (ip.family === 6)) {
    throw new InvalidConfigError(`invalid peer endpoint ${shown(text)}: invalid socket address syntax`);
  }
  return port === 0 ? undefined : { ip, port };
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
