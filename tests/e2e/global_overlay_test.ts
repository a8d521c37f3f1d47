/**
 * The global overlay on the kernel that runs this test, which may have WireGuard or not: then it is in user space.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { globalRequest } from "../support/engine_rig.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { Container, testName } from "../support/test_netns.ts";

/** Whether a WireGuard link can be made, asked of the kernel by iproute2. */
async function kernelHasWireGuard({ host }: OverlayNode): Promise<boolean> {
  const name = testName();
  const { code } = await host.run(["ip", "link", "add", name, "type", "wireguard"]);
  if (code === 0) await host.must(["ip", "link", "delete", name]);
  return code === 0;
}

Deno.test("setup_global_overlay works, by the kernel's WireGuard or in user space [overlay T6]", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  await using b = await Container.start();
  const { kind, reason } = (await node.status()).detail.wireguard;
  assertEquals([kind, reason ?? undefined], [
    await kernelHasWireGuard(node) ? "kernel" : "userspace",
    undefined,
  ]);
  const name = await node.client.setupGlobalOverlay(globalRequest());
  const { interface: told, publicKey } = await node.status();
  assertEquals(told, name);
  assert(publicKey);
  if (kind === "userspace") {
    assert((await Deno.stat(`${node.dataDir}/run/wireguard/${name}.sock`)).isSocket);
  }
  await node.client.setupServiceOverlay("web", "auto");
  // A container that asks for the global overlay gets what there is.
  await node.attach(a, "web", { joinGlobal: true });
  assert(await a.ping(await node.attach(b, "web", { joinGlobal: true })));
  assert(await a.link("eth1") !== undefined);
  assertEquals(await auditNode(node, [a, b]), []);
  await node.client.teardownServiceOverlay("web");
  await node.client.teardownGlobalOverlay();
  assertEquals(await node.ownLinkNames(), []);
});

Deno.test("a dedicated service gets a device, by the kernel's WireGuard or in user space", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  assertEquals((await node.client.setupServiceOverlay("db", "dedicated")).mode, "dedicated");
  await node.client.teardownServiceOverlay("db");
  assertEquals(await node.ownLinkNames(), []);
  assertEquals((await node.status()).serviceCount, 0);
});

Deno.test("a guest attached before the global overlay is up is refused, and nothing is recorded [daemon 35]", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  const handle = { platform: "guest_managed", id: "vm1" } as const;
  const attach = (): Promise<unknown> =>
    node.client.attachContainer({ handle, service: "web", joinGlobal: true });
  await assertRejects(attach, Error, "global overlay to be set up");
  await node.client.setupServiceOverlay("web", "shared");
  await assertRejects(attach, Error, "global overlay to be set up");
  const { detail } = await node.status();
  assertEquals([detail.attachments, detail.leases, detail.pending], [[], [], []]);
  await node.client.detachContainer(handle);
});
