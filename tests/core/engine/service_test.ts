import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import {
  InvalidConfigError,
  OverlayError,
  PreconditionError,
  UnsupportedError,
} from "../../../core/errors.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import { EngineRig, globalRequest } from "../../support/engine_rig.ts";

const pid = (n: number): { platform: "linux_pid"; pid: number } => ({ platform: "linux_pid", pid: n });

Deno.test("setupServiceOverlay() of one service by 16 callers at once makes one bridge", async () => {
  await using rig = await EngineRig.start();
  const replies = await Promise.all(
    Array.from({ length: 16 }, () => rig.engine.setupServiceOverlay("web", "shared")),
  );
  assertEquals(new Set(replies.map((reply) => reply.name)).size, 1);
  assertEquals([...rig.host.links.keys()], ["zl---web-b"]);
  assertEquals((await rig.engine.status(false)).serviceCount, 1);
});

Deno.test("setupServiceOverlay() of four services by four callers each makes four bridges", async () => {
  await using rig = await EngineRig.start();
  const calls = ["a", "b", "c", "d"].flatMap((name) => Array.from({ length: 4 }, () => name));
  await Promise.all(calls.map((name) => rig.engine.setupServiceOverlay(name, "auto")));
  assertEquals(rig.host.links.size, 4);
});

Deno.test("setupServiceOverlay() without a node id is refused, with 0 as callers send it is not (W13)", async () => {
  await using rig = await EngineRig.start({ nodeId: undefined });
  await assertRejects(
    () => rig.engine.setupServiceOverlay("web", "shared"),
    PreconditionError,
    "set_local_node_id",
  );
  await rig.engine.setLocalNodeId(0n);
  const { name } = await rig.engine.setupServiceOverlay("web", "shared");
  assertEquals(rig.host.links.get(name)!.addresses.map(formatPrefix), ["10.200.46.225/28"]);
});

Deno.test("setupServiceOverlay() keeps subnets off the node's slice and its leased addresses (W13)", async () => {
  await using rig = await EngineRig.start();
  // web on node 1 hashes to 10.200.74.16/28, so that is made the node's slice.
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.74.16/28" }), rig.context);
  const { name } = await rig.engine.setupServiceOverlay("web", "shared");
  assertEquals(rig.host.links.get(name)!.addresses.map(formatPrefix), ["10.200.74.33/28"]);
});

Deno.test("setupServiceOverlay() refuses names that would break things, naming field and value", async () => {
  await using rig = await EngineRig.start();
  const names = ["", "a/b", "a\0b", "x".repeat(10_240), "a b", "..", "a\nb", "\ud800"];
  for (const name of names) {
    await assertRejects(() => rig.engine.setupServiceOverlay(name, "shared"), InvalidConfigError, "service");
  }
  const { name } = await rig.engine.setupServiceOverlay("wéb-サービス", "shared");
  assert(new TextEncoder().encode(name).length <= 15);
  assertEquals(rig.store.services.size, 1);
});

Deno.test("a dedicated service has key and port of its own [overlay T43]; ports count up and freed ones come back [overlay T41]", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const a = (await rig.engine.setupServiceOverlay("a", "dedicated")).dedicated!;
  const b = (await rig.engine.setupServiceOverlay("b", "dedicated")).dedicated!;
  assertEquals([a.wgPort, b.wgPort], [51421, 51422]);
  assertNotEquals(a.wgPublicKey, b.wgPublicKey);
  assertNotEquals(a.wgPublicKey, (await rig.engine.status(false)).publicKey);
  await rig.engine.teardownServiceOverlay("a");
  assertEquals((await rig.engine.setupServiceOverlay("c", "dedicated")).dedicated!.wgPort, 51421);
  rig.host.busyPorts.add(51423);
  assertEquals((await rig.engine.setupServiceOverlay("d", "dedicated")).dedicated!.wgPort, 51424);
});

Deno.test("a dedicated port is never the live global one (W16)", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ wgPort: 51421 }), rig.context);
  assertEquals((await rig.engine.setupServiceOverlay("a", "dedicated")).dedicated!.wgPort, 51422);
});

Deno.test("a dedicated service keeps port, keys and interface through a restart [overlay T42] [daemon 31]", async () => {
  await using rig = await EngineRig.start();
  const before = await rig.engine.setupServiceOverlay("web", "dedicated");
  rig.kill();
  await rig.boot();
  assertEquals(await rig.engine.setupServiceOverlay("web", "dedicated"), before);
  const status = await rig.engine.status(false);
  assertEquals(status.dedicatedServices.map((d) => [d.service, d.listenPort, d.interface]), [
    ["web", before.dedicated!.wgPort, before.name],
  ]);
});

Deno.test("a dedicated device stays ours when the deployment gets another name", async () => {
  await using rig = await EngineRig.start();
  const before = await rig.engine.setupServiceOverlay("web", "dedicated");
  const device = rig.host.links.get(before.name);
  await rig.engine.setupGlobalOverlay(globalRequest({ deployment: "other" }), rig.context);
  for (let pass = 0; pass < 3; pass++) {
    rig.clock.advance(31_000);
    await rig.engine.reconcile();
  }
  assert(rig.host.links.get(before.name) === device, "the device was taken for an orphan");
  assertEquals(await rig.engine.setupServiceOverlay("web", "dedicated"), before);
  await rig.engine.teardownServiceOverlay("web");
  assert(!rig.host.links.has(before.name));
});

Deno.test("a dedicated service takes port and keys from the marker when the database is gone", async () => {
  await using rig = await EngineRig.start();
  const before = await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.engine.stop();
  rig.kill();
  for (const suffix of ["", "-wal", "-shm"]) {
    await Deno.remove(`${rig.dataDir}/overlayd.db${suffix}`).catch(() => {});
  }
  rig.host.links.clear();
  await rig.boot();
  await rig.engine.setLocalNodeId(1n);
  assertEquals(await rig.engine.setupServiceOverlay("web", "dedicated"), before);
});

Deno.test("on a dedicated service the bridge owns the subnet and the device has a single address (W15)", async () => {
  await using rig = await EngineRig.start();
  const { name } = await rig.engine.setupServiceOverlay("web", "dedicated");
  const bridge = [...rig.host.links.values()].find((link) => link.kind === "bridge")!;
  assertEquals(bridge.addresses.map(formatPrefix), ["10.200.74.17/28"]);
  assertEquals(rig.host.links.get(name)!.addresses.map(formatPrefix), ["10.200.74.17/32"]);
});

Deno.test("setupServiceOverlay() changes the mode of a live service without touching its bridge", async () => {
  await using rig = await EngineRig.start();
  const shared = await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  await rig.engine.attachContainer({ handle: pid(100), service: "web", joinGlobal: false });
  const bridge = rig.host.links.get(shared.name);
  const dedicated = await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals(await rig.engine.setupServiceOverlay("web", "auto"), dedicated);
  assertEquals(await rig.engine.setupServiceOverlay("web", "shared"), shared);
  assert(rig.host.links.get(shared.name) === bridge);
  assert(!rig.host.links.has(dedicated.name));
  assertEquals(JSON.parse(await Deno.readTextFile(`${rig.dataDir}/agent_network.json`)).networks, []);
});

Deno.test("setupServiceOverlay() dedicated without WireGuard leaves no trace, and the port is free again (W16)", async () => {
  await using rig = await EngineRig.start();
  rig.host.wireguard = false;
  await assertRejects(() => rig.engine.setupServiceOverlay("web", "dedicated"), UnsupportedError);
  assertEquals([rig.host.links.size, rig.store.services.size], [0, 0]);
  rig.host.wireguard = true;
  assertEquals((await rig.engine.setupServiceOverlay("web", "dedicated")).dedicated!.wgPort, 51421);
});

Deno.test("teardownServiceOverlay() before its containers stop: later detaches are harmless, addresses come back", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  for (const n of [100, 101]) {
    rig.host.spawn(n);
    await rig.engine.attachContainer({ handle: pid(n), service: "web", joinGlobal: false });
  }
  await rig.engine.teardownServiceOverlay("web");
  await rig.engine.teardownServiceOverlay("web");
  await rig.engine.detachContainer(pid(100));
  assertEquals([rig.host.links.size, rig.store.leases.size, rig.store.attachments.size], [0, 0, 0]);
  await rig.engine.setupServiceOverlay("web", "shared");
  const reply = await rig.engine.attachContainer({ handle: pid(101), service: "web", joinGlobal: false });
  assert(reply.kind === "attached" && reply.ip === "10.200.74.18");
});

Deno.test("allocateIp() twice differs, a released address comes back [daemon 39] [overlay T26]; last released first [overlay T27]", async () => {
  await using rig = await EngineRig.start();
  const [a, b] = [await rig.engine.allocateIp("x", false), await rig.engine.allocateIp("x", false)];
  assertNotEquals(a, b);
  await rig.engine.releaseIp(a);
  assertEquals(await rig.engine.allocateIp("x", false), a);
  await rig.engine.releaseIp(a);
  await rig.engine.releaseIp(b);
  assertEquals(await rig.engine.allocateIp("x", false), b);
  assertEquals(await rig.engine.allocateIp("x", false), a);
});

Deno.test("releaseIp() takes back only what allocateIp gave: no gateway, no container's address (W17) [overlay T30]", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  await rig.engine.attachContainer({ handle: pid(100), service: "web", joinGlobal: false });
  for (const ip of ["10.200.74.17", "10.200.74.18", "192.0.2.1"]) await rig.engine.releaseIp(ip);
  const given: string[] = [];
  for (let i = 0; i < 12; i++) given.push(await rig.engine.allocateIp("web", false));
  assertEquals(given, Array.from({ length: 12 }, (_, i) => `10.200.74.${19 + i}`));
  await assertRejects(() => rig.engine.allocateIp("web", false), OverlayError, "exhausted");
});

Deno.test("leases survive a restart: nothing live is handed out twice (W10)", async () => {
  await using rig = await EngineRig.start();
  const first = await rig.engine.allocateIp("x", false);
  await rig.restart();
  assertNotEquals(await rig.engine.allocateIp("x", false), first);
});

Deno.test("registerDns() replaces, unregisterDns() removes, both survive a restart", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.registerDns("web.overlay.local", "10.200.0.5");
  await rig.engine.registerDns("web.overlay.local", "10.200.0.6");
  await rig.engine.registerDns("db", "fd00::5");
  await rig.engine.unregisterDns("nothing");
  await rig.restart();
  assertEquals((await rig.engine.status(true)).detail!.dnsRecords, [
    { name: "db", ip: "fd00::5" },
    { name: "web.overlay.local", ip: "10.200.0.6" },
  ]);
});
