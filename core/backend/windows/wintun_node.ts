/** {@linkcode NodeDevices} on Wintun and IP Helper: the devices of one node, beside its container networks. */

import { bytesEqual } from "../../../ffi/bytes.ts";
import { type IpHelper, openIpHelper } from "../../../ffi/iphlpapi.ts";
import { openAdapterList } from "../../../ffi/windows/adapters.ts";
import { ChangeSignal } from "../../../ffi/windows/change_signal.ts";
import { AF_INET } from "../../../ffi/windows/sockaddr.ts";
import { decodeUnicastTable } from "../../../ffi/windows/unicast_address_row.ts";
import { Wintun } from "../../../ffi/wintun.ts";
import { describeError, NotFoundError, UnsupportedError } from "../../errors.ts";
import { formatIp, type IpAddress, ipToBytes } from "../../ip/address.ts";
import type { Log } from "../../log.ts";
import type { MarkerFile } from "../../marker_file.ts";
import type {
  BackendCapabilities,
  DeviceChange,
  DeviceSpec,
  DeviceState,
  Egress,
  InventoryEntry,
  OwnerTag,
  PeerNews,
} from "../backend.ts";
import type { AddressHolder } from "./device_address.ts";
import { WindowsDevices } from "./devices.ts";
import { findWindowsEgress } from "./egress.ts";
import { watchHost } from "./host_watch.ts";
import { setInterface } from "./interfaces.ts";
import type { AddressSharing, NodeDevices } from "./node_devices.ts";
import { isOwnVnic } from "./own_vnic.ts";
import { translatedWin32 } from "./win32_errors.ts";

/** The host's adapter on a new network may get its address after the network is made. */
const ADMIT_PAUSE_MS = 100;
const ADMIT_TIMEOUT_MS = 3000;

/** Where the libraries are. */
export interface NodeLibraries {
  /** Absolute paths of `wintun.dll`, tried in order. */
  readonly wintun: readonly string[];
  /** Of `iphlpapi.dll`. */
  readonly ipHelper: string;
}

/** What a node is made of. */
export interface WintunNodeOptions {
  readonly libraries: NodeLibraries;
  /** Knows the networks that are ours. */
  readonly marker: MarkerFile;
  readonly log: Log;
}

/** See the module. Nothing is opened before it is needed. */
export class WintunNode implements NodeDevices, AddressSharing {
  readonly #options: WintunNodeOptions;
  readonly #devices: WindowsDevices;
  readonly #peerWatchers = new Set<(device: string, news: readonly PeerNews[]) => void>();
  readonly #watchers = new Set<(name: string) => void>();
  #wintun: Wintun | undefined;
  #ipHelper: IpHelper | undefined;

  constructor(options: WintunNodeOptions) {
    this.#options = options;
    this.#devices = new WindowsDevices({
      wintun: () => this.#openWintun(),
      ipHelper: () => this.#openIpHelper(),
      ipHelperPath: options.libraries.ipHelper,
      isOwnVnic: (holder) => this.#isOwnVnic(holder),
      log: options.log,
      onNews: (device, news) => {
        for (const onNews of this.#peerWatchers) onNews(device, news);
      },
      onLost: (device) => this.#changed(device),
    });
  }

  // deno-lint-ignore require-await
  async capabilities(): Promise<BackendCapabilities> {
    const reason = this.#missing();
    return { wireguard: reason === undefined ? { kind: "userspace" } : { kind: "none", reason } };
  }

  async ensureDevice(spec: DeviceSpec): Promise<void> {
    const reason = this.#missing();
    if (reason !== undefined) throw new UnsupportedError(reason);
    await this.#devices.ensure(spec);
  }

  changeDevice(name: string, change: DeviceChange): Promise<void> {
    return this.#devices.change(name, change);
  }

  removeDevice(name: string, tag: OwnerTag): Promise<void> {
    return this.#devices.remove(name, tag);
  }

  readDevice(name: string): Promise<DeviceState> {
    return this.#devices.read(name);
  }

  watchPeers(onNews: (device: string, news: readonly PeerNews[]) => void): () => void {
    this.#peerWatchers.add(onNews);
    return () => this.#peerWatchers.delete(onNews);
  }

  /** Only those of this process: an adapter goes with whoever made it. */
  inventory(): Promise<readonly InventoryEntry[]> {
    return translatedWin32("look at devices", () => Promise.resolve(this.#devices.inventory()));
  }

  egress(): Promise<Egress> {
    const { ipHelper } = this.#options.libraries;
    return translatedWin32(
      "find the way out of this host",
      () => Promise.resolve(findWindowsEgress(openAdapterList(ipHelper))),
    );
  }

  isUdpPortFree(port: number): Promise<boolean> {
    return translatedWin32(`test UDP port ${port}`, () => Promise.resolve(this.#devices.isUdpPortFree(port)));
  }

  /**
   * Tells of devices that ended by themselves, whose address, routes, MTU or forwarding somebody has changed, or whose address
   * has gone to another adapter.
   */
  watch(onChange: (name: string) => void): Promise<() => void> {
    const { libraries, log } = this.#options;
    this.#watchers.add(onChange);
    const stop = watchHost({
      openSignal: () => new ChangeSignal(libraries.ipHelper),
      strayed: () => this.#devices.strayed(),
      onStrayed: onChange,
      log,
    });
    return Promise.resolve(() => {
      stop();
      this.#watchers.delete(onChange);
    });
  }

  yieldAddress(address: IpAddress): Promise<void> {
    return translatedWin32(
      `give up address ${formatIp(address)}`,
      () => Promise.resolve(this.#devices.yieldAddress(address)),
    );
  }

  /** Devices without it are told of: whoever keeps them right has them take it, or finds it on the adapter. */
  reclaimAddress(address: IpAddress): void {
    for (const name of this.#devices.reclaimAddress(address)) this.#changed(name);
  }

  async admitAdapter(address: IpAddress): Promise<void> {
    try {
      await translatedWin32(`forward packets at ${formatIp(address)}`, async () => {
        const luid = await this.#adapterWith(address);
        setInterface(this.#openIpHelper(), { luid, family: 4 }, { forwarding: true, weakHost: true });
      });
    } finally {
      this.reclaimAddress(address);
    }
  }

  /** LUID of the adapter that has the address. @throws {NotFoundError} If none gets it soon. */
  async #adapterWith(address: IpAddress): Promise<bigint> {
    const ipHelper = this.#openIpHelper();
    const bytes = ipToBytes(address);
    for (let waitedMs = 0;; waitedMs += ADMIT_PAUSE_MS) {
      const own = this.#devices.luids();
      const holder = decodeUnicastTable(ipHelper.addressTable(AF_INET))
        .find((one) => bytesEqual(one.address, bytes) && !own.includes(one.luid));
      if (holder !== undefined) return holder.luid;
      if (waitedMs >= ADMIT_TIMEOUT_MS) break;
      await new Promise((resolve) => setTimeout(resolve, ADMIT_PAUSE_MS));
    }
    throw new NotFoundError("adapter", formatIp(address), {
      message: `no adapter of this host has address ${formatIp(address)}`,
    });
  }

  /** Adapters go with it, which takes Windows a second or two. */
  async close(): Promise<void> {
    await this.#devices[Symbol.asyncDispose]();
  }

  #changed(name: string): void {
    for (const onChange of this.#watchers) onChange(name);
  }

  /** Why there is no WireGuard. */
  #missing(): string | undefined {
    try {
      this.#openWintun();
      return undefined;
    } catch (error) {
      return `this host has no WireGuard: ${describeError(error)}`;
    }
  }

  #openWintun(): Wintun {
    if (this.#wintun !== undefined) return this.#wintun;
    const { libraries, log } = this.#options;
    const wintun = Wintun.open(
      libraries.wintun,
      (level, message) => log[level === "error" ? "warn" : "debug"]("Wintun", { message }),
    );
    const { path, caution } = wintun;
    if (caution !== undefined) log.warn("Wintun was loaded for its signature alone", { path, caution });
    return this.#wintun = wintun;
  }

  #openIpHelper(): IpHelper {
    return this.#ipHelper ??= openIpHelper(this.#options.libraries.ipHelper);
  }

  async #isOwnVnic(holder: AddressHolder): Promise<boolean> {
    const { networks } = await this.#options.marker.load();
    return isOwnVnic(holder, networks, this.#describe(holder));
  }

  /** What Windows describes an adapter as; empty where it does not say. */
  #describe({ luid }: AddressHolder): string {
    const { libraries, log } = this.#options;
    try {
      const adapters = openAdapterList(libraries.ipHelper).adapters();
      return adapters.find((one) => one.luid === luid)?.description ?? "";
    } catch (error) {
      log.warn("cannot list the adapters of this host", { err: describeError(error) });
      return "";
    }
  }
}
