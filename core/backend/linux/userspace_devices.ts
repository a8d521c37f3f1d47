/**
 * WireGuard devices in user space: a persistent TUN with our data path behind it, and its control socket.
 *
 * Link, address and routes outlive the process, so that a restart drops no flow: the next process finds the link
 * by name and tag, attaches to it and shakes hands anew.
 */

import { EBUSY } from "../../../ffi/errno.ts";
import { LinuxTun } from "../../../ffi/linux_tun.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import type { Link } from "../../../ffi/netlink/link.ts";
import { AlreadyExistsError, describeError, NotFoundError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { findStaleControlSockets, isStaleSocket } from "../../transport/stale_socket.ts";
import { LinuxTunnel } from "../../transport/wireguard/linux_tunnel.ts";
import { removeIfThere, UapiSocket } from "../../transport/wireguard/uapi_socket.ts";
import { UserspaceDevice } from "../../transport/wireguard/userspace_device.ts";
import type { DeviceChange, DeviceSpec, DeviceState, PeerNews } from "../backend.ts";
import { changeRequest, planDevice, refuseDefaultRoute, toDeviceState, toPeerNews } from "../device_plan.ts";
import { ensureOnlyAddress } from "./addresses.ts";
import { addRoutes, ensureRoutes, removeRoutes } from "./device_routes.ts";
import { hasErrno } from "./kernel_errors.ts";
import { foreignLink, isOwnedBy, tagOf } from "./ownership.ts";
import { LINK_UP, setLink } from "./requests.ts";
import type { RtNetlink } from "./rtnetlink.ts";
import type { HostSysctls } from "./sysctl.ts";

/** What devices are made with. */
export interface UserspaceTools {
  readonly host: RtNetlink;
  readonly sysctls: HostSysctls;
  readonly log: Log;
  /** Directory of control sockets; undefined for none. */
  readonly uapiDir: string | undefined;
  /** Told what devices learn of their peers. */
  readonly onNews: (device: string, news: readonly PeerNews[]) => void;
}

/** Packets that wait in the kernel while the data path is busy: as many as the kernel's own WireGuard keeps. */
const QUEUE_PACKETS = 1024;

/** A device at work. */
interface Running {
  readonly device: UserspaceDevice;
  readonly uapi: UapiSocket | undefined;
  /** Index of its link: another one of that name is another link. */
  readonly linkIndex: number;
  /** Whether an earlier process had the link, and peers may not know yet that its sessions are gone. */
  owesGreeting: boolean;
}

/** The devices of this process. */
export class UserspaceDevices implements AsyncDisposable {
  readonly #tools: UserspaceTools;
  readonly #running = new Map<string, Running>();

  constructor(tools: UserspaceTools) {
    this.#tools = tools;
  }

  /** Whether this host lets TUN devices be made. */
  static isAvailable(): boolean {
    try {
      return Deno.statSync("/dev/net/tun").isCharDevice === true;
    } catch {
      return false;
    }
  }

  /** Makes a device right. @throws {OverlayError} As `NetworkBackend.ensureDevice`. */
  async ensure(spec: DeviceSpec): Promise<void> {
    const { host, sysctls } = this.#tools;
    spec.routes.forEach(refuseDefaultRoute);
    const running = await this.#findOrStart(spec);
    const { device, linkIndex } = running;
    const target = { index: linkIndex };
    host.execute(setLink(spec.name, target, {
      mtuBytes: spec.mtuBytes,
      txQueueLength: QUEUE_PACKETS,
      // Packets from other nodes come in here and go on to containers.
      afSpec: { inet: { conf: new Map([[nl.IPV4_DEVCONF_FORWARDING, 1]]) } },
    }));
    await device.setMtu(spec.mtuBytes);
    const change = planDevice(await device.read(), spec);
    if (change) await device.write(change);
    ensureOnlyAddress(host, linkIndex, spec.address);
    host.execute(setLink(spec.name, target, LINK_UP));
    if (spec.address.address.family === 6) sysctls.enableIpv6Forwarding(spec.name);
    ensureRoutes(host, linkIndex, spec);
    if (running.owesGreeting) await device.greet();
    running.owesGreeting = false;
  }

  /** Changes peers and routes. @throws {OverlayError} As `NetworkBackend.changeDevice`. */
  async change(name: string, change: DeviceChange): Promise<void> {
    const { host } = this.#tools;
    change.addRoutes.forEach(refuseDefaultRoute);
    const { device, linkIndex } = this.#get(name);
    const added = addRoutes(host, linkIndex, change.addRoutes);
    try {
      await device.write(changeRequest(name, change));
    } catch (error) {
      removeRoutes(host, linkIndex, added);
      throw error;
    }
    removeRoutes(host, linkIndex, change.removeRoutes);
  }

  /** Whether a device of that name works. */
  isAlive(name: string): boolean {
    return this.#running.get(name)?.device.isAlive === true;
  }

  /** Reads a device. @throws {NotFoundError} If there is none. */
  async read(name: string): Promise<DeviceState> {
    const { device: running } = this.#get(name);
    const { device, drops } = await running.report();
    return toDeviceState(device, { kind: "userspace", crypto: running.cryptoName, drops });
  }

  /** Ends the data path of a device whose link is gone, and removes what an earlier process left of it. */
  async forget(name: string): Promise<void> {
    if (this.#tools.host.findLink(name) !== undefined) return;
    await this.#stop(name);
    const path = this.#socketPath(name);
    if (path !== undefined && await isStaleSocket(path)) removeIfThere(path);
  }

  /** Removes control sockets of devices that an earlier process had and that are no more. */
  async removeLeftovers(): Promise<void> {
    const { uapiDir, host, log } = this.#tools;
    if (uapiDir === undefined) return;
    try {
      for (const path of await findStaleControlSockets(uapiDir)) {
        const name = path.slice(uapiDir.length + 1, -".sock".length);
        if (host.findLink(name) === undefined) removeIfThere(path);
      }
    } catch (error) {
      log.warn("cannot look for left-over WireGuard control sockets", { err: describeError(error) });
    }
  }

  #socketPath(name: string): string | undefined {
    const { uapiDir } = this.#tools;
    return uapiDir === undefined ? undefined : `${uapiDir}/${name}.sock`;
  }

  /** Ends all data paths; the links stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    // At once, as a process that ends does not wait: control sockets are removed before the first wait.
    await Promise.all([...this.#running.keys()].map((name) => this.#stop(name)));
  }

  #get(name: string): Running {
    const running = this.#running.get(name);
    if (!running?.device.isAlive) throw new NotFoundError("WireGuard device", name);
    return running;
  }

  async #findOrStart(spec: DeviceSpec): Promise<Running> {
    const link = this.#tools.host.findLink(spec.name);
    if (link !== undefined && (link.info?.kind !== "tun" || !isOwnedBy(link, spec.tag))) {
      throw foreignLink(link);
    }
    const present = this.#running.get(spec.name);
    if (present && !present.device.hasFailed && link?.index === present.linkIndex) return present;
    await this.#stop(spec.name);
    return await this.#start(spec, link);
  }

  async #start(spec: DeviceSpec, link: Link | undefined): Promise<Running> {
    await using undo = new AsyncDisposableStack();
    const tun = undo.use(this.#openTun(spec, link));
    const { index } = this.#tools.host.link(spec.name);
    if (link === undefined || tagOf(link) !== spec.tag) {
      this.#tools.host.execute(setLink(spec.name, { index }, { alias: spec.tag, group: 0 }));
    }
    // Not before it is tagged: until then it goes with the process.
    tun.persist(true);
    const device = undo.use(await UserspaceDevice.start(new LinuxTunnel(tun)));
    device.onNews = (news) => this.#tools.onNews(spec.name, news.map(toPeerNews));
    device.onFailure = (err) =>
      this.#tools.log.error("user-space WireGuard device has failed", { interface: spec.name, err });
    const uapi = this.#openUapi(spec.name, device);
    undo.move();
    this.#tools.log.info("user-space WireGuard device runs", {
      interface: spec.name,
      crypto: device.cryptoName,
      adopted: link !== undefined,
    });
    const running = { device, uapi, linkIndex: index, owesGreeting: link !== undefined };
    this.#running.set(spec.name, running);
    return running;
  }

  #openTun(spec: DeviceSpec, link: Link | undefined): LinuxTun {
    try {
      return LinuxTun.open(spec.name);
    } catch (error) {
      if (link === undefined || !hasErrno(error, EBUSY)) throw error;
      throw new AlreadyExistsError(`Kernel link '${spec.name}' already exists: another process uses it`, {
        cause: error,
      });
    }
  }

  /** A device is of use without its control socket too. */
  #openUapi(name: string, device: UserspaceDevice): UapiSocket | undefined {
    const { log } = this.#tools;
    const path = this.#socketPath(name);
    if (path === undefined) return undefined;
    try {
      return UapiSocket.listen(path, device, log);
    } catch (error) {
      log.warn("no WireGuard control socket", { interface: name, err: describeError(error) });
      return undefined;
    }
  }

  async #stop(name: string): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) return;
    this.#running.delete(name);
    running.uapi?.[Symbol.dispose]();
    await running.device[Symbol.asyncDispose]();
  }
}
