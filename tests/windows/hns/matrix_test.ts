/**
 * Something goes wrong at every call of the rig's computenetwork.dll: it hangs, the service restarts and has forgotten
 * everything, the process ends. After recovery nothing has leaked and nothing that was answered is lost; status is
 * answered meanwhile.
 */
import { assert, assertEquals } from "@std/assert";
import { waitFor } from "../../support/wait_for.ts";
import { ChannelPool } from "../support/channel_pool.ts";
import type { HcnNode } from "../support/hcn_node.ts";
import {
  auditOf,
  callsOf,
  HCN_OPERATIONS,
  type HcnOperation,
  preparedNode,
  recoverFrom,
} from "../support/hcn_operations.ts";

/** Longer than any call is waited for. */
const PATIENCE_MS = 15_001;

/** Where something happens. */
interface Point {
  readonly call: number;
  readonly when: "before" | "after";
  /** For messages. */
  readonly where: string;
}

/** Every call of an operation. After a call that only reads, things are as they are before the next. */
async function pointsOf(
  operation: HcnOperation,
  { isAfter }: { isAfter: boolean },
): Promise<readonly Point[]> {
  const calls = await callsOf(operation);
  assert(calls.length >= 3, `only ${calls.length} calls`);
  return calls.flatMap((name, at) => {
    const point = (when: Point["when"]): Point => ({
      call: at + 1,
      when,
      where: `${operation.name}: ${when} ${name} (${at})`,
    });
    const isChange = /Create|Modify|Delete/.test(name);
    return isAfter && isChange ? [point("before"), point("after")] : [point("before")];
  });
}

/** Starts the operation, stops it at a call, and asks for the status there. */
async function interrupt(
  node: HcnNode,
  operation: HcnOperation,
  { call, when, where }: Point,
): Promise<{ work: Promise<boolean> }> {
  node.fake.script({ function: "*", call, when, action: "hang" });
  const work = operation.run(node).then(() => true, () => false);
  await waitFor(`${where}: the call hangs`, () => node.fake.counters().hanging === 1);
  await status(node, where);
  return { work };
}

/** Status is answered, and no call of HCN is made for that. */
async function status(node: HcnNode, where: string): Promise<void> {
  const before = node.callsMade;
  await node.engine.status(true);
  assertEquals(node.callsMade, before, `${where}: status asks the service`);
}

async function verify(
  node: HcnNode,
  operation: HcnOperation,
  where: string,
  { isForgotten = false } = {},
): Promise<void> {
  // A network that is forgotten is made anew by whoever needs it next.
  const audit = (): string[] =>
    auditOf(operation, node).filter((text) => !isForgotten || !/^network .* is not there$/.test(text));
  await waitFor("HCN is called again", () => node.backend.containers.trouble === undefined);
  await recoverFrom(operation, node);
  // What a late call brought is given back by calls that nobody waits for.
  await waitFor(where, () => audit().length === 0).catch(() => {});
  assertEquals(audit(), [], where);
}

/** The operation once more, which has to succeed. */
async function again(node: HcnNode, operation: HcnOperation, where: string): Promise<void> {
  await node.drive(operation.run(node));
  await verify(node, operation, `${where}, then again`);
  operation.promised(node);
}

for (const operation of Object.values(HCN_OPERATIONS)) {
  const { name } = operation;

  Deno.test(`${name}: a call that hangs, whichever, holds up neither status nor the others for good`, async () => {
    using pool = new ChannelPool();
    for (const point of await pointsOf(operation, { isAfter: false })) {
      await using node = await preparedNode(operation, pool);
      const { work } = await interrupt(node, operation, point);
      node.rig.clock.advance(PATIENCE_MS);
      await status(node, point.where);
      const isAnswered = await node.drive(work);
      await status(node, point.where);
      node.fake.request("release");
      await verify(node, operation, point.where);
      if (isAnswered) operation.promised(node);
      await again(node, operation, point.where);
    }
  });

  Deno.test(`${name}: HNS restarts and has forgotten everything, at any call [windows T56]`, async () => {
    using pool = new ChannelPool();
    for (const point of await pointsOf(operation, { isAfter: true })) {
      await using node = await preparedNode(operation, pool);
      const { work } = await interrupt(node, operation, point);
      node.fake.request("forget", { objects: true });
      node.fake.request("release");
      await node.drive(work);
      await verify(node, operation, point.where, { isForgotten: true });
      await node.drive(operation.run(node));
      await verify(node, operation, `${point.where}, then again`);
    }
  });

  Deno.test(`${name}: the process ends at any call, and another finds what it left [windows T58]`, async () => {
    using pool = new ChannelPool();
    for (const point of await pointsOf(operation, { isAfter: true })) {
      await using node = await preparedNode(operation, pool);
      await interrupt(node, operation, point);
      await node.kill();
      await node.boot();
      await verify(node, operation, point.where);
      await again(node, operation, point.where);
    }
  });
}
