/**
 * {@linkcode NetworkBackend} for Windows: containers on networks of the Host Compute Network service, WireGuard on
 * devices in user space. `windows/` does the work; this puts it together.
 *
 * A service has no link of its own here: its containers are on the node's network, or on its own one if it is
 * dedicated, and both are {@linkcode ContainerNetworks}. What the engine knows as a service's network is a name that
 * is kept for as long as the process runs.
 */

import { UnsupportedError } from "../errors.ts";
import type {
  BackendCapabilities,
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
import type { ContainerNetworks } from "./containers.ts";
import type { NodeDevices } from "./windows/node_devices.ts";

/** What a backend is made of; it closes both. */
export interface WindowsBackendParts {
  readonly containers: ContainerNetworks;
  readonly devices: NodeDevices;
}

/** See the module. */
export class WindowsBackend implements NetworkBackend {
  readonly kind = "windows";
  readonly containers: ContainerNetworks;
  readonly #devices: NodeDevices;
  readonly #services = new Map<string, ServiceNetworkSpec>();

  constructor({ containers, devices }: WindowsBackendParts) {
    this.containers = containers;
    this.#devices = devices;
  }

  capabilities(): Promise<BackendCapabilities> {
    return this.#devices.capabilities();
  }

  ensureServiceNetwork(spec: ServiceNetworkSpec): Promise<void> {
    this.#services.set(spec.name, spec);
    return Promise.resolve();
  }

  removeServiceNetwork(name: string, tag: OwnerTag): Promise<void> {
    if (this.#services.get(name)?.tag === tag) this.#services.delete(name);
    return Promise.resolve();
  }

  ensureDevice(spec: DeviceSpec): Promise<void> {
    return this.#devices.ensureDevice(spec);
  }

  changeDevice(name: string, change: DeviceChange): Promise<void> {
    return this.#devices.changeDevice(name, change);
  }

  removeDevice(name: string, tag: OwnerTag): Promise<void> {
    return this.#devices.removeDevice(name, tag);
  }

  readDevice(name: string): Promise<DeviceState> {
    return this.#devices.readDevice(name);
  }

  watchPeers(onNews: (device: string, news: readonly PeerNews[]) => void): () => void {
    return this.#devices.watchPeers(onNews);
  }

  identify(pid: number): Promise<NetnsIdentity> {
    return refuse(`the network namespace of process ${pid}`);
  }

  isAlive({ pid }: NetnsIdentity): Promise<boolean> {
    return refuse(`the network namespace of process ${pid}`);
  }

  attachContainer(): Promise<void> {
    return refuse("attaching a container by its process");
  }

  mendContainerLink(): Promise<boolean> {
    return refuse("a container's link");
  }

  /** None is ever made, so all are gone. */
  removeContainerLinks(): Promise<void> {
    return Promise.resolve();
  }

  async inventory(): Promise<readonly InventoryEntry[]> {
    const services = [...this.#services.values()].map(({ name, tag, gateway, mtuBytes }): InventoryEntry => ({
      kind: "bridge",
      name,
      tag,
      up: true,
      mtuBytes,
      addresses: [gateway],
      routes: [],
    }));
    return [...services, ...await this.#devices.inventory()];
  }

  removeEntry({ kind, name, tag }: InventoryEntry): Promise<void> {
    return kind === "bridge" ? this.removeServiceNetwork(name, tag) : this.#devices.removeDevice(name, tag);
  }

  egress(): Promise<Egress> {
    return this.#devices.egress();
  }

  isUdpPortFree(port: number): Promise<boolean> {
    return this.#devices.isUdpPortFree(port);
  }

  /** Forwarding and the like are set on interfaces of our own, which take them along. */
  changedHostSettings(): HostSettings {
    return {};
  }

  /** None is ever changed. */
  restoreHostSettings(): Promise<void> {
    return Promise.resolve();
  }

  watch(onChange: (name: string) => void): Promise<() => void> {
    return this.#devices.watch(onChange);
  }

  close(): void | Promise<void> {
    this.containers.close();
    return this.#devices.close();
  }
}

function refuse(what: string): Promise<never> {
  return Promise.reject(
    new UnsupportedError(
      `${what} is only supported on Linux: on Windows send handle platform windows_container`,
    ),
  );
}
