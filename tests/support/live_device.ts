/**
 * Our protocol core over a real UDP socket and a clock that the test can put forward, with no TUN: the test hands
 * packets in and waits for those that come out.
 */
import { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { parseIp } from "../../core/ip/address.ts";
import { Device } from "../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../core/wireguard/endpoint.ts";
import { nobleProvider } from "../../core/wireguard/noble_provider.ts";
import type { DeviceOutput } from "../../core/wireguard/output.ts";
import { waitFor } from "./wait_for.ts";

/** A device on a UDP socket of 127.0.0.1. */
export class LiveDevice implements Disposable {
  readonly device: Device;
  /** Packets that came out. */
  readonly packets: Uint8Array[] = [];
  /** First byte of each datagram sent: its type. */
  readonly sentTypes: number[] = [];
  /** Added to the clock, so that a test need not wait for deadlines. */
  aheadMs = 0;
  readonly #socket: Socket;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.device = new Device({
      crypto: nobleProvider(),
      random: (bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
      wallClockMs: () => Date.now() + this.aheadMs,
    });
    socket.on("message", (message, { address, port }) => {
      const source = PeerEndpoint.of(parseIp(address)!, port);
      this.#apply(this.device.handleUdp(Uint8Array.from(message), source, this.now));
    });
  }

  /** Binds a socket to any port. */
  static async bind(): Promise<LiveDevice> {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new LiveDevice(socket);
  }

  /** Port the socket is bound to. */
  get port(): number {
    return this.#socket.address().port;
  }

  /** Monotonic ms. */
  get now(): number {
    return performance.now() + this.aheadMs;
  }

  /** A packet comes out of the TUN. */
  sendPacket(packet: Uint8Array): void {
    this.#apply(this.device.handleTun(packet, this.now));
  }

  /** Waits for a packet that fits, and takes it. */
  async packet(what: string, fits: (packet: Uint8Array) => boolean): Promise<Uint8Array> {
    return await waitFor(what, () => this.take(fits));
  }

  /** Takes a packet that fits, if it has come. */
  take(fits: (packet: Uint8Array) => boolean): Uint8Array | undefined {
    const at = this.packets.findIndex(fits);
    return at < 0 ? undefined : this.packets.splice(at, 1)[0];
  }

  /** Closes the socket and the device. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#socket.close();
    this.device.close();
  }

  #apply(outputs: readonly DeviceOutput[]): void {
    for (const output of outputs) {
      if (output.kind === "datagram") this.#send(output.endpoint, output.bytes);
      else if (output.kind === "packet") this.packets.push(Uint8Array.from(output.bytes));
    }
    clearTimeout(this.#timer);
    if (this.device.deadline === Infinity) return;
    const delay = Math.max(0, this.device.deadline - this.now);
    this.#timer = setTimeout(() => this.#apply(this.device.tick(this.now)), delay);
  }

  #send({ address, port }: PeerEndpoint, bytes: Uint8Array): void {
    this.sentTypes.push(bytes[0]!);
    this.#socket.send(Buffer.from(bytes), port, address.join("."));
  }
}
