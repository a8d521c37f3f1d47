/** {@linkcode NetworkBackend} for Linux, over netlink. `linux/` does the work; this puts it together. */

import type { NetlinkSubscription } from "../../ffi/netlink.ts";
import { canBindUdp } from "../../ffi/udp_probe.ts";
import type { WireGuardChoice } from "../config.ts";
import { UnsupportedError } from "../errors.ts";
import type { Log } from "../log.ts";
import type {
  BackendCapabilities,
  ContainerLinkSpec,
  ContainerSpec,
  DeviceChange,
  DeviceSpec,
  DeviceState,
  Egress,
  HostSettings,
  InventoryEntry,
  NetnsIdentity,
  NetworkBackend,
  OwnerTag,
  PeerNews,
  ServiceNetworkSpec,
} from "./backend.ts";
import { attachContainer, type AttachmentTools, mendContainerLink } from "./linux/attachment.ts";
import { ensureBridge } from "./linux/bridge.ts";
import { changeDevice, type DeviceTools, ensureDevice, readDevice } from "./linux/device.ts";
import { findEgress } from "./linux/egress.ts";
import { takeInventory } from "./linux/inventory.ts";
import { translate, translated } from "./linux/kernel_errors.ts";
import { LinkRemover } from "./linux/link_remover.ts";
import { identify, isAlive } from "./linux/process.ts";
import { RtNetlink } from "./linux/rtnetlink.ts";
import { HostSysctls } from "./linux/sysctl.ts";
import { UserspaceDevices } from "./linux/userspace_devices.ts";
import { watchLinks } from "./linux/watch.ts";
import { NO_KERNEL_WIREGUARD, WireGuardControl } from "./linux/wireguard_control.ts";

/** How a backend is to work. */
export interface LinuxBackendOptions {
  /** Which implementation of WireGuard; the kernel's is taken first unless said otherwise. */
  readonly wireguard?: WireGuardChoice;
  /** Directory of the control sockets of user-space devices; none are made without it. */
  readonly uapiDir?: string;
}

/** Why there is no WireGuard at all. */
const NO_WIREGUARD = `${NO_KERNEL_WIREGUARD}; nor is there /dev/net/tun for a device in user space`;

/** See the module. */
export class LinuxBackend implements NetworkBackend {
  readonly kind = "linux";
  readonly #host: RtNetlink;
  readonly #wireguard: WireGuardControl;
  readonly #remover: LinkRemover;
  readonly #sysctls: HostSysctls;
  readonly #log: Log;
  readonly #watches = new Set<NetlinkSubscription>();
  readonly #peerWatchers = new Set<(device: string, news: readonly PeerNews[]) => void>();
  readonly #userspace: UserspaceDevices;
  readonly #choice: WireGuardChoice;
  /** Decided at the first question that has an answer: devices do not change sides while the process runs. */
  #wireguardKind: "kernel" | "userspace" | undefined;

  private constructor(log: Log, options: LinuxBackendOptions) {
    this.#log = log;
    this.#choice = options.wireguard ?? "auto";
    this.#host = RtNetlink.open();
    this.#wireguard = WireGuardControl.open();
    this.#remover = new LinkRemover(RtNetlink.open());
    this.#sysctls = new HostSysctls(log);
    this.#userspace = new UserspaceDevices({
      host: this.#host,
      sysctls: this.#sysctls,
      log,
      uapiDir: options.uapiDir,
      onNews: (device, news) => {
        for (const onNews of this.#peerWatchers) onNews(device, news);
      },
    });
  }

  /** Opens the connections to the kernel. @throws {OverlayError} If there is no netlink. */
  static async open(log: Log, options: LinuxBackendOptions = {}): Promise<LinuxBackend> {
    const backend = await run("talk to the kernel", () => new LinuxBackend(log, options));
    await backend.#userspace.removeLeftovers();
    return backend;
  }

  /** Which implementation the devices of this process have; undefined if this host has none. */
  #kind(): "kernel" | "userspace" | undefined {
    if (this.#wireguardKind !== undefined) return this.#wireguardKind;
    const kernel = this.#choice !== "userspace" && this.#wireguard.isAvailable();
    const userspace = this.#choice !== "kernel" && UserspaceDevices.isAvailable();
    return this.#wireguardKind = kernel ? "kernel" : userspace ? "userspace" : undefined;
  }

  get #noWireGuard(): string {
    return this.#choice === "kernel" ? NO_KERNEL_WIREGUARD : NO_WIREGUARD;
  }

  get #attachmentTools(): AttachmentTools {
    return { host: this.#host, remover: this.#remover, sysctls: this.#sysctls };
  }

  get #deviceTools(): DeviceTools {
    return { host: this.#host, wireguard: this.#wireguard, sysctls: this.#sysctls };
  }

  capabilities(): Promise<BackendCapabilities> {
    return run("ask for WireGuard", () => {
      const kind = this.#kind();
      return { wireguard: kind ? { kind } : { kind: "none" as const, reason: this.#noWireGuard } };
    });
  }

  ensureServiceNetwork(spec: ServiceNetworkSpec): Promise<void> {
    return run(`set up bridge ${spec.name}`, () => ensureBridge(this.#host, this.#sysctls, spec));
  }

  removeServiceNetwork(name: string, tag: OwnerTag): Promise<void> {
    return this.#remover.remove([{ name, tag }]);
  }

  ensureDevice(spec: DeviceSpec): Promise<void> {
    return runAsync(`set up WireGuard device ${spec.name}`, async () => {
      const kind = this.#kind();
      if (kind === undefined) throw new UnsupportedError(this.#noWireGuard);
      await this.#removeOtherKind(spec, kind === "kernel" ? "tun" : "wireguard");
      if (kind === "kernel") ensureDevice(this.#deviceTools, spec);
      else await this.#userspace.ensure(spec);
    });
  }

  /** A device of ours that an earlier process made in the other way makes room. */
  async #removeOtherKind({ name, tag }: DeviceSpec, kind: "tun" | "wireguard"): Promise<void> {
    if (this.#host.findLink(name)?.info?.kind === kind) await this.#remover.remove([{ name, tag }]);
  }

  changeDevice(name: string, change: DeviceChange): Promise<void> {
    return runAsync(`change WireGuard device ${name}`, async () => {
      if (this.#kind() === "userspace") await this.#userspace.change(name, change);
      else changeDevice(this.#deviceTools, name, change);
    });
  }

  async removeDevice(name: string, tag: OwnerTag): Promise<void> {
    await this.#remover.remove([{ name, tag }]);
    await runAsync(`end WireGuard device ${name}`, () => this.#userspace.forget(name));
  }

  readDevice(name: string): Promise<DeviceState> {
    return runAsync(`read WireGuard device ${name}`, async () => {
      if (this.#kind() === "userspace") return await this.#userspace.read(name);
      return readDevice(this.#deviceTools, name);
    });
  }

  watchPeers(onNews: (device: string, news: readonly PeerNews[]) => void): () => void {
    this.#peerWatchers.add(onNews);
    return () => this.#peerWatchers.delete(onNews);
  }

  identify(pid: number): Promise<NetnsIdentity> {
    return run(`find the network namespace of process ${pid}`, () => identify(pid));
  }

  isAlive(netns: NetnsIdentity): Promise<boolean> {
    return run(`look after process ${netns.pid}`, () => isAlive(netns));
  }

  attachContainer(spec: ContainerSpec): Promise<void> {
    return attachContainer(this.#attachmentTools, spec);
  }

  mendContainerLink(link: ContainerLinkSpec): Promise<boolean> {
    return run(`mend link ${link.hostName}`, () => mendContainerLink(this.#attachmentTools, link));
  }

  removeContainerLinks(
    links: readonly { readonly hostName: string; readonly tag: OwnerTag }[],
  ): Promise<void> {
    return this.#remover.remove(links.map(({ hostName, tag }) => ({ name: hostName, tag })));
  }

  inventory(): Promise<readonly InventoryEntry[]> {
    const isDead = ({ kind, name }: InventoryEntry): boolean =>
      kind === "tun" && !this.#userspace.isAlive(name);
    return run(
      "list the host's links",
      () => takeInventory(this.#host).map((entry) => isDead(entry) ? { ...entry, isDead: true } : entry),
    );
  }

  removeEntry(entry: InventoryEntry): Promise<void> {
    return this.removeDevice(entry.name, entry.tag);
  }

  egress(): Promise<Egress> {
    return run("find the way out of this host", () => findEgress(this.#host));
  }

  isUdpPortFree(port: number): Promise<boolean> {
    return run(`test UDP port ${port}`, () => canBindUdp(4, port) && canBindUdp(6, port));
  }

  changedHostSettings(): HostSettings {
    return this.#sysctls.changed();
  }

  restoreHostSettings(settings: HostSettings): Promise<void> {
    return run("restore the host's settings", () => this.#sysctls.restore(settings));
  }

  watch(onChange: (name: string) => void): Promise<() => void> {
    return run("watch the host's links", () => {
      const subscription = watchLinks(onChange, () => this.#host.links());
      this.#watches.add(subscription);
      subscription.finished.catch((err) => this.#log.error("watching links ended", { err }));
      return () => {
        this.#watches.delete(subscription);
        subscription[Symbol.dispose]();
      };
    });
  }

  close(): void {
    for (const subscription of this.#watches) subscription[Symbol.dispose]();
    this.#watches.clear();
    void this.#userspace[Symbol.asyncDispose]();
    this.#remover[Symbol.dispose]();
    this.#wireguard[Symbol.dispose]();
    this.#host[Symbol.dispose]();
  }
}

/** Runs a synchronous conversation; what it throws becomes a rejection of the domain's. */
// deno-lint-ignore require-await
async function run<T>(doing: string, section: () => T): Promise<T> {
  return translated(doing, section);
}

/** The same for work that waits. */
async function runAsync<T>(doing: string, section: () => Promise<T>): Promise<T> {
  try {
    return await section();
  } catch (error) {
    throw translate(doing, error);
  }
}
