/** WireGuard devices over the fakes of Wintun and IP Helper, in `deno.exe`. */
import type { DevicePeer, DeviceSpec, PeerNews } from "../../../core/backend/backend.ts";
import type { AddressHolder } from "../../../core/backend/windows/device_address.ts";
import { WindowsDevices, type WindowsDeviceTools } from "../../../core/backend/windows/devices.ts";
import { parseIp } from "../../../core/ip/address.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { NOBLE_HANDSHAKE } from "../../../core/wireguard/noble_provider.ts";
import { openIpHelper } from "../../../ffi/iphlpapi.ts";
import { Wintun } from "../../../ffi/wintun.ts";
import { waitFor } from "../../support/wait_for.ts";
import { FakeLibrary, fakePath } from "./fake_library.ts";
import { hex } from "./wintun_calls.ts";

/** A node of the tests: key, port and address. */
export interface Node {
  readonly name: string;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly port: number;
  readonly ip: string;
}

/** Node `n` of 10.200.0.0/16. */
export function node(n: number, port = 51_820 + n): Node {
  const privateKey = new Uint8Array(32).fill(n);
  return {
    name: `zl-${n}-g`,
    privateKey,
    publicKey: NOBLE_HANDSHAKE.x25519PublicKey(privateKey),
    port,
    ip: `10.200.${n}.1`,
  };
}

/** A node as a peer on this host. */
export function peerOf({ publicKey, port, ip }: Node): DevicePeer {
  return {
    publicKey,
    endpoint: { ip: parseIp("127.0.0.1")!, port },
    allowedIps: [parsePrefix(`${ip}/24`)!],
    keepaliveSeconds: 0,
  };
}

/** What a node's device should be. */
export function specOf(own: Node, peers: readonly Node[], more: Partial<DeviceSpec> = {}): DeviceSpec {
  return {
    name: own.name,
    tag: `zlayer-overlayd/zlayer/0011223344556677:device:${own.name}`,
    privateKey: own.privateKey,
    listenPort: own.port,
    address: parsePrefix(`${own.ip}/16`)!,
    mtuBytes: 1420,
    peers: peers.map(peerOf),
    routes: [],
    ...more,
  };
}

/** An IPv4 packet from one node to another with a number in it. */
export function packetTo(from: string, to: string, mark: number, size = 84): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(size).fill(mark);
  // No fragment, UDP: what somebody may be told of.
  packet.set([0x45, 0, size >>> 8, size & 0xff, 0, 0, 0, 0, 64, 17, 0, 0]);
  packet.set(from.split(".").map(Number), 12);
  packet.set(to.split(".").map(Number), 16);
  return packet;
}

/** What the fake of IP Helper has. */
// deno-lint-ignore no-explicit-any
export type HostDump = Record<"interfaces" | "addresses" | "routes", any[]>;

/** See the module. */
export class DeviceRig implements AsyncDisposable {
  readonly wintun = new FakeLibrary("wintun.dll");
  readonly host = new FakeLibrary("iphlpapi_fake.dll");
  readonly news: string[] = [];
  readonly lost: string[] = [];
  /** Names of virtual adapters that are ours. */
  readonly ownVnics = new Set<string>();
  /** As the devices see them: a test may change them on the way. */
  readonly tools: { -readonly [K in keyof WindowsDeviceTools]: WindowsDeviceTools[K] };
  readonly devices: WindowsDevices;

  /** @param tools What devices have otherwise than usual. */
  constructor(tools: Partial<WindowsDeviceTools> = {}) {
    let library: Wintun | undefined;
    this.tools = {
      wintun: () => library ??= Wintun.open([fakePath("wintun.dll")]),
      ipHelper: () => openIpHelper(fakePath("iphlpapi_fake.dll")),
      ipHelperPath: fakePath("iphlpapi_fake.dll"),
      isOwnVnic: ({ alias }: AddressHolder) => this.ownVnics.has(alias),
      log: SILENT_LOG,
      onNews: (device, news) => this.#onNews(device, news),
      onLost: (device) => void this.lost.push(device),
      ...tools,
    };
    this.devices = new WindowsDevices(this.tools);
  }

  /** What the stack has. */
  dump(): HostDump {
    return this.host.request("dump") as HostDump;
  }

  /** LUID of a device's adapter, decimal. */
  luidOf({ name }: Node): string {
    // deno-lint-ignore no-explicit-any
    return this.wintun.request("adapters").adapters.find((one: any) => one.name === name).luid;
  }

  /** Gives packets to a device, as the system does. @returns How many its ring had room for. */
  inject({ name }: Node, ...packets: readonly Uint8Array[]): number {
    return this.wintun.request("inject", { adapter: name, packets: packets.map(hex) }).queued;
  }

  /** Waits until so many packets have come out of all devices, and takes them. */
  async take(count: number): Promise<string[]> {
    const all: string[] = [];
    return await waitFor(`${count} packets`, () => {
      all.push(...this.wintun.request("take").packets);
      return all.length >= count ? all : undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.devices[Symbol.asyncDispose]();
    this.host[Symbol.dispose]();
    this.wintun[Symbol.dispose]();
  }

  #onNews(device: string, news: readonly PeerNews[]): void {
    for (const { handshake } of news) this.news.push(`${device} ${handshake ?? "moved"}`);
  }
}

/** A test with a rig, after which nothing is left in the fakes. */
export function rigTest(name: string, run: (rig: DeviceRig) => Promise<void>): void {
  Deno.test(name, async () => {
    await using rig = new DeviceRig();
    await run(rig);
    await rig.devices[Symbol.asyncDispose]();
    rig.wintun.assertClean();
    rig.host.assertClean();
  });
}
