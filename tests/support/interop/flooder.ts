/**
 * Somebody who floods a device with handshake initiations that it has to compute for: they are from nobody it
 * knows, and their MAC1 is right. The cookie replies it gets show whether the device is under load.
 */
import { FileDescriptor } from "../../../ffi/file_descriptor.ts";
import { PinnedBuffer } from "../../../ffi/memory.ts";
import { withNetns } from "../../../ffi/netns.ts";
import { UdpPort } from "../../../ffi/udp_port.ts";
import { UdpSocket } from "../../../ffi/udp_socket.ts";
import { parseIp } from "../../../core/ip/address.ts";
import {
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  KEY_BYTES,
  MESSAGE_COOKIE_REPLY,
} from "../../../core/wireguard/constants.ts";
import { CookieJar } from "../../../core/wireguard/cookie.ts";
import { PeerEndpoint } from "../../../core/wireguard/endpoint.ts";
import { Initiator } from "../../../core/wireguard/handshake.ts";
import { NOBLE_HANDSHAKE } from "../../../core/wireguard/noble_provider.ts";
import { encodeTai64n } from "../../../core/wireguard/tai64n.ts";
import type { NamedNetns } from "../test_netns.ts";
import { waitFor } from "../wait_for.ts";
import { newKeys, PORT } from "./wireguard_end.ts";

/** Datagrams of one call. */
const PER_CALL = 40;
/** Time between two looks for cookies. */
const LOOK_MS = 50;
/** Least time between two bursts; a device stays under load for a second. */
const PAUSE_MS = 500;
/** Most time, should answers be lost. */
const PATIENCE_MS = 5_000;
/** A device that takes longer for its first cookie may leave the second for which it stays under load unused. */
const GAP_MS = 700;
const RECEIPT = PER_CALL * INITIATION_BYTES;
const RECEIPT_BYTES = 65536;

/** What is flooded, and how hard. */
export interface FloodOptions {
  /** Public key of the device. */
  readonly target: Uint8Array;
  /** Its address; the port is {@linkcode PORT}. */
  readonly address: string;
  /** Initiations at once. The next ones follow when one of them is answered by a cookie, twice a second at most. */
  readonly burst: number;
}

/** See the file's comment. */
export class Flooder implements AsyncDisposable {
  readonly #socket: UdpSocket;
  readonly #port: UdpPort;
  readonly #arena = new PinnedBuffer(RECEIPT + RECEIPT_BYTES);
  readonly #to: PeerEndpoint;
  readonly #options: FloodOptions;
  readonly #running: Promise<void>;
  #isEnded = false;
  /** Cookie replies so far. */
  cookies = 0;
  /** Whether the device answered so fast that it never had a reason to think that the flood was over. */
  isGapless = true;

  /** Starts flooding from a host. */
  constructor(from: NamedNetns, options: FloodOptions) {
    using netns = FileDescriptor.open(`/run/netns/${from.name}`);
    this.#socket = withNetns(netns.fd, () => UdpSocket.bind(4, 0)!);
    this.#port = new UdpPort(this.#socket.fd, 4, this.#arena);
    this.#to = PeerEndpoint.of(parseIp(options.address)!, PORT);
    this.#options = options;
    this.#running = this.#run();
  }

  /** Waits until the device has sent so many more cookie replies: it is under load. */
  async moreCookies(count: number): Promise<void> {
    const goal = this.cookies + count;
    await waitFor(`${count} more cookie replies`, () => this.cookies >= goal, { timeoutMs: 120_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    await this.#running;
    this.#socket[Symbol.dispose]();
  }

  /** More than the device can answer would only be a queue that nobody gets through, cookie or not. */
  async #run(): Promise<void> {
    while (!this.#isEnded) {
      const [sentAt, before] = [performance.now(), this.cookies];
      this.#sendBurst();
      let waitedMs = 0;
      do {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        this.#receive();
        waitedMs = performance.now() - sentAt;
        if (waitedMs > GAP_MS) this.isGapless = false;
      } while (!this.#isEnded && (waitedMs < PAUSE_MS || this.cookies === before && waitedMs < PATIENCE_MS));
    }
  }

  #sendBurst(): void {
    const message = initiation(this.#options.target);
    for (let i = 0; i < PER_CALL; i++) this.#arena.bytes.set(message, i * INITIATION_BYTES);
    for (let left = this.#options.burst; left > 0; left -= PER_CALL) {
      const count = Math.min(left, PER_CALL);
      this.#port.send(this.#to, 0, count * INITIATION_BYTES, INITIATION_BYTES);
    }
  }

  #receive(): void {
    for (;;) {
      const bytes = this.#port.receive(RECEIPT, RECEIPT_BYTES);
      if (bytes < 0) return;
      const isCookies = this.#arena.bytes[RECEIPT] === MESSAGE_COOKIE_REPLY &&
        this.#port.segmentBytes === COOKIE_REPLY_BYTES;
      if (isCookies) this.cookies += bytes / COOKIE_REPLY_BYTES;
    }
  }
}

/** An initiation of a stranger, complete with MAC1. */
function initiation(target: Uint8Array): Uint8Array {
  const own = newKeys();
  const staticShared = NOBLE_HANDSHAKE.x25519(own.privateKey, target);
  const peer = { publicKey: target, staticShared, presharedKey: new Uint8Array(KEY_BYTES) };
  const started = Initiator.start(NOBLE_HANDSHAKE, { own, peer }, {
    ephemeralPrivate: newKeys().privateKey,
    timestamp: encodeTai64n(BigInt(Date.now()) * 1_000_000n),
    sender: crypto.getRandomValues(new Uint32Array(1))[0]!,
  })!;
  new CookieJar(NOBLE_HANDSHAKE, target).addMacs(started.message, 0);
  started.handshake.wipe();
  return started.message;
}
