/**
 * A process that does one operation on a node that others prepared, and is killed at one of its calls of HCN. It
 * starts, waits for an order on standard input, one line of JSON, and says `answered` when it was not killed.
 */
import { ChannelPool } from "./channel_pool.ts";
import { HcnNode } from "./hcn_node.ts";
import { HCN_OPERATIONS } from "./hcn_operations.ts";

/** Exit code that the fake kills with. */
export const EXIT_KILLED = 137;

/** What a process is to do. */
export interface VictimOrder {
  readonly dataDir: string;
  /** Name of the operation. */
  readonly operation: string;
  /** Call that it is killed at, from 1. */
  readonly call: number;
  readonly when: "before" | "after";
}

if (import.meta.main) {
  using pool = new ChannelPool();
  // The worker starts while there is nothing to do, and opens the library at its first call.
  pool.open().close();
  const { dataDir, operation, call, when }: VictimOrder = JSON.parse(
    await new Response(Deno.stdin.readable).text(),
  );
  const { run, isStart } = HCN_OPERATIONS[operation]!;
  const arm = ({ fake }: HcnNode): void =>
    void fake.script({ function: "*", call, when, action: "kill", code: EXIT_KILLED });
  const node = await HcnNode.start({ dataDir, pool, ...(isStart ? { prepare: arm } : {}) });
  if (!isStart) {
    arm(node);
    await run(node);
  }
  await Deno.stdout.write(new TextEncoder().encode("answered\n"));
  Deno.exit(0);
}
