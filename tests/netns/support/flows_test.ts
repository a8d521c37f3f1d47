/** Negative controls: a ping that loses packets says so, and a TCP flow that is held up is not taken for a busy one. */
import { assertEquals } from "@std/assert";
import { TcpFlow } from "../../../scripts/support/tcp_flow.ts";
import { IperfFlow } from "../../support/iperf_flow.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { type NamedNetns, needing } from "../../support/test_netns.ts";
import { connectedHosts, underlayIp, UPLINK } from "../../support/underlay.ts";
import { waitFor } from "../../support/wait_for.ts";

async function setUplink(host: NamedNetns, state: "up" | "down"): Promise<void> {
  await host.must(["ip", "link", "set", UPLINK, state]);
}

/** Waits until nothing more comes: what came before the link was cut may still have to be read. */
async function standsStill(more: () => Promise<void>): Promise<void> {
  await waitFor("it to stand still", () => more().then(() => false, () => true));
}

Deno.test("RunningPing counts what a cut link loses, and nothing else", async () => {
  await using _audit = await LeakAudit.begin();
  await using stack = new AsyncDisposableStack();
  const [a, b] = await connectedHosts(stack);
  await using ping = await RunningPing.start(a, underlayIp(2, 4));
  await ping.answeredMore(10);
  assertEquals(ping.loss.lost, 0);
  // More than once where a busy machine lets ping send little meanwhile.
  await waitFor("losses", async () => {
    await setUplink(b, "down");
    await standsStill(() => ping.answeredMore(10, { timeoutMs: 500 }));
    await setUplink(b, "up");
    await ping.answeredMore(10);
    return ping.loss.lost > 5;
  });
});

Deno.test({
  ...needing(["iperf3"], "IperfFlow counts no busy second while the link is cut, and goes on afterwards"),
  fn: async () => {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const [a, b] = await connectedHosts(stack);
    await using flow = await IperfFlow.start(a, b, underlayIp(2, 4));
    await flow.busySeconds(1);
    await setUplink(b, "down");
    // The first seconds may still fill the sender's buffer.
    await standsStill(() => flow.busySeconds(4, { timeoutMs: 5_000 }));
    await setUplink(b, "up");
    await flow.busySeconds(1);
  },
});

Deno.test("TcpFlow stands still while the link is cut, and goes on afterwards with every byte", async () => {
  await using _audit = await LeakAudit.begin();
  await using stack = new AsyncDisposableStack();
  const [a, b] = await connectedHosts(stack);
  await using flow = await TcpFlow.start(a, b, { address: underlayIp(2, 4), bytesPerSecond: 1_000_000 });
  await setUplink(b, "down");
  await standsStill(() => flow.receivedMore(1_000_000, { timeoutMs: 1_500 }));
  await setUplink(b, "up");
  await flow.receivedMore(500_000);
  const { sentBytes, receivedBytes, isIntact } = await flow.finish();
  assertEquals([isIntact, receivedBytes], [true, sentBytes]);
});
