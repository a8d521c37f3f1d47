/**
 * The generic family `wireguard` (linux/wireguard.h): reading and changing a kernel WireGuard device.
 *
 * A device with many peers exceeds one message both ways. The kernel's dump continues a peer in the next message
 * with its key and more allowed IPs, and the list of peers likewise; {@linkcode mergeDevices} joins them.
 * {@linkcode splitDevice} does the reverse for changes.
 */

import { ByteReader, bytesEqual, ByteWriter, CodecError } from "../bytes.ts";
import { decodeSockaddr, encodeSockaddr, type SocketAddress } from "../sockaddr.ts";
import {
  AttributeSchema,
  fixedBytes,
  nestedList,
  STRING,
  U16,
  U32,
  U64,
  U8,
  type UnknownAttributes,
  type ValueCodec,
} from "./attribute.ts";
import * as nl from "./constants.ts";

/** `struct __kernel_timespec`; seconds since 1970, 0 = never. */
export interface Timespec {
  readonly seconds: bigint;
  readonly nanoseconds: bigint;
}

/** One allowed IP. */
export interface AllowedIp {
  readonly family?: number;
  readonly address?: Uint8Array;
  readonly prefixLength?: number;
}

/** A peer. Times and counters are only told, flags only sent. */
export interface WireGuardPeer {
  /** 32 bytes. */
  readonly publicKey?: Uint8Array;
  /** 32 bytes; zeros remove it. A secret. */
  readonly presharedKey?: Uint8Array;
  /** `WGPEER_F_*`. */
  readonly flags?: number;
  readonly endpoint?: SocketAddress;
  /** 0 = off. */
  readonly keepaliveSeconds?: number;
  readonly lastHandshake?: Timespec;
  readonly rxBytes?: bigint;
  readonly txBytes?: bigint;
  readonly allowedIps?: readonly (AllowedIp & Partial<UnknownAttributes>)[];
  readonly protocolVersion?: number;
}

/** A device. */
export interface WireGuardDevice {
  readonly index?: number;
  readonly name?: string;
  /** 32 bytes; zeros remove it. A secret. */
  readonly privateKey?: Uint8Array;
  readonly publicKey?: Uint8Array;
  /** `WGDEVICE_F_*`. */
  readonly flags?: number;
  readonly listenPort?: number;
  readonly fwmark?: number;
  readonly peers?: readonly (WireGuardPeer & Partial<UnknownAttributes>)[];
}

const SOCKADDR: ValueCodec<SocketAddress> = { flags: 0, encode: encodeSockaddr, decode: decodeSockaddr };

const TIMESPEC: ValueCodec<Timespec> = {
  flags: 0,
  encode: ({ seconds, nanoseconds }) => new ByteWriter().u64(seconds).u64(nanoseconds).finish(),
  decode(payload): Timespec {
    const reader = new ByteReader(payload, "__kernel_timespec");
    return { seconds: reader.i64(), nanoseconds: reader.i64() };
  },
};

const KEY = fixedBytes("WireGuard key", nl.WG_KEY_LEN);

const ADDRESS_BYTES: ValueCodec<Uint8Array> = {
  flags: 0,
  encode: (value) => value,
  decode(payload): Uint8Array {
    if (payload.length !== 4 && payload.length !== 16) {
      throw new CodecError("allowed IP", 0, 16, payload.length);
    }
    return payload;
  },
};

const ALLOWED_IP = new AttributeSchema<AllowedIp>({
  family: [nl.WGALLOWEDIP_A_FAMILY, U16],
  address: [nl.WGALLOWEDIP_A_IPADDR, ADDRESS_BYTES],
  prefixLength: [nl.WGALLOWEDIP_A_CIDR_MASK, U8],
});

const PEER = new AttributeSchema<WireGuardPeer>({
  publicKey: [nl.WGPEER_A_PUBLIC_KEY, KEY],
  presharedKey: [nl.WGPEER_A_PRESHARED_KEY, KEY],
  flags: [nl.WGPEER_A_FLAGS, U32],
  endpoint: [nl.WGPEER_A_ENDPOINT, SOCKADDR],
  keepaliveSeconds: [nl.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, U16],
  lastHandshake: [nl.WGPEER_A_LAST_HANDSHAKE_TIME, TIMESPEC],
  rxBytes: [nl.WGPEER_A_RX_BYTES, U64],
  txBytes: [nl.WGPEER_A_TX_BYTES, U64],
  allowedIps: [
    nl.WGPEER_A_ALLOWEDIPS,
    nestedList<AllowedIp & Partial<UnknownAttributes>>({
      encode: (ip) => ALLOWED_IP.encode(ip),
      decode: (payload) => ALLOWED_IP.decode(payload),
    }),
  ],
  protocolVersion: [nl.WGPEER_A_PROTOCOL_VERSION, U32],
});

const DEVICE = new AttributeSchema<WireGuardDevice>({
  index: [nl.WGDEVICE_A_IFINDEX, U32],
  name: [nl.WGDEVICE_A_IFNAME, STRING],
  privateKey: [nl.WGDEVICE_A_PRIVATE_KEY, KEY],
  publicKey: [nl.WGDEVICE_A_PUBLIC_KEY, KEY],
  flags: [nl.WGDEVICE_A_FLAGS, U32],
  listenPort: [nl.WGDEVICE_A_LISTEN_PORT, U16],
  fwmark: [nl.WGDEVICE_A_FWMARK, U32],
  peers: [
    nl.WGDEVICE_A_PEERS,
    nestedList<WireGuardPeer & Partial<UnknownAttributes>>({
      encode: (peer) => PEER.encode(peer),
      decode: (payload) => PEER.decode(payload),
    }),
  ],
});

/** Encodes the attributes of a `WG_CMD_*_DEVICE` message. @throws {RangeError} If the peers exceed 65,531 bytes. */
export function encodeDevice(device: WireGuardDevice & Partial<UnknownAttributes>): Uint8Array<ArrayBuffer> {
  return DEVICE.encode(device);
}

/** Decodes the attributes of a `WG_CMD_GET_DEVICE` reply. @throws {CodecError} If they are cut short. */
export function decodeDevice(attributes: Uint8Array): WireGuardDevice & UnknownAttributes {
  return DEVICE.decode(attributes);
}

/** Joins the messages of one dump: later ones hold only the name and more peers, the first of them continued. */
export function mergeDevices(parts: readonly WireGuardDevice[]): WireGuardDevice {
  const peers: WireGuardPeer[] = [];
  for (const peer of parts.flatMap((part) => part.peers ?? [])) {
    const last = peers.at(-1);
    if (last?.publicKey && peer.publicKey && bytesEqual(last.publicKey, peer.publicKey)) {
      const allowedIps = [...last.allowedIps ?? [], ...peer.allowedIps ?? []];
      peers[peers.length - 1] = { ...last, allowedIps };
    } else peers.push(peer);
  }
  return { ...parts[0], peers };
}

/** Bytes of an attribute with this payload. */
function attributeBytes(payloadBytes: number): number {
  return 4 + Math.ceil(payloadBytes / 4) * 4;
}

/**
 * Splits a change into messages of at most `maxBytes` of peers each, to be sent in order.
 *
 * The first keeps the device's own fields and flags. A peer whose allowed IPs do not fit goes on in the next with
 * its key alone, without `WGPEER_F_REPLACE_ALLOWEDIPS`, which would throw away what the first part brought.
 *
 * @param maxBytes At least 256, at most 65,531.
 */
export function splitDevice(device: WireGuardDevice, maxBytes: number): WireGuardDevice[] {
  if (maxBytes < 256 || maxBytes > 65_531) {
    throw new RangeError(`maxBytes ${maxBytes} is not within 256..65531`);
  }
  const groups: WireGuardPeer[][] = [[]];
  let used = 0;
  for (const part of (device.peers ?? []).flatMap((peer) => splitPeer(peer, maxBytes))) {
    const size = peerBytes(part);
    if (used + size > maxBytes) {
      groups.push([]);
      used = 0;
    }
    groups.at(-1)!.push(part);
    used += size;
  }
  const target = device.index === undefined ? { name: device.name! } : { index: device.index };
  return groups.map((peers, i) =>
    i > 0 ? { ...target, peers } : device.peers ? { ...device, peers } : device
  );
}

/** Size of a peer in the list of peers, allowed IPs counted one by one: together they may exceed an attribute. */
function peerBytes(peer: WireGuardPeer): number {
  const { allowedIps = [], ...own } = peer;
  const ips = allowedIps.reduce((sum, ip) => sum + allowedIpBytes(ip), 0);
  return attributeBytes(PEER.encode({ ...own, allowedIps: [] }).length) + ips;
}

function allowedIpBytes(ip: AllowedIp): number {
  return attributeBytes(ALLOWED_IP.encode(ip).length);
}

function splitPeer(peer: WireGuardPeer, maxBytes: number): WireGuardPeer[] {
  if (peerBytes(peer) <= maxBytes) return [peer];
  const { allowedIps = [], ...own } = peer;
  const parts: WireGuardPeer[] = [];
  let batch: AllowedIp[] = [];
  let left = maxBytes - peerBytes(own);
  const flush = (): void => {
    parts.push(parts.length === 0 ? { ...own, allowedIps: batch } : continuation(own, batch));
    batch = [];
    left = maxBytes - peerBytes(continuation(own, []));
  };
  for (const ip of allowedIps) {
    const size = allowedIpBytes(ip);
    if (size > left) flush();
    batch.push(ip);
    left -= size;
  }
  flush();
  return parts;
}

function continuation(peer: WireGuardPeer, allowedIps: readonly AllowedIp[]): WireGuardPeer {
  const flags = (peer.flags ?? 0) & ~nl.WGPEER_F_REPLACE_ALLOWEDIPS;
  return { publicKey: peer.publicKey!, ...flags === 0 ? {} : { flags }, allowedIps };
}
