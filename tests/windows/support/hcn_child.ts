/**
 * A process that does one operation on a node that others prepared, and is killed at one of its calls of HCN:
 * `hcn_child.ts <data dir> <operation> <call> <before|after>`. Says `answered` when it was not.
 */
import { HcnNode } from "./hcn_node.ts";
import { HCN_OPERATIONS } from "./hcn_operations.ts";

const [dataDir = "", operation = "", call = "", when = ""] = Deno.args;
const node = await HcnNode.start({ dataDir });
node.fake.script({
  function: "*",
  call: Number(call),
  when: when as "before" | "after",
  action: "kill",
  code: 137,
});
await HCN_OPERATIONS[operation]!.run(node);
await Deno.stdout.write(new TextEncoder().encode("answered\n"));
Deno.exit(0);
