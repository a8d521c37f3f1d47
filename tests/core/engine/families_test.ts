/** Clusters of the other family, and slices too small to live in. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { PoolExhaustedError } from "../../../core/errors.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";

Deno.test("everything works in a cluster of IPv6, and again after a restart and a reboot", async () => {
  await using rig = await EngineRig.start();
  const request = globalRequest({ clusterCidr: "fd00:200::/48", sliceCidr: "fd00:200:0:1::/64" });
  await rig.engine.setupGlobalOverlay(request, rig.context);
  const dedicated = await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals(dedicated.dedicated!.subnet, "fd00:200:0:66:acce:2e09:8fe4:a100/120");
  rig.host.spawn(100);
  const handle = { platform: "linux_pid", pid: 100 } as const;
  const reply = await rig.engine.attachContainer({ handle, service: "web", joinGlobal: true });
  assert(reply.kind === "attached" && reply.ip === "fd00:200:0:66:acce:2e09:8fe4:a102");
  assertEquals(
    [...rig.host.processes.get(100)!.links.values()].map((link) => formatPrefix(link.address)),
    ["fd00:200:0:66:acce:2e09:8fe4:a102/120", "fd00:200:0:1::2/128"],
  );
  const guest = { platform: "guest_managed", id: "vm1" } as const;
  const config = await rig.engine.attachContainer({ handle: guest, service: "web", joinGlobal: false });
  assert(config.kind === "guest_config" && config.prefixLen === 48);
  const spec = { publicKey: freshPublicKey(), endpoint: "[2001:db8::7]:51420", persistentKeepaliveSecs: 0 };
  await rig.engine.addPeer({ ...spec, allowedIps: "fd00:200:0:2::/64,fd00:300::/64" }, { scope: "global" });
  const routes = (): string[] => rig.host.links.get("zl-prod-42-g")!.routes.map(formatPrefix).sort();
  const wanted = [`${config.overlayIp}/128`, "fd00:300::/64"].sort();
  assertEquals(routes(), wanted);
  await rig.restart();
  assertEquals(routes(), wanted);
  rig.host.reboot();
  await rig.restart();
  assertEquals(routes(), wanted);
  await rig.engine.removeAll();
  assertEquals(rig.host.links.size, 0);
});

for (const sliceCidr of ["10.200.0.0/31", "10.200.0.7/32"]) {
  Deno.test(`a slice of ${sliceCidr} has no address for the node; the next set-up with another has`, async () => {
    await using rig = await EngineRig.start();
    await assertRejects(
      () => rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr }), rig.context),
      PoolExhaustedError,
      "exhausted",
    );
    assertEquals([rig.host.links.size, rig.store.leases.size], [0, 0]);
    await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/30" }), rig.context);
    assertEquals((await rig.engine.status(false)).nodeIp, "10.200.0.1");
  });
}

Deno.test("containers keep eth1 through a teardown of the global overlay and a set-up at another address", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/28" }), rig.context);
  await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  const handle = { platform: "linux_pid", pid: 100 } as const;
  await rig.engine.attachContainer({ handle, service: "web", joinGlobal: true });
  const veth = rig.host.links.get("veth-100-g");
  await rig.engine.teardownGlobalOverlay(rig.context);
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.9.0/28" }), rig.context);
  await rig.engine.reconcile();
  assert(rig.host.links.get("veth-100-g") === veth);
  assertEquals(rig.store.leases.get("10.200.0.2")?.owner, "pid:100");
  await rig.engine.detachContainer(handle);
  assertEquals([...rig.store.leases.keys()], ["10.200.9.1"]);
});
