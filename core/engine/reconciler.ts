/**
 * Keeps the kernel and the records in agreement: once at start, before the socket accepts, and from then on
 * whenever a link of ours changes behind our back, and on a timer.
 */

import type { InventoryEntry } from "../backend/backend.ts";
import { describeError } from "../errors.ts";
import { linkKey, planRepair, type RepairAction } from "../network/reconcile.ts";
import type { StateStore } from "../state/state_store.ts";
import { slicedBreath } from "../turnstile.ts";
import type { Attachments } from "./attachments.ts";
import { CONTAINERS, type EngineContext, TAG_PREFIX } from "./context.ts";
import { desiredState, openLinks, recordedLinks } from "./desired_state.ts";
import type { GlobalOverlay } from "./global_overlay.ts";
import { guestHandle, type Guests } from "./guests.ts";
import type { ServiceOverlays } from "./service_overlays.ts";

/** A foreign change settles for this long before it is mended: networkd and people change several things. */
const SETTLE_MS = 200;
/** Full passes while nothing seems to happen. */
const PASS_INTERVAL_MS = 30_000;
/** Containers looked at or released together, between which other work has its turn. */
const SLICE = 16;
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
  readonly #breathe = slicedBreath();
  readonly #parts: Repairers;
  /** When each orphan was first seen, by name and tag. */
  readonly #orphans = new Map<string, number>();
  /** End of the queue of passes. */
  #passes: Promise<void> = Promise.resolve();
  /** A pass is waited for that will see whatever changed until it begins. */
  #repairIsDue = false;
  #cancelFull = (): void => {};
  #cancelRepair = (): void => {};
  #stopWatching = (): void => {};
  #stopped = false;

  constructor(context: EngineContext, parts: Repairers) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Settles what a dead process left open, then adopts, rebuilds and collects. Nothing else runs meanwhile. */
  async recover(): Promise<void> {
    await this.#settle({ isStart: true });
    const dead = await this.#deadAttachments();
    const desired = desiredState(this.#context, { dead, busy: new Set() });
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
    const isLeft = [...this.#context.store.services.values()].some(({ phase }) => phase !== "ready");
    if (isLeft) void this.pass();
  }

  /** Ends watching; resolves when no pass runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelFull();
    this.#cancelRepair();
    this.#stopWatching();
    await this.#passes;
  }

  /** A pass soon, because a link changed: it compares links and does not look for dead containers. */
  #scheduleRepair(): void {
    if (this.#stopped || this.#repairIsDue) return;
    this.#repairIsDue = true;
    this.#cancelRepair = this.#context.clock.after(SETTLE_MS, () => void this.#enqueue({ isFull: false }));
  }

  #scheduleFull(): void {
    if (this.#stopped) return;
    this.#cancelFull = this.#context.clock.after(
      PASS_INTERVAL_MS,
      () => void this.pass().then(() => this.#scheduleFull()),
    );
  }

  /** A full pass over everything, after those that run; resolves when it is done. */
  pass(): Promise<void> {
    return this.#enqueue({ isFull: true });
  }

  #enqueue(options: { readonly isFull: boolean }): Promise<void> {
    return this.#passes = this.#passes.then(() => this.#runPass(options));
  }

  async #runPass({ isFull }: { readonly isFull: boolean }): Promise<void> {
    if (!isFull) this.#repairIsDue = false;
    if (this.#stopped) return;
    try {
      if (isFull) await this.#settle({ isStart: false });
      const dead = isFull ? await this.#deadAttachments() : new Set<string>();
      // The inventory first: what is recorded after it was taken cannot be mistaken for missing or orphaned.
      const before = openLinks(this.#context.store);
      const inventory = await this.#context.backend.inventory();
      const desired = desiredState(this.#context, {
        dead,
        busy: new Set([...before, ...openLinks(this.#context.store)]),
      });
      const actions = this.#ripe(planRepair(desired, inventory));
      await this.#execute(isFull ? [...actions, ...this.#retries(actions)] : actions);
    } catch (err) {
      this.#context.log.error("repair pass failed", { err });
    }
  }

  /** Handles of attachments whose container is gone, looked up a slice at a time. */
  async #deadAttachments(): Promise<Set<string>> {
    const { store, backend, log } = this.#context;
    const dead = new Set<string>();
    await this.#inSlices([...store.attachments.values()], async ({ handle, netns, phase }) => {
      try {
        if (phase === "ready" && !await backend.isAlive(netns)) dead.add(handle);
      } catch (err) {
        // One that may not be looked at is left as it is; it must not keep the others from being mended.
        log.warn("cannot tell whether a container lives", { handle, err });
      }
    });
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

  /**
   * Another try at ready objects with trouble that an inventory does not show, such as peers. Trouble with what
   * is no more is forgotten.
   */
  #retries(planned: readonly RepairAction[]): RepairAction[] {
    const { problems, store } = this.#context;
    const inHand = new Set(planned.map(objectOf));
    const retries: RepairAction[] = [];
    for (const object of problems.keys()) {
      if (inHand.has(object)) continue;
      const found = retriesOf(object, store);
      if (found) retries.push(...found);
      else problems.delete(object);
    }
    return retries;
  }

  async #execute(actions: readonly RepairAction[]): Promise<void> {
    const isRelease = (action: RepairAction): boolean => action.kind === "release";
    await this.#inSlices(actions.filter(isRelease), (action) => this.#attempt(action));
    for (const action of actions.filter((action) => !isRelease(action))) {
      await this.#attempt(action);
      await this.#breathe();
    }
  }

  /** Does the work for all items, a slice at a time: links that go together go in one deletion. */
  async #inSlices<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    for (let i = 0; i < items.length; i += SLICE) {
      await Promise.all(items.slice(i, i + SLICE).map(work));
      await this.#breathe();
    }
  }

  async #attempt(action: RepairAction): Promise<void> {
    try {
      await this.#run(action);
    } catch (err) {
      const id = objectOf(action);
      this.#context.problems.set(id, describeError(err));
      this.#context.log.error("cannot repair", { object: id, action: action.kind, err });
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
        return this.#parts.attachments.mend(action.handle, "release");
      case "mend":
      case "reattach":
        return this.#parts.attachments.mend(action.handle, "repair");
      case "remove":
        // Whoever was mended before it may have taken its time, and somebody have come by this name meanwhile.
        if (recordedLinks(this.#context.store).has(orphanKey(action.entry))) return Promise.resolve();
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

  /**
   * Completes removals and undoes set-ups that nobody works on any more: what a dead process left, or what failed
   * and could not be undone at once. At the start nothing waits for the service that containers depend on: it may
   * hang, and whoever asks for the daemon does not wait as long.
   */
  async #settle({ isStart }: { readonly isStart: boolean }): Promise<void> {
    const { store, log, problems, backend } = this.#context;
    const open = <T extends { phase: string }>(records: Iterable<T>): T[] =>
      [...records].filter((record) => record.phase !== "ready");
    const settle = async (object: string, step: () => Promise<void>): Promise<void> => {
      try {
        await step();
      } catch (err) {
        problems.set(object, describeError(err));
        log.error("cannot settle", { object, err });
      }
    };
    const { attachments, guests, services, global } = this.#parts;
    await this.#inSlices(
      open(store.attachments.values()),
      ({ handle }) => settle(handle, () => attachments.settle(handle)),
    );
    for (const { id } of open(store.guests.values())) await settle(guestHandle(id), () => guests.settle(id));
    for (const { name, dedicated } of open(store.services.values())) {
      if (isStart && dedicated && backend.containers) continue;
      await settle(`service:${name}`, () => services.settle(name));
    }
    const device = store.settings.globalDevice;
    if (device && device.phase !== "ready") await settle("global", () => global.settle());
  }
}

/** What to try again for an object; nothing for one that is open, `undefined` for one that is not there. */
function retriesOf(
  object: string,
  { settings, services, attachments, guests, containerEndpoints }: StateStore,
): RepairAction[] | undefined {
  const why = "there was trouble before";
  if (object === CONTAINERS) return [];
  if (object === "global") {
    if (!settings.globalDevice) return undefined;
    return settings.globalDevice.phase === "ready" ? [{ kind: "device", service: "", why }] : [];
  }
  const [kind, id] = [object.slice(0, object.indexOf(":")), object.slice(object.indexOf(":") + 1)];
  if (kind === "container") {
    return [...containerEndpoints.values()].some((one) => one.containerId === id) ? [] : undefined;
  }
  if (kind === "guest") return guests.get(id)?.phase === "ready" || !guests.has(id) ? undefined : [];
  if (kind === "service") {
    const service = services.get(id);
    if (service?.phase !== "ready") return service && [];
    const network: RepairAction = { kind: "network", service: id, why };
    return service.dedicated ? [network, { kind: "device", service: id, why }] : [network];
  }
  const attachment = attachments.get(object);
  return attachment && (attachment.phase === "ready" ? [{ kind: "mend", handle: object, why }] : []);
}

function orphanKey(entry: InventoryEntry): string {
  return linkKey(entry.name, entry.tag);
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
