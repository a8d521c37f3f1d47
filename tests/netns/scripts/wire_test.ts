/** The tap finds what it is there to find: text in the clear on a link. */
import { assertEquals, assertGreater } from "@std/assert";
import { watchLinks } from "../../../scripts/demo/wire.ts";
import { TcpFlow } from "../../../scripts/support/tcp_flow.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { connectedHosts, underlayIp, UPLINK } from "../../support/underlay.ts";

Deno.test("watchLinks() sees TCP and its text where nothing encrypts it, and all of it", async () => {
  await using _audit = await LeakAudit.begin();
  await using stack = new AsyncDisposableStack();
  const [a, b] = await connectedHosts(stack);
  const points = [a, b].map((place) => ({ place, link: UPLINK }));
  const address = underlayIp(2, 4);
  const seen = await watchLinks(points, async () => {
    await using flow = await TcpFlow.start(a, b, { address, bytesPerSecond: 4_000_000 });
    await flow.receivedMore(500_000);
    const end = await flow.finish();
    assertEquals([end.isIntact, end.receivedBytes], [true, end.sentBytes]);
    assertGreater(end.sentBytes, 500_000);
  }, { wireguardPorts: [51420] });
  for (const { kinds, withMarker, missed } of seen) {
    assertGreater(withMarker, 5);
    assertGreater(kinds.get("TCP") ?? 0, withMarker);
    assertEquals([kinds.has("WireGuard"), missed], [false, 0]);
  }
});

Deno.test("watchLinks() counts UDP as WireGuard's only between its ports", async () => {
  await using _audit = await LeakAudit.begin();
  await using stack = new AsyncDisposableStack();
  const [a, b] = await connectedHosts(stack);
  const send = (from: number, to: number): string =>
    `const s = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: ${from} });` +
    `await s.send(new Uint8Array(32), { transport: "udp", hostname: "${underlayIp(2, 4)}", port: ${to} });`;
  const script = [send(51420, 51421), send(51421, 53), send(53, 51420)].map((text) => `{${text}}`).join("\n");
  const [seen] = await watchLinks([{ place: b, link: UPLINK }], async () => {
    await a.must([Deno.execPath(), "eval", "--quiet", "--no-config", "--unstable-net", script]);
  }, { wireguardPorts: [51420, 51421] });
  assertEquals([seen!.kinds.get("WireGuard"), seen!.kinds.get("UDP")], [1, 2]);
});
