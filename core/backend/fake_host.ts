/**
 * A host in memory: links, bridges, WireGuard devices, processes with network namespaces.
 *
 * It is the kernel's side and outlives daemons. As strict as the real one (name lengths, masters that must
 * exist), and every change passes {@linkcode FakeHost.onEffect}, where a test may stop the world before or after it.
 */

import { AlreadyExistsError, InvalidConfigError, NotFoundError } from "../errors.ts";
import type { IpPrefix } from "../ip/prefix.ts";
import type { DevicePeer, InventoryEntry, OwnerTag, PeerNews } from "./backend.ts";

/** A link of the fake host's own namespace. */
export interface FakeLink {
  readonly kind: InventoryEntry["kind"];
  readonly name: string;
  tag: OwnerTag;
  up: boolean;
  master?: string;
  mtuBytes: number;
  addresses: IpPrefix[];
  routes: IpPrefix[];
  /** Of a veth: where its other end is. */
  peer?: { readonly pid: number; readonly name: string };
  device?: {
    privateKey: Uint8Array;
    listenPort: number;
    peers: Map<string, DevicePeer & { handshake: number; rx: number; tx: number }>;
    drops?: Record<string, number>;
  };
}

/** A process with a network namespace of its own. */
export interface FakeProcess {
  readonly pid: number;
  readonly startTicks: bigint;
  readonly inode: bigint;
  readonly links: Map<string, { readonly address: IpPrefix; readonly mac: Uint8Array }>;
}

/** Called before and after each change of the fake host; throwing before it prevents it. */
export type EffectHook = (label: string, when: "before" | "after") => void;

/** The kernel's side: what survives a daemon. */
export class FakeHost {
  readonly links = new Map<string, FakeLink>();
  readonly processes = new Map<number, FakeProcess>();
  /** Ports that something else on this host holds. */
  readonly busyPorts = new Set<number>();
  bootId = "boot-1";
  wireguard = true;
  /** Which WireGuard it has; only that in user space tells news. */
  implementation: "kernel" | "userspace" = "kernel";
  onEffect: EffectHook = () => {};
  readonly watchers = new Set<(name: string) => void>();
  readonly peerWatchers = new Set<(device: string, news: readonly PeerNews[]) => void>();
  readonly #derivePublicKey: (privateKey: Uint8Array) => Uint8Array;
  #nextInode = 4026532000n;
  #nextTicks = 1000n;

  /** @param derivePublicKey X25519: public key of a private one; passed in to keep this module free of crypto. */
  constructor(derivePublicKey: (privateKey: Uint8Array) => Uint8Array) {
    this.#derivePublicKey = derivePublicKey;
  }

  /** Starts a process in a namespace of its own. */
  spawn(pid: number): FakeProcess {
    const process = { pid, startTicks: this.#nextTicks++, inode: this.#nextInode++, links: new Map() };
    this.processes.set(pid, process);
    return process;
  }

  /** Ends a process; its namespace goes, and with it every veth that has an end there. */
  kill(pid: number): void {
    this.processes.delete(pid);
    for (const link of [...this.links.values()]) if (link.peer?.pid === pid) this.#unlink(link.name);
  }

  /** What a reboot leaves: nothing but the boot id's change. */
  reboot(): void {
    this.links.clear();
    this.processes.clear();
    this.bootId += "'";
  }

  /** Deletes a link as a person would, with `ip link del`. */
  deleteByHand(name: string): void {
    this.#unlink(name);
  }

  /** A device in user space tells news of its peers. */
  tellNews(device: string, news: readonly PeerNews[]): void {
    for (const watcher of this.peerWatchers) watcher(device, news);
  }

  /** The public key that a device with this private key shows. */
  publicKeyOf(privateKey: Uint8Array): Uint8Array {
    return this.#derivePublicKey(privateKey);
  }

  /** One change of the host. */
  effect<T>(label: string, change: () => T): T {
    this.onEffect(label, "before");
    const result = change();
    this.onEffect(label, "after");
    return result;
  }

  /** Adds a link. */
  add(link: FakeLink): void {
    const bytes = new TextEncoder().encode(link.name).length;
    if (bytes === 0 || bytes > 15) {
      throw new InvalidConfigError(`interface name "${link.name}" has ${bytes} bytes`);
    }
    if (this.links.has(link.name)) throw new AlreadyExistsError(`link ${link.name} already exists`);
    if (link.master !== undefined && this.links.get(link.master)?.kind !== "bridge") {
      throw new NotFoundError("bridge", link.master);
    }
    this.links.set(link.name, link);
    this.#notify(link.name);
  }

  /** Deletes a link if it is there, the other end of a veth included. */
  remove(name: string): void {
    this.#unlink(name);
  }

  #unlink(name: string): void {
    const link = this.links.get(name);
    if (!link) return;
    this.links.delete(name);
    if (link.peer) this.processes.get(link.peer.pid)?.links.delete(link.peer.name);
    for (const port of this.links.values()) if (port.master === name) delete port.master;
    this.#notify(name);
  }

  #notify(name: string): void {
    for (const watcher of this.watchers) watcher(name);
  }
}
