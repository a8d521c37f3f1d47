/**
 * WireGuard devices of Windows: a Wintun adapter with our data path behind it.
 *
 * An adapter goes with its process. The next process makes it anew, with the same identity, and shakes hands with
 * all peers, which may hold sessions that are no more.
 */

import type { IpHelper } from "../../../ffi/iphlpapi.ts";
import { canBindWindowsUdp } from "../../../ffi/windows/udp_socket.ts";
import type { Wintun } from "../../../ffi/wintun.ts";
import { AlreadyExistsError, describeError, NotFoundError } from "../../errors.ts";
import { type IpAddress, ipEquals } from "../../ip/address.ts";
import { canonicalPrefix, type IpPrefix, prefixEquals } from "../../ip/prefix.ts";
import type { Log } from "../../log.ts";
import { listenUapiPipe } from "../../transport/wireguard/uapi_pipe.ts";
import type { UapiServer } from "../../transport/wireguard/uapi_server.ts";
import { UserspaceDevice } from "../../transport/wireguard/userspace_device.ts";
import { WindowsTunnel } from "../../transport/wireguard/windows_tunnel.ts";
import type {
  DeviceChange,
  DeviceSpec,
  DeviceState,
  InventoryEntry,
  OwnerTag,
  PeerNews,
} from "../backend.ts";
import { changeRequest, planDevice, refuseDefaultRoute, toDeviceState, toPeerNews } from "../device_plan.ts";
import { adapterGuid, deploymentOf } from "./adapter_guid.ts";
import { type AddressTools, dropAddress, ensureOnlyAddress } from "./device_address.ts";
import { DeviceRoutes } from "./device_routes.ts";
import { readInterface, setUpTunnel } from "./interfaces.ts";
import { StackView } from "./stack_view.ts";
import { translatedWin32 } from "./win32_errors.ts";

/** What devices are made with. */
export interface WindowsDeviceTools {
  /** Opens Wintun, when the first device is made. @throws {LibraryError} If it is not there. */
  readonly wintun: () => Wintun;
  /** Opens IP Helper. */
  readonly ipHelper: () => IpHelper;
  /** Path of its library, for the threads of the data paths. */
  readonly ipHelperPath: string;
  /** Whether an interface is the host's virtual adapter of a container network of ours, which may have the address. */
  readonly isOwnVnic: AddressTools["isOwnVnic"];
  readonly log: Log;
  /** What comes before the name of a control pipe, where `wg.exe` looks unless given. */
  readonly uapiPrefix?: string;
  /** Another `ws2_32.dll` than the system's, for tests. */
  readonly winsock?: string;
  /** Told what devices learn of their peers. */
  readonly onNews: (device: string, news: readonly PeerNews[]) => void;
  /** Told when a device has ended by itself, say because somebody removed its adapter. */
  readonly onLost: (device: string) => void;
}

/** A device at work. */
interface Running {
  /** As it was asked for last. */
  spec: DeviceSpec;
  readonly device: UserspaceDevice;
  /** Its control pipe; undefined while the name is another's, or we may not have it. */
  uapi: UapiServer | undefined;
  /** Why there is none, as it was logged last. */
  uapiTrouble: string | undefined;
  readonly luid: bigint;
  readonly routes: DeviceRoutes;
  /** Which interface has the address; undefined until it was set. */
  place: { readonly address: IpPrefix; readonly luid: bigint } | undefined;
  owesGreeting: boolean;
  /** Whether packets of others could pass when it was set up last: what Windows does not take then is not missed. */
  wasOpen: boolean;
}

/** The devices of this process. */
export class WindowsDevices implements AsyncDisposable {
  readonly #tools: WindowsDeviceTools;
  readonly #running = new Map<string, Running>();
  /** Addresses that are about to be another adapter's. */
  readonly #yielded: IpAddress[] = [];

  constructor(tools: WindowsDeviceTools) {
    this.#tools = tools;
  }

  /** Makes a device right. @throws {OverlayError} As `NetworkBackend.ensureDevice`. */
  async ensure(spec: DeviceSpec): Promise<void> {
    spec.routes.forEach(refuseDefaultRoute);
    await translatedWin32(`set up device ${spec.name}`, async () => {
      const running = await this.#findOrStart(spec);
      running.spec = spec;
      await this.#setUp(running);
      running.uapi ??= this.#openUapi(running);
    });
  }

  async #setUp(running: Running): Promise<void> {
    const { spec, device, luid, routes } = running;
    const { address, mtuBytes } = spec;
    const tools = this.#addressTools();
    await setUpTunnel(tools, luid, { mtuBytes, family: address.address.family });
    await device.setMtu(mtuBytes);
    const change = planDevice(await device.read(), spec);
    if (change) await device.write(change);
    if (!this.#isYielded(address.address)) {
      running.place = { address, luid: await ensureOnlyAddress(tools, luid, address) };
    }
    // Where the virtual adapter has the address, Windows makes no route of it here.
    routes.ensure([canonicalPrefix(address), ...spec.routes]);
    this.#noteOpenness(running);
    if (running.owesGreeting) await device.greet();
    running.owesGreeting = false;
  }

  #noteOpenness(running: Running): void {
    const { ipHelper, log } = this.#tools;
    running.wasOpen = letsThrough(ipHelper(), running);
    if (running.wasOpen) return;
    log.warn("Windows does not keep forwarding switched on: containers do not reach other nodes", {
      interface: running.spec.name,
    });
  }

  /** Changes peers and routes. @throws {OverlayError} As `NetworkBackend.changeDevice`. */
  async change(name: string, change: DeviceChange): Promise<void> {
    change.addRoutes.forEach(refuseDefaultRoute);
    await translatedWin32(`change device ${name}`, async () => {
      const { device, routes } = this.#get(name);
      const added = routes.add(change.addRoutes);
      try {
        await device.write(changeRequest(name, change));
      } catch (error) {
        routes.remove(added);
        throw error;
      }
      routes.remove(change.removeRoutes);
    });
  }

  /** Reads a device. @throws {NotFoundError} If there is none. */
  async read(name: string): Promise<DeviceState> {
    const { device: running } = this.#get(name);
    const { device, drops } = await running.report();
    return toDeviceState(device, { kind: "userspace", crypto: running.cryptoName, drops });
  }

  /** Removes a device. One that is gone, or another's, is passed over. */
  async remove(name: string, tag: OwnerTag): Promise<void> {
    if (this.#running.get(name)?.spec.tag !== tag) return;
    await translatedWin32(`remove device ${name}`, () => this.#stop(name));
  }

  /**
   * Takes an address off the device that has it, because the virtual adapter of a container network is about to take
   * it. No device takes it back until {@linkcode WindowsDevices.reclaimAddress}; what {@linkcode WindowsDevices.ensure}
   * finds on that adapter then stays there.
   */
  yieldAddress(address: IpAddress): void {
    for (const running of this.#running.values()) {
      const { place, luid } = running;
      if (place?.luid !== luid || !ipEquals(place.address.address, address)) continue;
      dropAddress(this.#addressTools(), luid, place.address);
      running.place = undefined;
    }
    this.#yielded.push(address);
  }

  /** Lets devices have an address again. @returns Those that want it and have it not. */
  reclaimAddress(address: IpAddress): string[] {
    const at = this.#yielded.findIndex((one) => ipEquals(one, address));
    if (at >= 0) this.#yielded.splice(at, 1);
    const wanting = [...this.#running.values()].filter(({ spec, place }) =>
      place === undefined && ipEquals(spec.address.address, address)
    );
    return wanting.map(({ spec }) => spec.name);
  }

  /** LUIDs of the adapters. */
  luids(): bigint[] {
    return [...this.#running.values()].map(({ luid }) => luid);
  }

  /** What there is, as the IP stack has it. @throws {Win32Error} If that cannot be read. */
  inventory(): InventoryEntry[] {
    if (this.#running.size === 0) return [];
    const ipHelper = this.#tools.ipHelper();
    const view = new StackView(ipHelper);
    return [...this.#running.values()].map((running) => this.#entry(running, { ipHelper, view }));
  }

  #entry(
    running: Running,
    { ipHelper, view }: { readonly ipHelper: IpHelper; readonly view: StackView },
  ): InventoryEntry {
    const { spec, device, luid, routes, place } = running;
    const { family } = spec.address.address;
    const isOwn = this.#isYielded(spec.address.address) ||
      place !== undefined && hasAddress(view, luid, place);
    const onLink = canonicalPrefix(spec.address);
    return {
      kind: "wireguard",
      name: spec.name,
      tag: spec.tag,
      up: device.isAlive,
      ...running.wasOpen && !letsThrough(ipHelper, running) ? { isBarred: true } : {},
      mtuBytes: readInterface(ipHelper, { luid, family })?.mtuBytes ?? 0,
      // Without the route to its network an address is of no use.
      addresses: isOwn && view.hasRoute(luid, onLink) ? [place?.address ?? spec.address] : [],
      routes: routes.present.filter((route) => !prefixEquals(route, onLink) && view.hasRoute(luid, route)),
    };
  }

  /** Names of devices that somebody has changed. @throws {Win32Error} */
  strayed(): string[] {
    return this.inventory().filter((entry) => {
      const { spec, routes, device } = this.#running.get(entry.name)!;
      const others = routes.present.filter((route) => !prefixEquals(route, canonicalPrefix(spec.address)));
      return device.isAlive && !(entry.isBarred !== true && entry.mtuBytes === spec.mtuBytes &&
        entry.addresses.length === 1 && entry.routes.length === others.length);
    }).map(({ name }) => name);
  }

  #isYielded(address: IpAddress): boolean {
    return this.#yielded.some((one) => ipEquals(one, address));
  }

  /** Whether a UDP port can be bound on the wildcard addresses. */
  isUdpPortFree(port: number): boolean {
    return canBindWindowsUdp(4, port) && canBindWindowsUdp(6, port);
  }

  /** Ends all devices and removes their adapters. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#stop(name)));
  }

  #addressTools(): AddressTools {
    const { ipHelper, isOwnVnic } = this.#tools;
    const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    return { ipHelper: ipHelper(), isOwnVnic, pause };
  }

  #get(name: string): Running {
    const running = this.#running.get(name);
    if (!running?.device.isAlive) throw new NotFoundError("WireGuard device", name);
    return running;
  }

  async #findOrStart(spec: DeviceSpec): Promise<Running> {
    const present = this.#running.get(spec.name);
    if (present?.device.isAlive) {
      if (present.spec.tag === spec.tag) return present;
      throw new AlreadyExistsError(
        `WireGuard device '${spec.name}' already exists: owned by ${present.spec.tag}; remove it first`,
      );
    }
    await this.#stop(spec.name);
    return await this.#start(spec);
  }

  async #start(spec: DeviceSpec): Promise<Running> {
    const { log, onNews, winsock, ipHelperPath } = this.#tools;
    const ipHelper = this.#tools.ipHelper();
    await using undo = new AsyncDisposableStack();
    const tunnel = await WindowsTunnel.create(this.#tools.wintun(), spec.name, {
      guid: adapterGuid(deploymentOf(spec.tag), spec.name),
      isPresent: (luid) => ipHelper.hasInterface(luid),
      ipHelper: ipHelperPath,
      ...winsock === undefined ? {} : { winsock },
    });
    const device = undo.use(await UserspaceDevice.start(tunnel));
    device.onNews = (news) => onNews(spec.name, news.map(toPeerNews));
    device.onSockets = (message, fields) => log.warn(message, { interface: spec.name, ...fields });
    device.onFailure = (error) => this.#onFailure(spec.name, error);
    log.info("user-space WireGuard device runs", { interface: spec.name, crypto: device.cryptoName });
    const routes = new DeviceRoutes(ipHelper, tunnel.luid);
    const running = {
      spec,
      device,
      uapi: undefined,
      uapiTrouble: undefined,
      luid: tunnel.luid,
      routes,
      place: undefined,
      owesGreeting: true,
      wasOpen: false,
    };
    this.#running.set(spec.name, running);
    undo.move();
    return running;
  }

  /** A device is of use without its control pipe too, and may have it later. */
  #openUapi(running: Running): UapiServer | undefined {
    const { log, uapiPrefix } = this.#tools;
    const { spec: { name }, device } = running;
    try {
      return listenUapiPipe(name, device, { log, ...uapiPrefix === undefined ? {} : { prefix: uapiPrefix } });
    } catch (error) {
      const err = describeError(error);
      if (err !== running.uapiTrouble) {
        log.warn("no WireGuard control pipe: wg.exe does not see the device", { interface: name, err });
      }
      running.uapiTrouble = err;
      return undefined;
    }
  }

  #onFailure(name: string, error: Error): void {
    this.#running.get(name)?.uapi?.[Symbol.dispose]();
    this.#tools.log.warn("WireGuard device has ended", { interface: name, err: describeError(error) });
    this.#tools.onLost(name);
  }

  async #stop(name: string): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) return;
    this.#running.delete(name);
    running.uapi?.[Symbol.dispose]();
    await running.device[Symbol.asyncDispose]();
  }
}

/** Whether who had the address has it still: what it is on another's link is that one's affair. */
function hasAddress(view: StackView, own: bigint, { luid, address }: NonNullable<Running["place"]>): boolean {
  return view.hasAddress(luid, address, { exact: luid === own });
}

/** Whether packets of others pass: between the device and containers, by the adapter that has its address if one has. */
function letsThrough(ipHelper: IpHelper, { spec, luid, place }: Running): boolean {
  const { family } = spec.address.address;
  const own = readInterface(ipHelper, { luid, family });
  if (place === undefined || place.luid === luid) return own?.forwarding === true;
  const vnic = readInterface(ipHelper, { luid: place.luid, family });
  return [own, vnic].every((one) => one?.forwarding === true && one.weakHost);
}
