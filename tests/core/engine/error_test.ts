/**
 * Every call of the backend, every effect in the kernel and every write of the store fails once, in every changing
 * operation; and then two in a row, so that undoing fails as well.
 *
 * Unlike after a crash the engine lives on: what it could not undo has to show in `status`, and its own passes have
 * to put it right, without a restart.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { NetworkBackend } from "../../../core/backend/backend.ts";
import { OverlayError, PoolExhaustedError } from "../../../core/errors.ts";
import { audit, hookedStore, type Operation, OPERATIONS } from "../../support/engine_operations.ts";
import { EngineRig } from "../../support/engine_rig.ts";

/** Fails at the steps from the n-th on that it is told to. */
class Saboteur {
  readonly labels: string[] = [];
  armed = false;
  readonly #first: number;
  readonly #count: number;

  constructor(first: number, count: number) {
    this.#first = first;
    this.#count = count;
  }

  step(label: string): void {
    if (!this.armed) return;
    const at = this.labels.push(label) - 1;
    if (at >= this.#first && at < this.#first + this.#count) {
      throw new OverlayError("internal", `planted: ${label}`);
    }
  }
}

/** Calls that change or tell nothing that an operation depends on. */
const UNTOUCHED = new Set(["capabilities", "changedHostSettings", "watch", "watchPeers", "close"]);

/** A backend of which any call may fail before it does anything. */
function hookedBackend(backend: NetworkBackend, step: (label: string) => void): NetworkBackend {
  return new Proxy(backend, {
    get(target, key): unknown {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      if (typeof key !== "string" || UNTOUCHED.has(key)) return value.bind(target);
      return async (...args: unknown[]): Promise<unknown> => {
        step(`call ${key}`);
        return await value.apply(target, args);
      };
    },
  });
}

async function failAt(
  operation: Operation,
  { first, count }: { first: number; count: number },
): Promise<{ rig: EngineRig; saboteur: Saboteur; error: unknown }> {
  const rig = new EngineRig();
  const saboteur = new Saboteur(first, count);
  const step = (label: string): void => saboteur.step(label);
  await rig.boot({
    store: (store) => hookedStore(store, (label, when) => when === "before" && step(label)),
    backend: (backend) => hookedBackend(backend, step),
  });
  await rig.engine.setLocalNodeId(1n);
  await operation.prepare(rig);
  rig.host.onEffect = (label, when): void => step(`${when} ${label}`);
  saboteur.armed = true;
  const error = await operation.run(rig).then(() => undefined, (reason: unknown) => reason);
  saboteur.armed = false;
  return { rig, saboteur, error };
}

/** What is amiss has to be told: as pending work, or as trouble of an object. */
async function assertTold(rig: EngineRig, where: string): Promise<void> {
  const { detail } = await rig.engine.status(true);
  const states = [detail!.global, ...detail!.services, ...detail!.attachments].map((object) => object?.state);
  const isTold = detail!.pending.length > 0 || states.includes("degraded");
  assert(isTold, `${where}: status shows nothing of ${audit(rig).join("; ")}`);
}

/** Nothing is handed out that is leased, and everything else can be. */
async function assertNoAddressLost(rig: EngineRig, where: string): Promise<void> {
  // Without a slice the node's pool is the whole cluster: too much to empty.
  const pools = [...(rig.store.settings.globalSettings?.sliceCidr ? ["none"] : []), ...[
    ...rig.store.services.keys(),
  ]];
  for (const pool of pools) {
    const name = pool === "none" ? "node" : `service:${pool}`;
    const leased = [...rig.store.leases.values()].filter((lease) => lease.pool === name).length;
    const given: string[] = [];
    for (;;) {
      try {
        given.push(await rig.engine.allocateIp(pool, false));
      } catch (error) {
        if (error instanceof PoolExhaustedError) break;
        throw error;
      }
    }
    const capacity = pool === "none" ? 14 : 13;
    assertEquals(given.length + leased, capacity, `${where}: addresses of ${name}`);
    for (const ip of given) await rig.engine.releaseIp(ip);
  }
}

for (const operation of OPERATIONS) {
  for (const count of [1, 2]) {
    const what = count === 1 ? "an error" : "two errors in a row";
    Deno.test(`${what} at any step of ${operation.name} leaves nothing behind for long`, async (t) => {
      const whole = await failAt(operation, { first: 0, count: 0 });
      await whole.rig[Symbol.asyncDispose]();
      if (whole.error) throw whole.error;
      for (const [at, label] of whole.saboteur.labels.entries()) {
        await t.step(label, async () => {
          const { rig, error } = await failAt(operation, { first: at, count });
          try {
            const where = `${operation.name}, failed at ${label}`;
            if (error !== undefined) assert(error instanceof OverlayError, `${where}: ${error}`);
            if (audit(rig).length > 0) await assertTold(rig, where);
            for (let pass = 0; pass < 3; pass++) {
              rig.clock.advance(31_000);
              await rig.engine.reconcile();
            }
            assertEquals(audit(rig), [], where);
            const { detail } = await rig.engine.status(true);
            assertEquals(detail!.pending, [], where);
            await operation.run(rig);
            await operation.promised(rig);
            assertEquals(audit(rig), [], `${where}, and again`);
            if (!operation.name.includes("another")) await assertNoAddressLost(rig, where);
          } finally {
            await rig[Symbol.asyncDispose]();
          }
        });
      }
    });
  }
}

Deno.test("the matrix sees what is there to see: an error that nobody undoes (negative control)", async () => {
  const operation = OPERATIONS.find(({ name }) => name === "attach_container")!;
  const { rig } = await failAt(operation, { first: 0, count: 0 });
  try {
    assertEquals(audit(rig), []);
    rig.host.links.get("zl-prod-42-g")!.device!.peers.set("00", {
      publicKey: new Uint8Array(32),
      allowedIps: [],
      keepaliveSeconds: 0,
      handshake: 0,
      rx: 0,
      tx: 0,
    });
    assert(audit(rig).length === 1);
    await assertRejects(() => assertTold(rig, "here"));
  } finally {
    await rig[Symbol.asyncDispose]();
  }
});
