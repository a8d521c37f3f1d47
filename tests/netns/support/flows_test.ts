/** Negative controls: a ping that loses packets says so, and a TCP flow that is held up is not taken for a busy one. */
import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { IperfFlow } from "../../support/iperf_flow.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { NamedNetns, needing } from "../../support/test_netns.ts";
import { Underlay, underlayIp } from "../../support/underlay.ts";

/** Two connected hosts. */
async function hosts(stack: AsyncDisposableStack): Promise<[NamedNetns, NamedNetns]> {
  const underlay = stack.use(await Underlay.create());
  const a = stack.use(await NamedNetns.create());
  const b = stack.use(await NamedNetns.create());
  await underlay.connect(a, 1);
  await underlay.connect(b, 2);
  return [a, b];
}

async function setUplink(host: NamedNetns, state: "up" | "down"): Promise<void> {
  await host.must(["ip", "link", "set", "ztuplink", state]);
}

Deno.test("RunningPing counts what a cut link loses, and nothing else", async () => {
  await using _audit = await LeakAudit.begin();
  await using stack = new AsyncDisposableStack();
  const [a, b] = await hosts(stack);
  await using ping = await RunningPing.start(a, underlayIp(2, 4));
  await ping.answeredMore(10);
  assertEquals(ping.loss.lost, 0);
  await setUplink(b, "down");
  await assertRejects(() => ping.answeredMore(10, { timeoutMs: 500 }));
  await setUplink(b, "up");
  await ping.answeredMore(10);
  assertGreater(ping.loss.lost, 5);
});

Deno.test({
  ...needing(["iperf3"], "IperfFlow counts no busy second while the link is cut, and goes on afterwards"),
  fn: async () => {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const [a, b] = await hosts(stack);
    await using flow = await IperfFlow.start(a, b, underlayIp(2, 4));
    await flow.busySeconds(1);
    await setUplink(b, "down");
    // The first seconds may still fill the sender's buffer.
    await assertRejects(() => flow.busySeconds(4, { timeoutMs: 5_000 }));
    await setUplink(b, "up");
    await flow.busySeconds(1);
  },
});
