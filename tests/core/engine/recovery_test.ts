import { assert, assertEquals } from "@std/assert";
import { formatPrefix, parsePrefix } from "../../../core/ip/prefix.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";

const pid = (n: number): { platform: "linux_pid"; pid: number } => ({ platform: "linux_pid", pid: n });

/** A node with everything on it. */
async function fullRig(): Promise<EngineRig> {
  const rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/28" }), rig.context);
  await rig.engine.setupServiceOverlay("web", "shared");
  await rig.engine.setupServiceOverlay("db", "dedicated");
  for (const n of [100, 101]) {
    rig.host.spawn(n);
    await rig.engine.attachContainer({ handle: pid(n), service: "web", joinGlobal: true });
  }
  await rig.engine.addPeer({
    publicKey: freshPublicKey(),
    endpoint: "198.51.100.7:51420",
    allowedIps: "192.168.7.0/24",
    persistentKeepaliveSecs: 0,
  }, { scope: "global" });
  return rig;
}

/** The fake kernel in words, to compare before and after. */
function picture(rig: EngineRig): unknown {
  return [...rig.host.links.values()].map((link) => ({
    ...link,
    device: link.device && { port: link.device.listenPort, peers: [...link.device.peers.keys()] },
    addresses: link.addresses.map(formatPrefix),
    routes: link.routes.map(formatPrefix),
  })).sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Waits for repairs that a change of a link sets off. */
async function settle(rig: EngineRig): Promise<void> {
  rig.clock.advance(250);
  await rig.engine.reconcile();
}

Deno.test("a restart leaves every link object untouched", async () => {
  await using rig = await fullRig();
  const before = new Map(rig.host.links);
  const seen = picture(rig);
  await rig.restart();
  for (const [name, link] of before) assert(rig.host.links.get(name) === link, name);
  assertEquals(picture(rig), seen);
});

Deno.test("a device whose MTU somebody has changed gets its own back", async () => {
  await using rig = await fullRig();
  const device = [...rig.host.links.values()].find(({ kind }) => kind === "wireguard")!;
  const { mtuBytes } = device;
  device.mtuBytes = 1280;
  await settle(rig);
  assertEquals(device.mtuBytes, mtuBytes);
});

Deno.test("after a reboot services and devices are rebuilt, containers of the old boot are released", async () => {
  await using rig = await fullRig();
  rig.host.reboot();
  await rig.restart();
  assertEquals([...rig.host.links.values()].map((link) => link.kind).sort(), [
    "bridge",
    "bridge",
    "wireguard",
    "wireguard",
  ]);
  assertEquals([rig.store.attachments.size, rig.store.leases.size], [0, 1]);
});

Deno.test("a container that died while the daemon was down is released, another process with its pid is not taken for it", async () => {
  await using rig = await fullRig();
  rig.host.kill(100);
  rig.host.spawn(100);
  await rig.restart();
  assertEquals([...rig.store.attachments.keys()], ["pid:101"]);
  assertEquals(rig.host.processes.get(100)!.links.size, 0);
});

Deno.test("links of ours without a record are removed at start; other people's are not", async () => {
  await using rig = await fullRig();
  const tag = rig.host.links.get("veth-100-s")!.tag.replace("pid:100", "pid:999");
  const veth = { kind: "veth" as const, up: true, mtuBytes: 1420, addresses: [], routes: [] };
  rig.host.add({ ...veth, name: "veth-999-s", tag });
  rig.host.add({ ...veth, name: "veth-888-s", tag: "zlayer-overlayd/prod/0123456789abcdef:pid:888/eth0" });
  rig.host.add({ ...veth, name: "veth-777-s", tag: "" });
  await rig.restart();
  assertEquals([
    rig.host.links.has("veth-999-s"),
    rig.host.links.has("veth-888-s"),
    rig.host.links.has("veth-777-s"),
  ], [
    false,
    true,
    true,
  ]);
});

Deno.test("while running, an orphan goes only when seen twice, 30 s apart", async () => {
  await using rig = await fullRig();
  const tag = rig.host.links.get("veth-100-s")!.tag.replace("pid:100", "pid:999");
  rig.host.add({
    kind: "veth",
    name: "veth-999-s",
    tag,
    up: true,
    mtuBytes: 1420,
    addresses: [],
    routes: [],
  });
  await settle(rig);
  assert(rig.host.links.has("veth-999-s"));
  rig.clock.advance(29_000);
  await rig.engine.reconcile();
  assert(rig.host.links.has("veth-999-s"));
  rig.clock.advance(2_000);
  await rig.engine.reconcile();
  assert(!rig.host.links.has("veth-999-s"));
});

const BY_HAND: { name: string; change: (rig: EngineRig) => void }[] = [
  { name: "bridge deleted", change: (rig) => rig.host.deleteByHand("zl-2b113f2ca5-b") },
  { name: "bridge down", change: (rig) => rig.host.links.get("zl-2b113f2ca5-b")!.up = false },
  {
    name: "bridge address changed",
    change: (rig) => rig.host.links.get("zl-2b113f2ca5-b")!.addresses = [parsePrefix("192.0.2.1/24")!],
  },
  { name: "device deleted", change: (rig) => rig.host.deleteByHand("zl-prod-42-g") },
  { name: "container link deleted", change: (rig) => rig.host.deleteByHand("veth-100-s") },
  { name: "routed container link deleted", change: (rig) => rig.host.deleteByHand("veth-100-g") },
  { name: "a container's route deleted", change: (rig) => rig.host.links.get("veth-100-g")!.routes = [] },
  { name: "a peer's route deleted", change: (rig) => rig.host.links.get("zl-prod-42-g")!.routes = [] },
  {
    name: "a stray route of ours added",
    change: (rig) => rig.host.links.get("zl-prod-42-g")!.routes.push(parsePrefix("198.18.0.0/15")!),
  },
  { name: "port taken off its bridge", change: (rig) => delete rig.host.links.get("veth-101-s")!.master },
];

for (const { name, change } of BY_HAND) {
  Deno.test(`${name} by hand: put back, the rest untouched`, async () => {
    await using rig = await fullRig();
    const before = picture(rig);
    change(rig);
    await settle(rig);
    assertEquals(picture(rig), before);
    assert(rig.host.processes.get(100)!.links.has("eth0"));
    assert(rig.log.records.some((record) => record.message === "repairing"));
  });
}

Deno.test("routes of peers follow the services of this node: a bridge's subnet takes a host of it away, and gives it back", async () => {
  await using rig = await fullRig();
  const routes = (): string[] => rig.host.links.get("zl-prod-42-g")!.routes.map(formatPrefix);
  await rig.engine.addPeer({
    publicKey: freshPublicKey(),
    endpoint: "198.51.100.8:51420",
    allowedIps: "10.200.209.180/32",
    persistentKeepaliveSecs: 0,
  }, { scope: "global" });
  assertEquals(routes(), ["192.168.7.0/24"]);
  // api on node 1 is 10.200.209.176/28.
  await rig.engine.setupServiceOverlay("api", "shared");
  await settle(rig);
  assertEquals(routes(), ["192.168.7.0/24", "10.200.209.180/32"]);
  await rig.engine.teardownServiceOverlay("api");
  await settle(rig);
  assertEquals(routes(), ["192.168.7.0/24"]);
});

Deno.test("a change of a link sets a repair off by itself, within 2 s", async () => {
  await using rig = await fullRig();
  rig.host.deleteByHand("zl-2b113f2ca5-b");
  rig.clock.advance(1_999);
  // The pass runs on promises alone from here on; joining it is enough.
  await rig.engine.reconcile();
  assert(rig.host.links.get("zl-2b113f2ca5-b")?.up);
});

Deno.test("what cannot be repaired is told by status and tried again", async () => {
  await using rig = await fullRig();
  rig.host.deleteByHand("zl-prod-42-g");
  rig.host.wireguard = false;
  await settle(rig);
  const { detail } = await rig.engine.status(true);
  assertEquals(detail!.global!.state, "degraded");
  assert(detail!.global!.problem!.includes("has no WireGuard"));
  rig.host.wireguard = true;
  rig.clock.advance(31_000);
  await rig.engine.reconcile();
  assertEquals((await rig.engine.status(true)).detail!.global!.state, "ready");
});

Deno.test("a dead container is released by the regular pass", async () => {
  await using rig = await fullRig();
  rig.host.kill(100);
  await settle(rig);
  assertEquals([...rig.store.attachments.keys()], ["pid:101"]);
});

Deno.test("removeAll() leaves nothing in the kernel", async () => {
  await using rig = await fullRig();
  await rig.engine.removeAll();
  assertEquals(rig.host.links.size, 0);
});
