/**
 * WireGuard devices in a simulated network: one fake clock, datagrams with latency, loss, duplicates and
 * reordering as the test says, packets collected where they come out. No sockets, no sleeps.
 */
import { Device, type DeviceOptions, type PeerOptions } from "../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../core/wireguard/endpoint.ts";
import { MESSAGE_TRANSPORT, TRANSPORT_OVERHEAD_BYTES } from "../../core/wireguard/constants.ts";
import type { CryptoProvider } from "../../core/wireguard/crypto_provider.ts";
import { NOBLE_HANDSHAKE, nobleProvider } from "../../core/wireguard/noble_provider.ts";
import type { DeviceOutput } from "../../core/wireguard/output.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import { ipToBytes, parseIp } from "../../core/ip/address.ts";
import { type IpPrefix, parsePrefix } from "../../core/ip/prefix.ts";
import { SeededRandom } from "./seeded_random.ts";

/** A datagram on its way. */
export interface Transit {
  readonly from: PeerEndpoint;
  readonly to: PeerEndpoint;
  readonly bytes: Uint8Array;
  /** Simulated time at which it was sent. */
  readonly sentAt: number;
}

/** Latencies in ms, one for each copy that arrives; none for a datagram that is lost. */
export type LinkPolicy = (datagram: Transit) => readonly number[];

/** One-way latency where the test says nothing. */
export const LATENCY_MS = 10;

/** The clock of the wall at the start of a simulation, ms since 1970. */
export const WALL_START_MS = Date.UTC(2026, 0, 1);

/** All nodes, the clock and what is on its way. */
export class SimNetwork {
  /** Monotonic ms. */
  now = 1_000;
  /** Everything ever sent, also what was lost. */
  readonly sent: Transit[] = [];
  /** What happens to datagrams. */
  policy: LinkPolicy = () => [LATENCY_MS];
  readonly nodes: SimNode[] = [];
  #inFlight: { readonly at: number; readonly order: number; readonly datagram: Transit }[] = [];
  #order = 0;

  constructor(readonly random: SeededRandom = new SeededRandom(1)) {}

  /** Adds a node at `address:51820`. Its private key comes from the random source. */
  node(address: string, options: DeviceOptions & { readonly crypto?: CryptoProvider } = {}): SimNode {
    const node = new SimNode(this, endpoint(address), options);
    this.nodes.push(node);
    return node;
  }

  /** Puts a datagram on its way. */
  send(datagram: Transit): void {
    this.sent.push(datagram);
    for (const latency of this.policy(datagram)) {
      this.#inFlight.push({ at: this.now + latency, order: this.#order++, datagram });
    }
    this.#inFlight.sort((a, b) => a.at - b.at || a.order - b.order);
  }

  /** Lets time pass. Deadlines and arrivals happen at their times. */
  run(durationMs: number): void {
    const end = this.now + durationMs;
    for (;;) {
      const arrival = this.#inFlight[0]?.at ?? Infinity;
      const deadline = Math.min(...this.nodes.map((node) => node.device.deadline));
      const next = Math.min(arrival, deadline);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (arrival <= deadline) this.#arrive();
      else for (const node of this.nodes) node.apply(node.device.tick(this.now));
    }
    this.now = end;
  }

  /** Messages of a type sent from a node since a time. */
  count(node: SimNode, type: number, since = 0): number {
    return this.messages(node, type, since).length;
  }

  /** The same as a list. */
  messages(node: SimNode, type: number, since = 0): Transit[] {
    return this.sent.filter(({ from, bytes, sentAt }) =>
      from.equals(node.endpoint) && bytes[0] === type && sentAt >= since
    );
  }

  /** Keepalives sent from a node since a time. */
  keepalives(node: SimNode, since = 0): Transit[] {
    return this.messages(node, MESSAGE_TRANSPORT, since).filter(({ bytes }) =>
      bytes.length === TRANSPORT_OVERHEAD_BYTES
    );
  }

  #arrive(): void {
    const { datagram } = this.#inFlight.shift()!;
    const node = this.nodes.find(({ endpoint }) => endpoint.equals(datagram.to));
    node?.receive(datagram.bytes, datagram.from);
  }
}

/** A device at an address. */
export class SimNode {
  readonly device: Device;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** Packets that came out of the device. */
  readonly packets: Uint8Array[] = [];
  /** News, in order. */
  readonly news: string[] = [];
  /** How far the clock of its wall is ahead, ms. */
  wallAheadMs = 0;
  /** Where it is; change it to roam. */
  endpoint: PeerEndpoint;
  readonly #network: SimNetwork;

  constructor(
    network: SimNetwork,
    endpoint: PeerEndpoint,
    options: DeviceOptions & { readonly crypto?: CryptoProvider },
  ) {
    this.#network = network;
    this.endpoint = endpoint;
    this.privateKey = network.random.bytes(32);
    this.publicKey = NOBLE_HANDSHAKE.x25519PublicKey(this.privateKey);
    this.device = new Device({
      crypto: options.crypto ?? nobleProvider(),
      random: (bytes) => bytes.set(network.random.bytes(bytes.length)),
      wallClockMs: () => WALL_START_MS + network.now + this.wallAheadMs,
    }, options);
    this.device.setPrivateKey(this.privateKey);
  }

  /** Adds another node as a peer. */
  add(other: SimNode, allowedIps: readonly string[], options: Omit<PeerOptions, "allowedIps"> = {}): Peer {
    const peer = this.device.addPeer(other.publicKey, this.#network.now, {
      endpoint: other.endpoint,
      allowedIps: allowedIps.map(prefix),
      ...options,
    });
    this.apply(this.device.takeOutputs());
    return peer;
  }

  /** A packet comes out of the TUN. */
  sendPacket(packet: Uint8Array): void {
    this.apply(this.device.handleTun(packet, this.#network.now));
  }

  /** A datagram comes in. */
  receive(bytes: Uint8Array, from: PeerEndpoint): void {
    this.apply(this.device.handleUdp(Uint8Array.from(bytes), from, this.#network.now));
  }

  /** Does what the device wants done. */
  apply(outputs: readonly DeviceOutput[]): void {
    for (const output of outputs) {
      switch (output.kind) {
        case "datagram":
          this.#network.send({
            from: this.endpoint,
            to: output.endpoint,
            bytes: Uint8Array.from(output.bytes),
            sentAt: this.#network.now,
          });
          break;
        case "packet":
          this.packets.push(Uint8Array.from(output.bytes));
          break;
        default:
          this.news.push(output.kind);
      }
    }
  }
}

/** Two nodes that are peers: 10.0.0.1 at 192.0.2.1 and 10.0.0.2 at 192.0.2.2. */
export interface SimPair {
  readonly network: SimNetwork;
  readonly a: SimNode;
  readonly b: SimNode;
  /** B as A sees it. */
  readonly peerB: Peer;
  /** A as B sees it. */
  readonly peerA: Peer;
  /** A packet from A to B, or back, that is told from others by its number. */
  readonly aToB: (number: number) => Uint8Array;
  readonly bToA: (number: number) => Uint8Array;
}

/** Makes the pair. */
export function simPair(
  options: {
    readonly random?: SeededRandom;
    readonly a?: DeviceOptions & { readonly crypto?: CryptoProvider };
    readonly b?: DeviceOptions & { readonly crypto?: CryptoProvider };
    readonly peer?: Omit<PeerOptions, "allowedIps" | "endpoint">;
    /** Whether only A knows where the other one is. */
    readonly oneSided?: boolean;
  } = {},
): SimPair {
  const network = new SimNetwork(options.random);
  const a = network.node("192.0.2.1", options.a);
  const b = network.node("192.0.2.2", options.b);
  const peerB = a.add(b, ["10.0.0.2/32", "fd00::2/128"], options.peer);
  const peerA = b.add(a, ["10.0.0.1/32", "fd00::1/128"], options.peer);
  if (options.oneSided) peerA.endpoint = undefined;
  return {
    network,
    a,
    b,
    peerB,
    peerA,
    aToB: (number) => ipPacket("10.0.0.1", "10.0.0.2", numbered(number)),
    bToA: (number) => ipPacket("10.0.0.2", "10.0.0.1", numbered(number)),
  };
}

/** An endpoint from a literal address. */
export function endpoint(address: string, port = 51820): PeerEndpoint {
  return PeerEndpoint.of(parseIp(address)!, port);
}

/** A prefix from its text. */
export function prefix(text: string): IpPrefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new TypeError(`not a prefix: ${text}`);
  return parsed;
}

/** A UDP-less IP packet: header as far as WireGuard looks at it, then the payload. */
export function ipPacket(source: string, destination: string, payload: Uint8Array): Uint8Array {
  const [from, to] = [ipToBytes(parseIp(source)!), ipToBytes(parseIp(destination)!)];
  const header = new Uint8Array(from.length === 4 ? 20 : 40);
  const view = new DataView(header.buffer);
  if (from.length === 4) {
    header[0] = 0x45;
    view.setUint16(2, header.length + payload.length);
    header.set(from, 12);
    header.set(to, 16);
  } else {
    header[0] = 0x60;
    view.setUint16(4, payload.length);
    header.set(from, 8);
    header.set(to, 24);
  }
  return Uint8Array.of(...header, ...payload);
}

/** The number a packet of {@linkcode simPair} carries. */
export function numberOf(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset).getUint32(20);
}

function numbered(number: number): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, number);
  return payload;
}
