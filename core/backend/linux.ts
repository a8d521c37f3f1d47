/** {@linkcode NetworkBackend} for Linux, over netlink. `linux/` does the work; this puts it together. */

import type { NetlinkSubscription } from "../../ffi/netlink.ts";
import { canBindUdp } from "../../ffi/udp_probe.ts";
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
  ServiceNetworkSpec,
} from "./backend.ts";
import { attachContainer, type AttachmentTools, mendContainerLink } from "./linux/attachment.ts";
import { ensureBridge } from "./linux/bridge.ts";
import { changeDevice, type DeviceTools, ensureDevice, readDevice } from "./linux/device.ts";
import { findEgress } from "./linux/egress.ts";
import { takeInventory } from "./linux/inventory.ts";
import { translated } from "./linux/kernel_errors.ts";
import { LinkRemover } from "./linux/link_remover.ts";
import { identify, isAlive } from "./linux/process.ts";
import { RtNetlink } from "./linux/rtnetlink.ts";
import { HostSysctls } from "./linux/sysctl.ts";
import { watchLinks } from "./linux/watch.ts";
import { NO_KERNEL_WIREGUARD, WireGuardControl } from "./linux/wireguard_control.ts";

/** See the module. */
export class LinuxBackend implements NetworkBackend {
  readonly kind = "linux";
  readonly #host: RtNetlink;
  readonly #wireguard: WireGuardControl;
  readonly #remover: LinkRemover;
  readonly #sysctls: HostSysctls;
  readonly #log: Log;
  readonly #watches = new Set<NetlinkSubscription>();

  private constructor(log: Log) {
    this.#log = log;
    this.#host = RtNetlink.open();
    this.#wireguard = WireGuardControl.open();
    this.#remover = new LinkRemover(RtNetlink.open());
    this.#sysctls = new HostSysctls(log);
  }

  /** Opens the connections to the kernel. @throws {OverlayError} If there is no netlink. */
  static open(log: Log): Promise<LinuxBackend> {
    return run("talk to the kernel", () => new LinuxBackend(log));
  }

  get #attachmentTools(): AttachmentTools {
    return { host: this.#host, remover: this.#remover, sysctls: this.#sysctls };
  }

  get #deviceTools(): DeviceTools {
    return { host: this.#host, wireguard: this.#wireguard, sysctls: this.#sysctls };
  }

  capabilities(): Promise<BackendCapabilities> {
    return run("ask the kernel for WireGuard", () => ({
      wireguard: this.#wireguard.isAvailable()
        ? { kind: "kernel" as const }
        : { kind: "none" as const, reason: NO_KERNEL_WIREGUARD },
    }));
  }

  ensureServiceNetwork(spec: ServiceNetworkSpec): Promise<void> {
    return run(`set up bridge ${spec.name}`, () => ensureBridge(this.#host, this.#sysctls, spec));
  }

  removeServiceNetwork(name: string, tag: OwnerTag): Promise<void> {
    return this.#remover.remove([{ name, tag }]);
  }

  ensureDevice(spec: DeviceSpec): Promise<void> {
    return run(`set up WireGuard device ${spec.name}`, () => ensureDevice(this.#deviceTools, spec));
  }

  changeDevice(name: string, change: DeviceChange): Promise<void> {
    return run(
      `change WireGuard device ${name}`,
      () => changeDevice(this.#deviceTools, name, change),
    );
  }

  removeDevice(name: string, tag: OwnerTag): Promise<void> {
    return this.#remover.remove([{ name, tag }]);
  }

  readDevice(name: string): Promise<DeviceState> {
    return run(`read WireGuard device ${name}`, () => readDevice(this.#deviceTools, name));
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
    return run("list the host's links", () => takeInventory(this.#host));
  }

  removeEntry(entry: InventoryEntry): Promise<void> {
    return this.#remover.remove([{ name: entry.name, tag: entry.tag }]);
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
