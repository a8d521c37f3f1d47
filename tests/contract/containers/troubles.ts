/** A service that does not answer, and the end; part of `contract.ts`. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OverlayError, UnavailableError } from "../../../core/errors.ts";
import { waitFor } from "../../support/wait_for.ts";
import {
  BASE,
  type ContainersRegister,
  type ContainersRig,
  counts,
  DB,
  DEPLOYMENT,
  endpoint,
  place,
} from "./rig.ts";

/** Longer than any call is waited for, and than the first pauses between probes. */
const PATIENCE_MS = 15_001;

/** See the module. */
export function troubleTests(test: ContainersRegister): void {
  hangTests(test);
  closeTests(test);
}

/** Starts an attach whose call hangs, and gives it up. */
async function trouble(rig: ContainersRig, name: string, when: "before" | "after" = "before"): Promise<void> {
  rig.host.hang(name, when);
  const failed = assertRejects(() => rig.containers.attach(endpoint(rig, 5)), OverlayError);
  await waitFor("the call hangs", () => rig.host.hanging() === 1);
  assertEquals(rig.containers.trouble, undefined, "it may yet come back");
  rig.advance(PATIENCE_MS);
  await failed;
}

function hangTests(test: ContainersRegister): void {
  test("a call that hangs is given up with its name; others fail at once and ask nothing", async (rig) => {
    await rig.containers.attach(endpoint(rig, 2));
    await trouble(rig, "CreateEndpoint");
    assertStringIncludes(rig.containers.trouble!, "HcnCreateEndpoint");
    rig.host.taken();
    for (
      const ask of [
        () => rig.containers.attach(endpoint(rig, 6)),
        () => rig.containers.detach(place(2)),
        () => rig.containers.inspect(place(2)),
        () => rig.containers.survey(DEPLOYMENT),
        () => rig.containers.removeNetwork(DB),
        () => rig.containers.claim(DEPLOYMENT, place(2).namespace),
        () => rig.containers.ensureNetwork(BASE),
      ]
    ) {
      await assertRejects(ask, OverlayError, "HcnCreateEndpoint has not come back");
    }
    const failures = await rig.containers.purge(DEPLOYMENT);
    assert(
      failures.length > 0 && failures.every((text) => text.includes("has not come back")),
      String(failures),
    );
    assertEquals(rig.host.taken(), []);
    rig.host.release();
    await recovered(rig);
    assertEquals(rig.host.state().endpoints.length, 1);
  });

  for (const when of ["before", "after"] as const) {
    for (const name of ["CreateNamespace", "CreateEndpoint", "ModifyNamespace", "OpenNetwork"]) {
      test(`${name} that hangs ${when} its work and comes back late leaves nothing behind`, async (rig) => {
        await rig.containers.attach(endpoint(rig, 2));
        let recoveries = 0;
        rig.containers.onRecovered(() => recoveries++);
        await trouble(rig, name, when);
        rig.host.release();
        await recovered(rig);
        assertEquals([recoveries, rig.containers.trouble], [1, undefined]);
        // What could not be undone meanwhile is removed by whoever knows the ids.
        await rig.containers.detach(place(5));
        assertEquals(counts(rig), [1, 1, 1]);
        await rig.containers.attach(endpoint(rig, 5));
        assertEquals(await rig.containers.inspect(place(5)), "whole");
      });
    }
  }

  test("a probe finds out that the service answers again though the call hangs for ever", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    let recoveries = 0;
    rig.containers.onRecovered(() => recoveries++);
    await trouble(rig, "CreateNamespace");
    rig.host.taken();
    const over = waitFor("it recovers", () => rig.containers.trouble === undefined);
    await rig.drive(over);
    assertEquals([recoveries, rig.host.hanging()], [1, 1]);
    await rig.containers.attach(endpoint(rig, 6));
    rig.host.release();
    await recovered(rig);
    await rig.containers.detach(place(5));
    assertEquals(counts(rig), [1, 1, 1]);
  });

  test("handles of a service that was restarted are dead, and the next attach gets new ones", async (rig) => {
    await rig.containers.attach(endpoint(rig, 2));
    rig.host.hang("CreateEndpoint");
    const failed = assertRejects(() => rig.drive(rig.containers.attach(endpoint(rig, 5))), OverlayError);
    await waitFor("the call hangs", () => rig.host.hanging() === 1);
    rig.host.restart({ keepObjects: true });
    rig.host.release();
    await failed;
    assertEquals(counts(rig), [1, 1, 1]);
    await rig.containers.attach(endpoint(rig, 5));
    assertEquals(await rig.containers.inspect(place(2)), "whole");
  });
}

function closeTests(test: ContainersRegister): void {
  test("close() with a call in flight ends whoever waits, and nothing is asked any more", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    rig.host.hang("DeleteEndpoint");
    const failed = assertRejects(() => rig.containers.detach(place(5)), OverlayError);
    await waitFor("the call hangs", () => rig.host.hanging() === 1);
    rig.host.taken();
    rig.containers.close();
    await failed;
    await assertRejects(() => rig.containers.attach(endpoint(rig, 6)), OverlayError, "closed");
    await assertRejects(() => rig.containers.survey(DEPLOYMENT), UnavailableError, "closed");
    assertEquals(rig.host.taken(), []);
    rig.host.release();
    await waitFor("the call is over", () => rig.host.problems().length === 0);
    rig.containers.close();
    rig.reopen();
    await rig.containers.detach(place(5));
    assertEquals(counts(rig), [1, 0, 0]);
  });

  test("close() while the service is in trouble ends the probes too", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    rig.host.hang("DeleteEndpoint");
    const failed = assertRejects(() => rig.containers.detach(place(5)), OverlayError);
    await waitFor("the call hangs", () => rig.host.hanging() === 1);
    rig.advance(PATIENCE_MS);
    await failed;
    assert(rig.containers.trouble !== undefined);
    rig.host.taken();
    rig.containers.close();
    rig.advance(120_000);
    await assertRejects(() => rig.containers.inspect(place(5)), UnavailableError);
    assertEquals(rig.host.taken(), []);
    rig.host.release();
    await waitFor("the call is over", () => rig.host.problems().length === 0);
  });

  test("close() before anything was asked opens nothing", async (rig) => {
    rig.containers.close();
    await assertRejects(() => rig.containers.ensureNetwork(BASE), UnavailableError, "closed");
    assertEquals(rig.host.taken(), []);
  });
}

/** Resolves when the service is asked again and all that was handed out is back. */
async function recovered(rig: ContainersRig): Promise<void> {
  await rig.drive(waitFor("it recovers", () => rig.containers.trouble === undefined));
  await rig.drive(waitFor("everything is given back", () => rig.host.problems().length === 0));
}
