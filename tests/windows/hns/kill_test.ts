/**
 * The daemon is killed at calls of HCN, before them and after them: a process of its own does the operation and dies; a
 * new engine on the same data directory has to find and mend what that one left.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import type { HcnNode } from "../support/hcn_node.ts";
import {
  auditOf,
  callsOf,
  HCN_OPERATIONS,
  type HcnOperation,
  preparedNode,
  recoverFrom,
} from "../support/hcn_operations.ts";
import { denoRun } from "../support/processes.ts";

/** Exit code that the fake kills with. */
const KILLED = 137;

/** Runs the operation in a process that dies at a call, on the node's files and what its HNS has. */
async function killAt(
  node: HcnNode,
  operation: HcnOperation,
  { call, when }: { readonly call: number; readonly when: string },
): Promise<{ code: number; isAnswered: boolean }> {
  const { dataDir } = node.rig;
  const file = join(dataDir, "hns.json");
  await node.stop();
  Deno.writeTextFileSync(file, JSON.stringify(node.state()));
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: denoRun("./hcn_child.ts", dataDir, operation.name, String(call), when),
    env: { FAKE_HNS_STATE: file },
  }).output();
  node.putAll(JSON.parse(Deno.readTextFileSync(file)));
  Deno.removeSync(file);
  await node.boot();
  return { code, isAnswered: new TextDecoder().decode(stdout).includes("answered") };
}

/** Those that are killed at every call; the others only where a call changes something, for a process takes a while. */
const AT_EVERY_CALL = ["first attach", "attach", "detach"];

/** The first changes nothing in HNS, and the second is done when another process looks around; the matrix has both. */
const NEVER = ["first set-up", "collection"];

for (const operation of Object.values(HCN_OPERATIONS).filter(({ name }) => !NEVER.includes(name))) {
  const { name } = operation;
  const isAtAll = AT_EVERY_CALL.includes(name);
  const where = isAtAll ? "any call of HCN" : "any call of HCN that changes something";
  Deno.test(`${name}: killed at ${where}, nothing leaks and no answer is lost [windows T58]`, async () => {
    const calls = await callsOf(operation, { isRestarted: true });
    const points = [...calls.keys()].filter((at) => isAtAll || /Create|Modify|Delete/.test(calls[at]!));
    assert(points.length >= 1, calls.join());
    // One more call than it makes: it is answered then.
    for (const at of [...points, calls.length]) {
      for (const when of at < calls.length ? ["before", "after"] : ["before"]) {
        await using node = await preparedNode(operation);
        const { code, isAnswered } = await killAt(node, operation, { call: at + 1, when });
        const where = `${name}: killed ${when} call ${at} ${calls[at] ?? "of none"}`;
        assertEquals([code, isAnswered], at < calls.length ? [KILLED, false] : [0, true], where);
        await recoverFrom(operation, node);
        assertEquals(auditOf(operation, node), [], where);
        if (isAnswered) operation.promised(node);
        await node.drive(operation.run(node));
        await recoverFrom(operation, node);
        operation.promised(node);
        assertEquals(auditOf(operation, node), [], `${where}, then again`);
      }
    }
  });
}
