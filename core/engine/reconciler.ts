/**
 * Keeps the kernel and the records in agreement: once at start, before the socket accepts, and from then on
 * whenever a link of ours changes behind our back, and on a timer.
 */

import { setImmediate } from "node:timers";
import type { InventoryEntry } from "../backend/backend.ts";
import { describeError } from "../errors.ts";
import { parsePrefix } from "../ip/prefix.ts";
import { type DesiredState, planRepair, type RepairAction } from "../network/reconcile.ts";
import type { AttachmentRecord } from "../state/records.ts";
import type { Attachments } from "./attachments.ts";
import { type EngineContext, isTagOf, TAG_PREFIX } from "./context.ts";
import { findDevice } from "./devices.ts";
import type { GlobalOverlay } from "./global_overlay.ts";
import { guestHandle, type Guests } from "./guests.ts";
import { gatewayPrefix, type ServiceOverlays } from "./service_overlays.ts";

/** A foreign change settles for this long before it is mended: networkd and people change several things. */
const SETTLE_MS = 200;
/** Full passes while nothing seems to happen. */
const PASS_INTERVAL_MS = 30_000;
/** Containers looked at in /proc in one go, between which other work has its turn. */
const LOOK_SLICE = 32;
/** A thing that belongs to nothing is removed when seen by two passes at least this far apart. */
const ORPHAN_AGE_MS = 30_000;

/** The parts that know how to mend their objects. */
export interface Repairers {
  readonly global: GlobalOverlay;
  readonly services: ServiceOverlays;
  readonly attachments: Attachments;
  readonly guests: Guests;
}

/** Runs repair passes, one at a time. */
export class Reconciler {
  readonly #context: EngineContext;
  readonly #parts: Repairers;
  /** When each orphan was first seen, by name and tag. */
  readonly #orphans = new Map<string, number>();
  /** End of the queue of passes. */
  #passes: Promise<void> = Promise.resolve();
  #repairIsDue = false;
  #cancelTimer = (): void => {};
  #stopWatching = (): void => {};
  #stopped = false;

  constructor(context: EngineContext, parts: Repairers) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Settles what a dead process left open, then adopts, rebuilds and collects. Nothing else runs meanwhile. */
  async recover(): Promise<void> {
    await this.#settle();
    const dead = await this.#deadAttachments();
    const desired = this.#desired({ dead, busyTags: new Set() });
    const inventory = await this.#context.backend.inventory();
    // Every device once: its peers are not in the inventory.
    const devices = desired.devices.map((d): RepairAction => ({
      kind: "device",
      service: d.service,
      why: "peers are compared at start",
    }));
    const plan = planRepair(desired, inventory).filter((action) => action.kind !== "device");
    const order = ["release", "network"];
    await this.#execute([
      ...plan.filter((action) => order.includes(action.kind)),
      ...devices,
      ...plan.filter((action) => !order.includes(action.kind)),
    ]);
  }

  /** Begins to watch and to pass regularly. */
  async start(): Promise<void> {
    this.#stopWatching = await this.#context.backend.watch(() => this.#scheduleRepair());
    this.#scheduleFull();
  }

  /** Ends watching; resolves when no pass runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    this.#stopWatching();
    await this.#passes;
  }

  /** A pass soon, because a link changed: it compares links and does not look for dead containers. */
  #scheduleRepair(): void {
    if (this.#stopped || this.#repairIsDue) return;
    this.#repairIsDue = true;
    this.#context.clock.after(SETTLE_MS, () => {
      this.#repairIsDue = false;
      if (!this.#stopped) void this.#enqueue({ lookForDead: false });
    });
  }

  #scheduleFull(): void {
    if (this.#stopped) return;
    this.#cancelTimer = this.#context.clock.after(
      PASS_INTERVAL_MS,
      () => void this.pass().then(() => this.#scheduleFull()),
    );
  }

  /** A full pass over everything, after those that run; resolves when it is done. */
  pass(): Promise<void> {
    return this.#enqueue({ lookForDead: true });
  }

  #enqueue(options: { readonly lookForDead: boolean }): Promise<void> {
    return this.#passes = this.#passes.then(() => this.#runPass(options));
  }

  async #runPass({ lookForDead }: { readonly lookForDead: boolean }): Promise<void> {
    try {
      const dead = lookForDead ? await this.#deadAttachments() : new Set<string>();
      // The inventory first: what is recorded after it was taken cannot be mistaken for missing or orphaned.
      const before = this.#busyTags();
      const inventory = await this.#context.backend.inventory();
      const desired = this.#desired({ dead, busyTags: new Set([...before, ...this.#busyTags()]) });
      const actions = planRepair(desired, inventory);
      await this.#execute(this.#ripe(actions));
    } catch (err) {
      this.#context.log.error("repair pass failed", { err });
    }
  }

  /** Handles of attachments whose container is gone, looked up a slice at a time. */
  async #deadAttachments(): Promise<Set<string>> {
    const { store, backend } = this.#context;
    const dead = new Set<string>();
    let looked = 0;
    for (const { handle, netns, phase } of [...store.attachments.values()]) {
      if (phase === "ready" && !await backend.isAlive(netns)) dead.add(handle);
      if (++looked % LOOK_SLICE === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return dead;
  }

  /** All but orphans that have not been seen long enough. */
  #ripe(actions: readonly RepairAction[]): RepairAction[] {
    const now = this.#context.clock.monotonicMs();
    const seen = new Set<string>();
    const ripe = actions.filter((action) => {
      if (action.kind !== "remove") return true;
      const key = orphanKey(action.entry);
      seen.add(key);
      const since = this.#orphans.get(key);
      if (since === undefined) this.#orphans.set(key, now);
      return since !== undefined && now - since >= ORPHAN_AGE_MS;
    });
    for (const key of this.#orphans.keys()) if (!seen.has(key)) this.#orphans.delete(key);
    return ripe;
  }

  async #execute(actions: readonly RepairAction[]): Promise<void> {
    for (const action of actions) {
      try {
        await this.#run(action);
      } catch (err) {
        const id = objectOf(action);
        this.#context.problems.set(id, describeError(err));
        this.#context.log.error("cannot repair", { object: id, action: action.kind, err });
      }
    }
  }

  #run(action: RepairAction): Promise<void> {
    const { locks, log } = this.#context;
    const why = "why" in action ? action.why : undefined;
    if (why !== undefined) log.info("repairing", { object: objectOf(action), action: action.kind, why });
    switch (action.kind) {
      case "network":
      case "device":
        return action.service === ""
          ? locks.run({ global: "write" }, () => this.#repairGlobal())
          : this.#repairService(action.service, action.kind);
      case "release":
      case "mend":
      case "reattach":
        return this.#repairAttachment(action.handle, action.kind);
      case "remove":
        log.warn("removing a link of ours that belongs to nothing", {
          link: action.entry.name,
          tag: action.entry.tag,
        });
        return this.#context.backend.removeEntry(action.entry);
    }
  }

  async #repairGlobal(): Promise<void> {
    if (this.#context.store.settings.globalDevice?.phase !== "ready") return;
    await this.#parts.global.repair();
    this.#context.problems.delete("global");
  }

  async #repairService(service: string, what: "network" | "device"): Promise<void> {
    const { locks, store, problems } = this.#context;
    await locks.run({ [`service:${service}`]: "write" }, async () => {
      const record = store.services.get(service);
      if (record?.phase !== "ready" || (what === "device" && !record.dedicated)) return;
      await this.#parts.services.repair(record, what);
      problems.delete(`service:${service}`);
    });
  }

  async #repairAttachment(handle: string, what: "release" | "mend" | "reattach"): Promise<void> {
    const { locks, store, backend } = this.#context;
    await locks.run({ [handle]: "write" }, async () => {
      const record = store.attachments.get(handle);
      if (record?.phase !== "ready") return;
      if (what !== "release") return await this.#parts.attachments.repair(record);
      if (!await backend.isAlive(record.netns)) await this.#parts.attachments.release(record);
    });
  }

  /** Completes removals and undoes set-ups that were not answered. */
  async #settle(): Promise<void> {
    const { store, log } = this.#context;
    const open = <T extends { phase: string }>(records: Iterable<T>): T[] =>
      [...records].filter((record) => record.phase !== "ready");
    const steps: [string, () => Promise<void>][] = [
      ...open(store.attachments.values()).map((a): [string, () => Promise<void>] => [
        a.handle,
        () => this.#parts.attachments.release(a),
      ]),
      ...open(store.guests.values()).map((g): [string, () => Promise<void>] => [
        guestHandle(g.id),
        () => this.#parts.guests.release(g),
      ]),
      ...open(store.services.values()).map((s): [string, () => Promise<void>] => [
        `service:${s.name}`,
        () => this.#parts.services.settle(s),
      ]),
    ];
    const device = store.settings.globalDevice;
    if (device && device.phase !== "ready") steps.push(["global", () => this.#parts.global.remove()]);
    for (const [object, step] of steps) {
      log.info("settling what was interrupted", { object });
      try {
        await step();
      } catch (err) {
        this.#context.problems.set(object, describeError(err));
        log.error("cannot settle", { object, err });
      }
    }
  }

  #desired(
    { dead, busyTags }: { readonly dead: ReadonlySet<string>; readonly busyTags: ReadonlySet<string> },
  ): DesiredState {
    const { store, installation } = this.#context;
    const ready = [...store.services.values()].filter((service) => service.phase === "ready");
    const devices = [
      ...(store.settings.globalDevice?.phase === "ready" ? [""] : []),
      ...ready.filter((service) => service.dedicated).map((service) => service.name),
    ].map((service) => findDevice(this.#context, service)!);
    const attachments = [...store.attachments.values()].filter((a) => a.phase === "ready");
    return {
      isOurs: (tag) => isTagOf(installation, tag),
      devices: devices.map((device) => ({
        service: device.service,
        name: device.interface,
        tag: device.tag,
        address: parsePrefix(device.address)!,
      })),
      networks: ready.map((service) => ({
        service: service.name,
        name: service.bridge,
        tag: service.tag,
        gateway: gatewayPrefix(service),
        mtuBytes: service.mtuBytes,
      })),
      attachments: attachments.map((a) => desiredAttachment(a, !dead.has(a.handle))),
      busyTags,
    };
  }

  /** Tags of objects whose set-up or removal is under way. */
  #busyTags(): Set<string> {
    const { store } = this.#context;
    const device = store.settings.globalDevice;
    return new Set([
      ...(device && device.phase !== "ready" ? [device.tag] : []),
      ...[...store.services.values()].filter((s) => s.phase !== "ready").flatMap((s) => [
        s.tag,
        ...(s.dedicated ? [findDevice(this.#context, s.name)!.tag] : []),
      ]),
      ...[...store.attachments.values()].filter((a) => a.phase !== "ready").flatMap((a) =>
        a.links.map((link) => link.tag)
      ),
    ]);
  }
}

function desiredAttachment(
  record: AttachmentRecord,
  alive: boolean,
): DesiredState["attachments"][number] {
  return {
    handle: record.handle,
    service: record.service,
    alive,
    links: record.links.map(({ hostName, tag, uplink }) => ({
      hostName,
      tag,
      ...(uplink.kind === "bridge" ? { bridge: uplink.bridge } : {}),
    })),
  };
}

function orphanKey(entry: InventoryEntry): string {
  return `${entry.name} ${entry.tag}`;
}

function objectOf(action: RepairAction): string {
  switch (action.kind) {
    case "network":
    case "device":
      return action.service === "" ? "global" : `service:${action.service}`;
    case "remove":
      return `link:${action.entry.name.startsWith(TAG_PREFIX) ? action.entry.tag : action.entry.name}`;
    default:
      return action.handle;
  }
}
