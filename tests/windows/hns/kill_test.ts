/**
 * The daemon is killed at calls of HCN, before them and after them: a process of its own does the operation and dies; a
 * new engine on the same data directory has to find and mend what that one left.
 */
import { assert, assertEquals } from "@std/assert";
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
import { type VictimEnd, Victims } from "../support/hcn_victims.ts";

/** Where a process dies. */
interface Point {
  readonly call: number;
  readonly when: "before" | "after";
  /** For messages. */
  readonly where: string;
}

/** Operations that are killed at every call; the others only where a call changes something, for a process takes a while. */
const AT_EVERY_CALL = ["first attach", "attach", "detach", "first set-up", "collection"];

/** The calls that do it, where others are the same looks around once more: from one list of networks to the next. */
const DONE_BY: Readonly<Record<string, (lists: readonly number[]) => readonly [number, number?]>> = {
  "first set-up": (lists) => [lists[0]!, lists[1]!],
  "collection": (lists) => [lists.at(-1)!],
};

/** After a call that only reads, things are as they are before the next. At the last point it has done all of them. */
function pointsOf({ name }: HcnOperation, calls: readonly string[]): Point[] {
  const isAtAll = AT_EVERY_CALL.includes(name);
  const lists = [...calls.keys()].filter((at) => calls[at] === "HcnEnumerateNetworks");
  const [from, to = calls.length] = DONE_BY[name]?.(lists) ?? [0];
  const points = calls.flatMap((fn, at) => {
    if (at < from || at >= to) return [];
    const point = (when: Point["when"]): Point => ({
      call: at + 1,
      when,
      where: `${name}: killed ${when} call ${at} ${fn}`,
    });
    if (/Create|Modify|Delete/.test(fn)) return [point("before"), point("after")];
    return isAtAll ? [point("before")] : [];
  });
  return [...points, {
    call: calls.length + 1,
    when: "before",
    where: `${name}: killed at none of its calls`,
  }];
}

/** Runs the operation in a process that dies at a call, on the node's files and what its HNS has. */
async function killAt(
  node: HcnNode,
  victims: Victims,
  { operation, point: { call, when } }: { readonly operation: string; readonly point: Point },
): Promise<VictimEnd> {
  await node.stop();
  const end = await victims.run({ dataDir: node.rig.dataDir, operation, call, when }, node.state());
  node.putAll(end.state);
  await node.boot();
  return end;
}

for (const operation of Object.values(HCN_OPERATIONS)) {
  const { name } = operation;
  const where = AT_EVERY_CALL.includes(name) ? "any call of HCN" : "any call of HCN that changes something";
  Deno.test(`${name}: killed at ${where}, nothing leaks and no answer is lost [windows T58]`, async () => {
    await using victims = new Victims();
    using pool = new ChannelPool();
    const calls = await callsOf(operation, { isRestarted: true });
    const points = pointsOf(operation, calls);
    assert(points.length > 1, calls.join());
    for (const point of points) {
      await using node = await preparedNode(operation, pool);
      const { isKilled, isAnswered } = await killAt(node, victims, { operation: name, point });
      const isLast = point === points.at(-1);
      assertEquals([isKilled, isAnswered], [!isLast, isLast], point.where);
      await recoverFrom(operation, node);
      assertEquals(auditOf(operation, node), [], point.where);
      if (isAnswered) operation.promised(node);
      await node.drive(operation.run(node));
      await recoverFrom(operation, node);
      operation.promised(node);
      assertEquals(auditOf(operation, node), [], `${point.where}, then again`);
    }
  });
}
