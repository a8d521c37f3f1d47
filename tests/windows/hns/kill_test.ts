/**
 * The daemon is killed at every call of HCN that attach and detach make, before it and after it: a process of its own
 * does the operation and dies; a new engine on the same data directory has to find and mend what that one left.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { auditHcn } from "../support/hcn_audit.ts";
import { HcnNode, type HnsState } from "../support/hcn_node.ts";
import { HCN_OPERATIONS, type HcnOperation } from "../support/hcn_operations.ts";
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
  putAll(node, JSON.parse(Deno.readTextFileSync(file)));
  Deno.removeSync(file);
  await node.boot();
  return { code, isAnswered: new TextDecoder().decode(stdout).includes("answered") };
}

/** Makes the fake in this process what the one of the other was. */
function putAll(node: HcnNode, state: HnsState): void {
  node.fake.request("forget", { objects: true });
  for (const kind of ["network", "endpoint", "namespace"] as const) {
    for (const object of state[`${kind}s`]) node.fake.request("put", { kind, object });
  }
}

for (const operation of Object.values(HCN_OPERATIONS)) {
  Deno.test(`${operation.name}: killed at any call of HCN, nothing leaks and no answer is lost [windows T58]`, async () => {
    let call = 0;
    for (let isWhole = false; !isWhole;) {
      call++;
      for (const when of ["before", "after"]) {
        await using node = await HcnNode.start();
        await operation.prepare(node);
        const { code, isAnswered } = await killAt(node, operation, { call, when });
        const where = `${operation.name}: killed ${when} call ${call}`;
        isWhole = isAnswered;
        assertEquals(code, isAnswered ? 0 : KILLED, where);
        await node.recover();
        assertEquals(auditHcn(node), [], where);
        if (isAnswered) operation.promised(node);
        await node.drive(operation.run(node));
        await node.recover();
        operation.promised(node);
        assertEquals(auditHcn(node), [], `${where}, then again`);
      }
    }
    assert(call >= 5, `only ${call} calls`);
  });
}
