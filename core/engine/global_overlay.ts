/** The node's global WireGuard device: set up, adopted, taken down. */

import { describeError, InvalidConfigError, NotFoundError } from "../errors.ts";
import { formatIp, parseIp } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, parsePrefix, prefixContains, prefixCovers } from "../ip/prefix.ts";
import { type NodeFiles, type NodePlan, planNode } from "../node_config.ts";
import { globalDeviceName } from "../network/interface_name.ts";
import { checkDeployment, checkInstanceId } from "../network/validate.ts";
import { shown } from "../quote.ts";
import type { GlobalOverlayRequest, RequestContext } from "../service.ts";
import type { GlobalDevice, GlobalSettings, KeyRecord, LeaseRecord } from "../state/records.ts";
import { type EngineContext, newKeyRecord, ownerTag, toKeyRecord } from "./context.ts";
import { type DeviceReader, deviceSpec, findDevice } from "./devices.ts";

/** What WireGuard adds to a packet: IPv6 40, UDP 8, header and tag 32. */
const WIREGUARD_OVERHEAD_BYTES = 80;
const DEFAULT_MTU_BYTES = 1420;
/** IPv6 does not run below this (RFC 8200 §5). */
const MIN_MTU_BYTES = 1280;

/** MTU of WireGuard devices and of all that they carry, by the way out of this host. */
export async function overlayMtu(context: EngineContext): Promise<number> {
  try {
    const egress = await context.backend.egress();
    return Math.max(MIN_MTU_BYTES, egress.mtuBytes - WIREGUARD_OVERHEAD_BYTES);
  } catch (err) {
    context.log.warn("no way out of this host found, using the default MTU", { mtu: DEFAULT_MTU_BYTES, err });
    return DEFAULT_MTU_BYTES;
  }
}

/** Sets up and takes down the global device. */
export class GlobalOverlay {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  /** Callers that asked for the overlay and still live (daemon.md W7). */
  readonly #callers = new Set<RequestContext["connection"]>();

  constructor(context: EngineContext, reader: DeviceReader) {
    this.#context = context;
    this.#reader = reader;
  }

  /** @returns Name of the interface; when this resolves it is up and has its address. */
  setup(request: GlobalOverlayRequest, { connection }: RequestContext): Promise<string> {
    const wanted = checkRequest(request);
    return this.#context.locks.run({ global: "write" }, async () => {
      const { store, addresses, log } = this.#context;
      const files = await this.#context.readNodeFiles();
      const plan = planNode(wanted, files.bootstrap);
      for (const problem of [...files.problems, ...plan.problems]) log.warn("node file", { problem });
      // What an earlier set-up or teardown left open goes first: the new device may have another name.
      if (store.settings.globalDevice?.phase !== "ready") await this.#takeDown();
      store.record("setup_global_overlay: settings", (write) => {
        write.setting("globalSettings", toSettings(request, plan));
      });
      addresses.useNodePool(plan.pool);
      const present = store.settings.globalDevice;
      const name = present?.phase === "ready"
        ? await this.#ensure(present, files)
        : await this.#create(wanted.cluster, { plan, files });
      this.#forgetClosed();
      this.#callers.add(connection);
      return name;
    });
  }

  /** The live device stays what it is, but for its key: the cluster goes by that of the node's file (W6). */
  async #ensure(present: GlobalDevice, { nodeConfig }: NodeFiles): Promise<string> {
    const { backend, store, problems, log } = this.#context;
    const keys = nodeConfig?.keys && toKeyRecord(nodeConfig.keys);
    const device = { ...present, ...keys };
    if (device.publicKey !== present.publicKey) {
      log.warn("the node has another key pair by now; its device takes it over", {
        interface: device.interface,
      });
      await store.commit("setup_global_overlay: key", (write) => write.setting("globalDevice", device));
    }
    try {
      await backend.ensureDevice(deviceSpec(this.#context, { ...device, service: "" }));
    } catch (error) {
      problems.set("global", describeError(error));
      throw error;
    } finally {
      this.#reader.invalidate(device.interface);
    }
    problems.delete("global");
    return device.interface;
  }

  async #create(cluster: IpPrefix, { plan, files }: { plan: NodePlan; files: NodeFiles }): Promise<string> {
    const { store, backend, addresses } = this.#context;
    const lease = this.#nodeLease(plan);
    const isNewLease = !store.leases.has(lease.ip);
    const stale = nodeLeases(this.#context).filter((old) => old.ip !== lease.ip);
    let device: GlobalDevice;
    try {
      device = await this.#newDevice(cluster, lease, { keys: this.#identity(files) });
      store.record("setup_global_overlay: intent", (write) => {
        for (const old of stale) write.deleteLease(old.ip);
        write.putLease(lease);
        write.setting("globalDevice", device);
      });
    } catch (error) {
      if (isNewLease) addresses.release(lease);
      throw error;
    }
    try {
      await backend.ensureDevice(deviceSpec(this.#context, { ...device, service: "" }));
      await store.commit("setup_global_overlay: done", (write) => {
        write.setting("globalDevice", { ...device, phase: "ready" });
      });
    } catch (error) {
      await this.#undo(device, { stale, lease: isNewLease ? lease : undefined, cause: error });
      throw error;
    }
    for (const old of stale) addresses.release(old);
    this.#context.problems.delete("global");
    this.#context.log.info("global overlay is up", { interface: device.interface, address: device.address });
    return device.interface;
  }

  /** Undo of a failed set-up; one that fails too leaves the record open, and the regular pass tries again. */
  async #undo(
    device: GlobalDevice,
    { lease, stale, cause }: {
      lease: LeaseRecord | undefined;
      stale: readonly LeaseRecord[];
      cause: unknown;
    },
  ): Promise<void> {
    const { store, backend, addresses, problems, log } = this.#context;
    try {
      // A link that stood there before is not ours to remove: it does not carry the tag.
      await backend.removeDevice(device.interface, device.tag);
      store.record("setup_global_overlay: undone", (write) => {
        write.setting("globalDevice", undefined);
        if (lease) write.deleteLease(lease.ip);
        for (const old of stale) write.putLease(old);
      });
      if (lease) addresses.release(lease);
    } catch (err) {
      for (const old of stale) addresses.release(old);
      problems.set("global", `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed set-up", { object: "global", err });
    }
  }

  /** The node's own address: the caller's record of it (W6), the one it had, else the first of the pool. */
  #nodeLease({ pool, nodeIp }: NodePlan): LeaseRecord {
    const { addresses, log } = this.#context;
    const kept = nodeLeases(this.#context).find((lease) => prefixContains(pool, parseIp(lease.ip)!));
    if (kept && (!nodeIp || kept.ip === formatIp(nodeIp))) return kept;
    const recorded = nodeIp && addresses.allocateNodeSpecific(nodeIp, "node");
    if (recorded) return recorded;
    if (nodeIp) log.warn("the node's recorded address is taken, using another", { ip: formatIp(nodeIp) });
    return kept ?? addresses.allocateNode("node");
  }

  async #newDevice(
    cluster: IpPrefix,
    lease: LeaseRecord,
    { keys }: { keys: KeyRecord },
  ): Promise<GlobalDevice> {
    const settings = this.#context.store.settings.globalSettings!;
    return {
      interface: globalDeviceName(settings),
      tag: ownerTag(this.#context, "global"),
      address: `${lease.ip}/${cluster.length}`,
      listenPort: settings.wgPort,
      mtuBytes: await overlayMtu(this.#context),
      publicKey: keys.publicKey,
      privateKey: keys.privateKey,
      phase: "pending",
    };
  }

  /** The cluster knows this node by the key of `node_config.json`; without one, by a key made once and kept. */
  #identity({ nodeConfig }: NodeFiles): KeyRecord {
    const { store } = this.#context;
    if (nodeConfig?.keys) return toKeyRecord(nodeConfig.keys);
    if (store.settings.key) return store.settings.key;
    const key = newKeyRecord();
    store.record("make node key", (write) => write.setting("key", key));
    return key;
  }

  /** Takes the device down unless another caller that asked for it still lives. Nothing up is success. */
  teardown({ connection }: RequestContext): Promise<void> {
    return this.#context.locks.run({ global: "write" }, async () => {
      const asked = this.#callers.delete(connection);
      this.#forgetClosed();
      if (asked && this.#callers.size > 0) {
        this.#context.log.info("global overlay kept: another caller still uses it", {
          callers: this.#callers.size,
        });
        return;
      }
      await this.remove();
    });
  }

  #forgetClosed(): void {
    for (const caller of this.#callers) if (caller.closed) this.#callers.delete(caller);
  }

  /** Takes the device down whoever asked for it. The caller holds the lock `global`. */
  async remove(): Promise<void> {
    this.#callers.clear();
    await this.#takeDown();
  }

  async #takeDown(): Promise<void> {
    const { store, backend, log } = this.#context;
    const device = store.settings.globalDevice;
    if (!device) return;
    store.record("teardown_global_overlay: intent", (write) => {
      write.setting("globalDevice", { ...device, phase: "removing" });
    });
    await backend.removeDevice(device.interface, device.tag);
    await store.commit("teardown_global_overlay: done", (write) => write.setting("globalDevice", undefined));
    this.#reader.invalidate(device.interface);
    this.#context.problems.delete("global");
    log.info("global overlay is down", { interface: device.interface });
  }

  /** Takes down a device whose set-up or teardown broke off. One that is being worked on is none. */
  async settle(): Promise<void> {
    const { store, locks, log } = this.#context;
    const keys = { global: "write" } as const;
    if (!locks.isFree(keys)) return;
    await locks.run(keys, async () => {
      const device = store.settings.globalDevice;
      if (!device || device.phase === "ready") return;
      log.info("settling what was interrupted", { object: "global" });
      await this.#takeDown();
    });
  }

  /** Brings the recorded device back to what it has to be. The caller holds the lock `global`. */
  async repair(): Promise<void> {
    const device = findDevice(this.#context, "");
    if (!device) throw new NotFoundError("device", "global");
    await this.#context.backend.ensureDevice(deviceSpec(this.#context, device));
  }
}

/** Leases of the node itself. */
export function nodeLeases(context: EngineContext): LeaseRecord[] {
  return [...context.store.leases.values()].filter((lease) => lease.owner === "node");
}

function toSettings(request: GlobalOverlayRequest, plan: NodePlan): GlobalSettings {
  const { deployment, instanceId, clusterCidr, wgPort, natEnabled } = request;
  const sliceCidr = request.sliceCidr ?? (plan.slice && formatPrefix(plan.slice));
  const slice = sliceCidr === undefined ? {} : { sliceCidr };
  return { deployment, instanceId, clusterCidr, ...slice, wgPort, natEnabled };
}

/** Everything is checked before anything is stored (W5). */
function checkRequest(request: GlobalOverlayRequest): { cluster: IpPrefix; slice?: IpPrefix } {
  checkDeployment(request.deployment);
  checkInstanceId(request.instanceId);
  globalDeviceName(request);
  if (request.wgPort === 0) throw new InvalidConfigError("wg_port 0 is not a UDP port: send 1 to 65535");
  const cluster = parsePrefix(request.clusterCidr);
  if (!cluster) throw new InvalidConfigError(`invalid cluster CIDR ${shown(request.clusterCidr)}`);
  if (request.sliceCidr === undefined) return { cluster };
  const slice = parsePrefix(request.sliceCidr);
  if (!slice) throw new InvalidConfigError(`invalid slice CIDR ${shown(request.sliceCidr)}`);
  if (!prefixCovers(cluster, slice)) {
    throw new InvalidConfigError(
      `invalid slice CIDR ${shown(request.sliceCidr)}: it lies outside cluster ${formatPrefix(cluster)}`,
    );
  }
  return { cluster, slice };
}
