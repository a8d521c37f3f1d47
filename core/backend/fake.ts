/** {@linkcode NetworkBackend} on a {@linkcode FakeHost}: the engine runs whole on it, on any OS. */

import { AlreadyExistsError, InvalidConfigError, NotFoundError, UnsupportedError } from "../errors.ts";
import type { FakeHost, FakeLink, FakeProcess } from "./fake_host.ts";
import { formatIp, ipEquals, parseIp } from "../ip/address.ts";
import { formatPrefix, hostPrefix, type IpPrefix, prefixEquals } from "../ip/prefix.ts";
import type {
  BackendCapabilities,
  ContainerLinkSpec,
  ContainerSpec,
  DeviceChange,
  DevicePeer,
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

/** One daemon's view of a {@linkcode FakeHost}. */
export class FakeBackend implements NetworkBackend {
  readonly kind = "fake";
  readonly host: FakeHost;
  readonly containers?: ContainerNetworks;
  #settings: Record<string, string> = {};
  #watcher: ((name: string) => void) | undefined;

  /** @param options `containers`: what a fake Windows attaches its containers with. */
  constructor(host: FakeHost, options: { readonly containers?: ContainerNetworks } = {}) {
    this.host = host;
    if (options.containers) this.containers = options.containers;
  }

  capabilities(): Promise<BackendCapabilities> {
    return this.#answer(() => ({
      wireguard: this.host.wireguard
        ? { kind: this.host.implementation }
        : { kind: "none", reason: NO_WIREGUARD },
    }));
  }

  ensureServiceNetwork(spec: ServiceNetworkSpec): Promise<void> {
    return this.#answer(() => {
      const { host } = this;
      let bridge = host.links.get(spec.name);
      if (bridge && (bridge.kind !== "bridge" || (bridge.tag !== "" && bridge.tag !== spec.tag))) {
        throw new AlreadyExistsError(`link ${spec.name} already exists and is not ours (${bridge.tag})`);
      }
      if (!bridge) {
        const made = newLink("bridge", spec.name, spec.tag, spec.mtuBytes);
        host.effect(`create bridge ${spec.name}`, () => host.add(made));
        bridge = made;
      }
      const link = bridge;
      if (link.addresses.length !== 1 || !samePrefix(link.addresses[0]!, spec.gateway)) {
        host.effect(`address ${spec.name}`, () => link.addresses = [spec.gateway]);
      }
      if (!link.up || link.tag !== spec.tag || link.mtuBytes !== spec.mtuBytes) {
        host.effect(
          `up ${spec.name}`,
          () => Object.assign(link, { up: true, tag: spec.tag, mtuBytes: spec.mtuBytes }),
        );
      }
    });
  }

  removeServiceNetwork(name: string, tag: OwnerTag): Promise<void> {
    return this.#answer(() => this.#removeTagged(name, tag));
  }

  ensureDevice(spec: DeviceSpec): Promise<void> {
    return this.#answer(() => {
      const { host } = this;
      if (!host.wireguard) throw new UnsupportedError(NO_WIREGUARD);
      let link = host.links.get(spec.name);
      if (link && (link.kind !== "wireguard" || link.tag !== spec.tag)) {
        throw new AlreadyExistsError(`Kernel link '${spec.name}' already exists`);
      }
      if (!link) {
        const made = newLink("wireguard", spec.name, spec.tag, spec.mtuBytes);
        made.device = { privateKey: new Uint8Array(32), listenPort: 0, peers: new Map() };
        host.effect(`create device ${spec.name}`, () => host.add(made));
        link = made;
      }
      const target = link;
      const device = target.device!;
      host.effect(`configure ${spec.name}`, () => {
        device.privateKey = spec.privateKey.slice();
        device.listenPort = spec.listenPort;
        const wanted = new Set(spec.peers.map((peer) => hex(peer.publicKey)));
        for (const key of device.peers.keys()) if (!wanted.has(key)) device.peers.delete(key);
        for (const peer of spec.peers) setPeer(device.peers, peer, { keepRoamed: true });
      });
      host.effect(`up ${spec.name}`, () => {
        Object.assign(target, { up: true, mtuBytes: spec.mtuBytes });
        target.addresses = [spec.address];
        target.routes = [...spec.routes];
      });
    });
  }

  changeDevice(name: string, change: DeviceChange): Promise<void> {
    return this.#answer(() => {
      const link = this.host.links.get(name);
      if (!link?.device) throw new NotFoundError("WireGuard device", name);
      const device = link.device;
      this.host.effect(`change peers of ${name}`, () => {
        for (const key of change.remove) device.peers.delete(hex(key));
        for (const peer of change.set) {
          setPeer(device.peers, peer, { keepRoamed: change.keepRoamed ?? false });
        }
        link.routes = link.routes.filter((r) => !change.removeRoutes.some((gone) => prefixEquals(gone, r)));
        for (const route of change.addRoutes) {
          if (!link.routes.some((r) => prefixEquals(r, route))) link.routes.push(route);
        }
      });
    });
  }

  removeDevice(name: string, tag: OwnerTag): Promise<void> {
    return this.#answer(() => this.#removeTagged(name, tag));
  }

  readDevice(name: string): Promise<DeviceState> {
    return this.#answer(() => {
      const device = this.host.links.get(name)?.device;
      if (!device) throw new NotFoundError("WireGuard device", name);
      return {
        kind: this.host.implementation,
        ...(this.host.implementation === "kernel" ? {} : { crypto: "fake", drops: device.drops ?? {} }),
        listenPort: device.listenPort,
        publicKey: this.host.publicKeyOf(device.privateKey),
        peers: [...device.peers.values()].map((peer) => ({
          publicKey: peer.publicKey,
          ...(peer.endpoint ? { endpoint: peer.endpoint } : {}),
          allowedIps: peer.allowedIps,
          keepaliveSeconds: peer.keepaliveSeconds,
          lastHandshakeUnixSecs: peer.handshake,
          rxBytes: peer.rx,
          txBytes: peer.tx,
        })),
      };
    });
  }

  watchPeers(onNews: (device: string, news: readonly PeerNews[]) => void): () => void {
    this.host.peerWatchers.add(onNews);
    return () => this.host.peerWatchers.delete(onNews);
  }

  identify(pid: number): Promise<NetnsIdentity> {
    return this.#answer(() => {
      if (pid === 1) throw new InvalidConfigError("pid 1 runs in the daemon's own network namespace");
      const process = this.host.processes.get(pid);
      if (!process) {
        throw new NotFoundError("process", String(pid), { message: `no process with pid ${pid}` });
      }
      return {
        pid,
        startTicks: process.startTicks,
        device: 4n,
        inode: process.inode,
        bootId: this.host.bootId,
      };
    });
  }

  isAlive(netns: NetnsIdentity): Promise<boolean> {
    return this.#answer(() => {
      const process = this.host.processes.get(netns.pid);
      return process !== undefined && process.startTicks === netns.startTicks &&
        process.inode === netns.inode && this.host.bootId === netns.bootId;
    });
  }

  attachContainer(spec: ContainerSpec): Promise<void> {
    return this.#answer(() => {
      const process = this.host.processes.get(spec.netns.pid);
      if (!process || process.inode !== spec.netns.inode) {
        throw new NotFoundError("netns of pid", `${spec.netns.pid}`);
      }
      const made: ContainerLinkSpec[] = [];
      try {
        for (const link of spec.links) {
          this.#attachLink(process, link);
          made.push(link);
        }
      } catch (error) {
        for (const link of made) this.#removeTagged(link.hostName, link.tag);
        throw error;
      }
    });
  }

  mendContainerLink(link: ContainerLinkSpec): Promise<boolean> {
    return this.#answer(() => {
      const veth = this.host.links.get(link.hostName);
      if (!veth || veth.tag !== link.tag) return false;
      const { uplink } = link;
      if (uplink.kind === "bridge" && veth.master !== uplink.bridge) {
        if (this.host.links.get(uplink.bridge)?.kind !== "bridge") {
          throw new NotFoundError("bridge", uplink.bridge);
        }
        this.host.effect(`enslave ${link.hostName}`, () => veth.master = uplink.bridge);
      }
      if (!veth.up) this.host.effect(`up ${link.hostName}`, () => veth.up = true);
      const route = hostPrefix(link.address.address);
      if (uplink.kind === "routed" && !veth.routes.some((have) => prefixEquals(have, route))) {
        this.host.effect(`route ${link.hostName}`, () => veth.routes = [route]);
      }
      return true;
    });
  }

  removeContainerLinks(links: readonly { hostName: string; tag: OwnerTag }[]): Promise<void> {
    return this.#answer(() => {
      for (const link of links) this.#removeTagged(link.hostName, link.tag);
    });
  }

  inventory(): Promise<readonly InventoryEntry[]> {
    return this.#answer(() =>
      [...this.host.links.values()]
        .filter((l) => l.tag.startsWith("zlayer-overlayd/") || /^(zl-|veth-)/.test(l.name))
        .map((l) => ({
          kind: l.kind,
          name: l.name,
          tag: l.tag,
          up: l.up,
          ...(l.master === undefined ? {} : { master: l.master }),
          mtuBytes: l.mtuBytes,
          addresses: [...l.addresses],
          routes: [...l.routes],
        }))
    );
  }

  removeEntry(entry: InventoryEntry): Promise<void> {
    return this.#answer(() => this.#removeTagged(entry.name, entry.tag));
  }

  egress(): Promise<Egress> {
    return this.#answer(() => ({ interface: "eth0", ip: parseIp("192.0.2.10")!, mtuBytes: 1500 }));
  }

  isUdpPortFree(port: number): Promise<boolean> {
    return this.#answer(() => {
      const taken = [...this.host.links.values()].some((link) => link.device?.listenPort === port);
      return !taken && !this.host.busyPorts.has(port);
    });
  }

  changedHostSettings(): HostSettings {
    return { ...this.#settings };
  }

  restoreHostSettings(settings: HostSettings): Promise<void> {
    return this.#answer(() => {
      for (const key of Object.keys(settings)) delete this.#settings[key];
    });
  }

  watch(onChange: (name: string) => void): Promise<() => void> {
    return this.#answer(() => {
      this.host.watchers.add(onChange);
      this.#watcher = onChange;
      return () => this.host.watchers.delete(onChange);
    });
  }

  close(): void {
    this.containers?.close();
    if (this.#watcher) this.host.watchers.delete(this.#watcher);
  }

  #attachLink(process: FakeProcess, link: ContainerLinkSpec): void {
    const { host } = this;
    if (process.links.has(link.containerName)) {
      throw new AlreadyExistsError(`pid ${process.pid} already has an interface ${link.containerName}`);
    }
    for (const other of host.processes.values()) {
      for (const theirs of other.links.values()) {
        if (ipEquals(theirs.address.address, link.address.address)) {
          throw new AlreadyExistsError(
            `address ${formatIp(link.address.address)} is live in pid ${other.pid}`,
          );
        }
      }
    }
    const veth = newLink("veth", link.hostName, link.tag, link.mtuBytes);
    veth.peer = { pid: process.pid, name: link.containerName };
    if (link.uplink.kind === "bridge") veth.master = link.uplink.bridge;
    else veth.routes = [hostPrefix(link.address.address)];
    host.effect(`create veth ${link.hostName}`, () => {
      host.add(veth);
      veth.up = true;
    });
    try {
      host.effect(`configure ${link.containerName} in pid ${process.pid}`, () => {
        if (!host.links.has(link.hostName)) throw new NotFoundError("link", link.hostName);
        process.links.set(link.containerName, { address: link.address, mac: link.mac });
      });
    } catch (error) {
      this.#removeTagged(link.hostName, link.tag);
      throw error;
    }
  }

  #removeTagged(name: string, tag: OwnerTag): void {
    if (this.host.links.get(name)?.tag !== tag) return;
    this.host.effect(`delete ${name}`, () => this.host.remove(name));
  }

  /** Every call answers in a later turn, as a real one may. */
  #answer<T>(work: () => T): Promise<T> {
    return Promise.resolve().then(work);
  }
}

const NO_WIREGUARD = "kernel has no WireGuard (fake host)";

function newLink(kind: FakeLink["kind"], name: string, tag: OwnerTag, mtuBytes: number): FakeLink {
  return { kind, name, tag, up: false, mtuBytes, addresses: [], routes: [] };
}

function samePrefix(a: IpPrefix, b: IpPrefix): boolean {
  return formatPrefix(a) === formatPrefix(b);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Adds or changes one peer; an allowed IP that another peer had moves (cryptokey routing has one owner). */
function setPeer(
  peers: NonNullable<FakeLink["device"]>["peers"],
  peer: DevicePeer,
  { keepRoamed }: { readonly keepRoamed: boolean },
): void {
  const key = hex(peer.publicKey);
  for (const [otherKey, other] of peers) {
    if (otherKey === key) continue;
    const kept = other.allowedIps.filter((ip) => !peer.allowedIps.some((taken) => prefixEquals(taken, ip)));
    if (kept.length !== other.allowedIps.length) peers.set(otherKey, { ...other, allowedIps: kept });
  }
  const old = peers.get(key);
  const hasSpoken = old !== undefined && old.handshake !== 0;
  const endpoint = keepRoamed && hasSpoken ? old.endpoint : peer.endpoint ?? old?.endpoint;
  const { handshake = 0, rx = 0, tx = 0 } = old ?? {};
  peers.set(key, { handshake, rx, tx, ...peer, ...(endpoint ? { endpoint } : {}) });
}
