/**
 * Something goes wrong at every call of the rig's computenetwork.dll: it hangs, the service restarts and has forgotten
 * everything. After recovery nothing has leaked and nothing that was answered is lost; status is answered meanwhile.
 */
import { assert, assertEquals } from "@std/assert";
import { waitFor } from "../../support/wait_for.ts";
import { auditHcn } from "../support/hcn_audit.ts";
import { HcnNode } from "../support/hcn_node.ts";
import { HCN_OPERATIONS, type HcnOperation } from "../support/hcn_operations.ts";

/** Longer than any call is waited for. */
const PATIENCE_MS = 15_001;

async function prepared(operation: HcnOperation): Promise<HcnNode> {
  const node = await HcnNode.start();
  await operation.prepare(node);
  return node;
}

/** Functions that the operation calls when nothing is wrong. */
async function callsOf(operation: HcnOperation): Promise<string[]> {
  await using node = await prepared(operation);
  const before = node.fake.calls().length;
  await operation.run(node);
  operation.promised(node);
  const calls = node.fake.calls().slice(before);
  assert(calls.length >= 5, `only ${calls.length} calls`);
  return calls;
}

async function answered(work: Promise<unknown>): Promise<boolean> {
  return await work.then(() => true, () => false);
}

/** Starts the operation, stops it at a call, and has something happen there. */
async function interrupt(
  node: HcnNode,
  operation: HcnOperation,
  at: { readonly call: number; readonly when: "before" | "after"; readonly then: () => void | Promise<void> },
): Promise<boolean> {
  node.fake.script({ function: "*", call: at.call, when: at.when, action: "hang" });
  const work = answered(operation.run(node));
  await waitFor("the call hangs", () => node.fake.counters().hanging === 1);
  assertEquals((await node.engine.status(true)).serviceCount, 0);
  await at.then();
  return await node.drive(work);
}

async function verify(node: HcnNode, where: string): Promise<void> {
  await waitFor("HCN is called again", () => node.backend.containers.trouble === undefined);
  await node.recover();
  // What a late call brought is given back by calls that nobody waits for.
  await waitFor(where, () => auditHcn(node).length === 0).catch(() => {});
  assertEquals(auditHcn(node), [], where);
}

for (const operation of Object.values(HCN_OPERATIONS)) {
  Deno.test(`${operation.name}: a call that hangs, whichever, holds up neither status nor the others for good`, async () => {
    for (const [at, name] of (await callsOf(operation)).entries()) {
      await using node = await prepared(operation);
      const where = `${operation.name}: ${name} (${at}) hung`;
      const isAnswered = await interrupt(node, operation, {
        call: at + 1,
        when: "before",
        then: async () => {
          node.rig.clock.advance(PATIENCE_MS);
          await node.engine.status(true);
        },
      });
      await node.engine.status(true);
      node.fake.request("release");
      await verify(node, where);
      if (isAnswered) operation.promised(node);
      await node.drive(operation.run(node));
      await verify(node, `${where}, then again`);
      operation.promised(node);
    }
  });

  Deno.test(`${operation.name}: HNS restarts and has forgotten everything, at any call [windows T56]`, async () => {
    for (const [at, name] of (await callsOf(operation)).entries()) {
      for (const when of ["before", "after"] as const) {
        await using node = await prepared(operation);
        await interrupt(node, operation, {
          call: at + 1,
          when,
          then: () => {
            node.fake.request("forget", { objects: true });
            node.fake.request("release");
          },
        });
        const where = `${operation.name}: restart ${when} ${name} (${at})`;
        await verify(node, where);
        await node.drive(operation.run(node));
        await verify(node, `${where}, then again`);
      }
    }
  });
}
