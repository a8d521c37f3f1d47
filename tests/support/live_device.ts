/**
 * Our protocol core over a real UDP socket and the real clock, with no TUN: the test hands packets in and waits
 * for those that come out.
 */
import { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { parseIp } from "../../core/ip/address.ts";
import { Device, type DeviceOptions } from "../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../core/wireguard/endpoint.ts";
import { nobleProvider } from "../../core/wireguard/noble_provider.ts";
import type { DeviceOutput } from "../../core/wireguard/output.ts";
import { waitFor } from "./wait_for.ts";

/** A datagram that was sent or received. */
export interface Recorded {
  readonly direction: "sent" | "received";
  readonly bytes: Uint8Array;
}

/** A device on a UDP socket. */
export class LiveDevice implements AsyncDisposable {
  readonly device: Device;
  /** Packets that came out. */
  readonly packets: Uint8Array[] = [];
  /** News, in order. */
  readonly news: string[] = [];
  /** All datagrams, in order. */
  readonly recorded: Recorded[] = [];
  /** Added to the clock, so that a test need not wait for deadlines. */
  aheadMs = 0;
  #socket: Socket;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    socket: Socket,
    options: DeviceOptions & { readonly random?: (bytes: Uint8Array) => void },
  ) {
    this.#socket = socket;
    this.device = new Device({
      crypto: nobleProvider(),
      random: options.random ?? ((bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>)),
      wallClockMs: () => Date.now() + this.aheadMs,
    }, options);
    this.#listen(socket);
  }

  /** Binds a socket to an address and any port. */
  static async bind(
    address: string,
    options: DeviceOptions & { readonly random?: (bytes: Uint8Array) => void } = {},
  ): Promise<LiveDevice> {
    return new LiveDevice(await bound(address), options);
  }

  /** Port the socket is bound to. */
  get port(): number {
    return this.#socket.address().port;
  }

  /** Moves to another socket, as a roaming host does. */
  async rebind(address: string): Promise<void> {
    const socket = await bound(address);
    this.#socket.close();
    this.#socket = socket;
    this.#listen(socket);
  }

  /** Monotonic ms. */
  get now(): number {
    return performance.now() + this.aheadMs;
  }

  /** A packet comes out of the TUN. */
  sendPacket(packet: Uint8Array): void {
    this.apply(this.device.handleTun(packet, this.now));
  }

  /** Does what the device wants done. */
  apply(outputs: readonly DeviceOutput[]): void {
    for (const output of outputs) {
      if (output.kind === "datagram") this.#send(output.endpoint, output.bytes);
      else if (output.kind === "packet") this.packets.push(Uint8Array.from(output.bytes));
      else if (output.kind !== "rejection") this.news.push(output.kind);
    }
    this.#arm();
  }

  /** Waits for a packet that fits, and takes it. */
  async packet(what: string, fits: (packet: Uint8Array) => boolean): Promise<Uint8Array> {
    return await waitFor(what, () => {
      const at = this.packets.findIndex(fits);
      return at < 0 ? undefined : this.packets.splice(at, 1)[0];
    });
  }

  /** Closes the socket and the device. */
  [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#socket.close();
    this.device.close();
    return Promise.resolve();
  }

  #listen(socket: Socket): void {
    socket.on("message", (message, { address, port }) => {
      const bytes = Uint8Array.from(message);
      this.recorded.push({ direction: "received", bytes: Uint8Array.from(bytes) });
      this.apply(this.device.handleUdp(bytes, PeerEndpoint.of(parseIp(address)!, port), this.now));
    });
  }

  #send(to: PeerEndpoint, bytes: Uint8Array): void {
    this.recorded.push({ direction: "sent", bytes: Uint8Array.from(bytes) });
    const text = to.toString();
    const host = text.slice(0, text.lastIndexOf(":")).replaceAll(/[[\]]/g, "");
    this.#socket.send(Buffer.from(bytes), to.port, host);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.device.deadline === Infinity) return;
    const delay = Math.max(0, this.device.deadline - this.now);
    this.#timer = setTimeout(() => this.apply(this.device.tick(this.now)), delay);
  }
}

async function bound(address: string): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.bind(0, address);
  await once(socket, "listening");
  return socket;
}
