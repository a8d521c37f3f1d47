/**
 * The daemon dies before and after every effect and every commit of every changing operation.
 *
 * For each operation the number of crash points is counted in a run that lives; then the operation is run
 * again once per point on a fresh node, killed there, and a new engine is started on what is left. The audit
 * compares the fake kernel with the records and with what had been answered.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { NotFoundError } from "../../../core/errors.ts";
import type { StateStore } from "../../../core/state/state_store.ts";
import {
  audit,
  hookedStore,
  type Operation,
  OPERATIONS,
  withService,
} from "../../support/engine_operations.ts";
import { EngineRig } from "../../support/engine_rig.ts";

/** Thrown where the process is dead; nothing of it may act afterwards. */
class Crash extends Error {}

/** Kills the engine at the n-th point it passes. */
class Reaper {
  passed = 0;
  dead = false;
  readonly labels: string[] = [];

  constructor(readonly killAt: number) {}

  point(label: string): void {
    if (this.dead) throw new Crash("dead");
    this.labels.push(label);
    if (this.passed++ === this.killAt) {
      this.dead = true;
      throw new Crash(label);
    }
  }
}

/** Runs one operation to the crash point; whether it was answered, and which point it was. */
async function crashAt(
  operation: Operation,
  killAt: number,
): Promise<{ rig: EngineRig; reaper: Reaper; answered: boolean }> {
  const rig = await EngineRig.start();
  await operation.prepare(rig);
  await rig.engine.stop();
  rig.store.close();
  const reaper = new Reaper(Infinity);
  let real: StateStore | undefined;
  await rig.boot({
    store: (store) => hookedStore(real = store, (label, when) => reaper.point(`${when} ${label}`)),
  });
  const armed = new Reaper(killAt);
  Object.assign(reaper, { passed: 0, killAt, labels: armed.labels });
  rig.host.onEffect = (label, when) => reaper.point(`${when} ${label}`);
  let answered = true;
  try {
    await operation.run(rig);
  } catch (error) {
    answered = false;
    if (!reaper.dead) throw error;
  }
  rig.host.onEffect = () => {};
  reaper.dead = true;
  rig.kill(real);
  return { rig, reaper, answered };
}

for (const operation of OPERATIONS) {
  Deno.test(`a crash at any point of ${operation.name} loses no promise and leaks nothing`, async () => {
    const whole = await crashAt(operation, Infinity);
    assert(whole.answered);
    await whole.rig[Symbol.asyncDispose]();
    const points = whole.reaper.labels.length;
    assert(points >= 2, `only ${points} crash points`);
    for (let at = 0; at <= points; at++) {
      const { rig, answered } = await crashAt(operation, at);
      try {
        await rig.boot();
        const where = whole.reaper.labels[at] ?? "after the reply";
        assertEquals(audit(rig), [], `${operation.name}, killed ${where}`);
        if (answered) await operation.promised(rig);
        // What was interrupted can be asked for again, and the bystander has kept what it had.
        await operation.run(rig);
        await operation.promised(rig);
        assertEquals(audit(rig), [], `${operation.name} again, killed ${where}`);
      } finally {
        await rig[Symbol.asyncDispose]();
      }
    }
  });
}

Deno.test("the audit sees what it is there to see: planted leaks (negative control)", async () => {
  await using rig = await EngineRig.start();
  await withService(rig);
  assertEquals(audit(rig), []);
  rig.host.add({
    kind: "veth",
    name: "veth-9-s",
    tag: "zlayer-overlayd/x/y:z",
    up: true,
    mtuBytes: 1420,
    addresses: [],
    routes: [],
  });
  await rig.store.commit(
    "plant",
    (write) => write.putLease({ ip: "10.200.0.9", pool: "node", owner: "pid:9" }),
  );
  rig.host.remove("veth-200-s");
  const wrong = audit(rig).join("\n");
  assertStringIncludes(wrong, "link veth-9-s leaked");
  assertStringIncludes(wrong, "lease 10.200.0.9 of pid:9 leaked");
  assertStringIncludes(wrong, "link veth-200-s is missing or down");
});

Deno.test("a dead process cannot act on: the reaper stops every later effect (negative control)", async () => {
  const { rig, reaper } = await crashAt(OPERATIONS[2]!, 1);
  try {
    await rig.engine.setupServiceOverlay("other", "shared").then(
      () => assert(false, "a dead engine answered"),
      (error: unknown) =>
        assert(error instanceof Crash || error instanceof NotFoundError || error instanceof Error),
    );
    assert(!rig.host.links.has("zl---other-b"));
    assert(reaper.dead);
  } finally {
    await rig[Symbol.asyncDispose]();
  }
});
