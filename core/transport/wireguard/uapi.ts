/**
 * The cross-platform configuration protocol of WireGuard, as text: `get=1` and `set=1` with lines `key=value`,
 * ended by an empty line. Keys are in lower-case hex. What is asked for becomes the kernel's terms. Pure.
 *
 * @see https://www.wireguard.com/xplatform/
 */

import {
  WGDEVICE_F_REPLACE_PEERS,
  WGPEER_F_REMOVE_ME,
  WGPEER_F_REPLACE_ALLOWEDIPS,
  WGPEER_F_UPDATE_ONLY,
} from "../../../ffi/netlink/constants.ts";
import type { AllowedIp, WireGuardDevice, WireGuardPeer } from "../../../ffi/netlink/wireguard.ts";
import type { SocketAddress } from "../../../ffi/sockaddr.ts";
import { formatIp, ipFromBytes, ipToBytes, parseIp } from "../../ip/address.ts";
import { formatPrefix, parsePrefix } from "../../ip/prefix.ts";
import { hex, isZero } from "../../wireguard/bytes.ts";
import { fromAllowedIp, toAllowedIp } from "./kernel_terms.ts";

/** `EINVAL` and `EPROTO`, by which bad requests are answered. */
export const UAPI_EINVAL = 22, UAPI_EPROTO = 71;

/** A request, or the error number to answer it by. */
export type UapiRequest =
  | { readonly kind: "get" }
  | { readonly kind: "set"; readonly change: WireGuardDevice }
  | { readonly kind: "invalid"; readonly errno: number };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class UapiError extends Error {}

/** Reads a request, without the empty line at its end. */
export function parseUapiRequest(text: string): UapiRequest {
  const [operation, ...lines] = text.split("\n");
  if (operation === "get=1" && lines.length === 0) return { kind: "get" };
  if (operation !== "set=1") return { kind: "invalid", errno: UAPI_EPROTO };
  try {
    return { kind: "set", change: parseSet(lines) };
  } catch (error) {
    if (error instanceof UapiError) return { kind: "invalid", errno: UAPI_EINVAL };
    throw error;
  }
}

function parseSet(lines: readonly string[]): WireGuardDevice {
  const device: Mutable<WireGuardDevice> = {};
  const peers: Mutable<WireGuardPeer>[] = [];
  for (const line of lines) {
    const at = line.indexOf("=");
    if (at < 0) throw new UapiError();
    const [key, value] = [line.slice(0, at), line.slice(at + 1)];
    if (key === "public_key") peers.push({ publicKey: parseKey(value) });
    else if (peers.length === 0) setDevice(device, key, value);
    else setPeer(peers.at(-1)!, key, value);
  }
  return peers.length === 0 ? device : { ...device, peers };
}

function setDevice(device: Mutable<WireGuardDevice>, key: string, value: string): void {
  switch (key) {
    case "private_key":
      device.privateKey = parseKey(value);
      return;
    case "listen_port":
      device.listenPort = parseNumber(value, 0xffff);
      return;
    case "fwmark":
      device.fwmark = value === "" ? 0 : parseNumber(value, 0xffff_ffff);
      return;
    case "replace_peers":
      requireTrue(value);
      device.flags = WGDEVICE_F_REPLACE_PEERS;
      return;
    default:
      throw new UapiError();
  }
}

function setPeer(peer: Mutable<WireGuardPeer>, key: string, value: string): void {
  switch (key) {
    case "remove":
      return setFlag(peer, value, WGPEER_F_REMOVE_ME);
    case "update_only":
      return setFlag(peer, value, WGPEER_F_UPDATE_ONLY);
    case "replace_allowed_ips":
      return setFlag(peer, value, WGPEER_F_REPLACE_ALLOWEDIPS);
    case "preshared_key":
      peer.presharedKey = parseKey(value);
      return;
    case "endpoint":
      peer.endpoint = parseEndpoint(value);
      return;
    case "persistent_keepalive_interval":
      peer.keepaliveSeconds = parseNumber(value, 0xffff);
      return;
    case "allowed_ip":
      // The reference passes a comma-separated list on as it was given.
      peer.allowedIps = [...peer.allowedIps ?? [], ...value.split(",").map(parseAllowedIp)];
      return;
    case "protocol_version":
      if (value !== "1") throw new UapiError();
      return;
    default:
      throw new UapiError();
  }
}

function setFlag(peer: Mutable<WireGuardPeer>, value: string, flag: number): void {
  requireTrue(value);
  peer.flags = (peer.flags ?? 0) | flag;
}

function requireTrue(value: string): void {
  if (value !== "true") throw new UapiError();
}

function parseKey(value: string): Uint8Array {
  if (!/^[0-9a-fA-F]{64}$/.test(value)) throw new UapiError();
  return Uint8Array.from(value.match(/../g)!, (digits) => Number.parseInt(digits, 16));
}

function parseNumber(value: string, max: number): number {
  const number = /^[0-9]{1,10}$/.test(value) || /^0x[0-9a-f]{1,8}$/.test(value) ? Number(value) : -1;
  if (number < 0 || number > max) throw new UapiError();
  return number;
}

function parseEndpoint(value: string): SocketAddress {
  const match = /^(?:\[([^\]]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(value);
  const [host, scope] = (match?.[1] ?? match?.[2] ?? "").split("%");
  const address = parseIp(host!);
  if (match === null || address === undefined) throw new UapiError();
  const port = parseNumber(match[3]!, 0xffff);
  return {
    address: ipToBytes(address),
    port,
    ...scope === undefined ? {} : { scopeId: parseNumber(scope, 0xffff_ffff) },
  };
}

function parseAllowedIp(value: string): AllowedIp {
  const prefix = parsePrefix(value.trim());
  if (prefix === undefined) throw new UapiError();
  return toAllowedIp(prefix);
}

/** The answer to `get`, empty line included. */
export function formatUapiDevice(device: WireGuardDevice): string {
  const lines: string[] = [];
  if (device.privateKey !== undefined) lines.push(`private_key=${hex(device.privateKey)}`);
  if (device.listenPort) lines.push(`listen_port=${device.listenPort}`);
  if (device.fwmark) lines.push(`fwmark=${device.fwmark}`);
  for (const peer of device.peers ?? []) lines.push(...formatPeer(peer));
  return `${lines.join("\n")}${lines.length === 0 ? "" : "\n"}errno=0\n\n`;
}

function formatPeer(peer: WireGuardPeer): string[] {
  const { presharedKey, endpoint, lastHandshake } = peer;
  return [
    `public_key=${hex(peer.publicKey!)}`,
    ...presharedKey === undefined || isZero(presharedKey) ? [] : [`preshared_key=${hex(presharedKey)}`],
    "protocol_version=1",
    ...endpoint === undefined ? [] : [`endpoint=${formatEndpoint(endpoint)}`],
    `last_handshake_time_sec=${lastHandshake?.seconds ?? 0}`,
    `last_handshake_time_nsec=${lastHandshake?.nanoseconds ?? 0}`,
    `tx_bytes=${peer.txBytes ?? 0}`,
    `rx_bytes=${peer.rxBytes ?? 0}`,
    `persistent_keepalive_interval=${peer.keepaliveSeconds ?? 0}`,
    ...(peer.allowedIps ?? []).map((ip) => `allowed_ip=${formatPrefix(fromAllowedIp(ip))}`),
  ];
}

function formatEndpoint({ address, port, scopeId }: SocketAddress): string {
  const text = formatIp(ipFromBytes(address));
  if (address.length === 4) return `${text}:${port}`;
  return `[${text}${scopeId ? `%${scopeId}` : ""}]:${port}`;
}
