import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import {
  AlreadyExistsError,
  InvalidConfigError,
  OverlayError,
  UnsupportedError,
} from "../../../core/errors.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import { makeInterfaceName } from "../../../core/network/interface_name.ts";
import { encodeKey } from "../../../core/wireguard/keys.ts";
import { EngineRig, freshKeyPair, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";

Deno.test("status() of a fresh engine has nothing but the default cluster and zero counts [ipc 9] [daemon 32] [overlay T23]", async () => {
  await using rig = await EngineRig.start({ nodeId: undefined });
  assertEquals(await rig.engine.status(false), {
    overlayCidr: "10.200.0.0/16",
    peerCount: 0,
    serviceCount: 0,
    peers: [],
    dedicatedServices: [],
  });
});

Deno.test("setLocalNodeId() and setLocalWgPubkey() take what callers send [daemon 33]", async () => {
  await using rig = await EngineRig.start({ nodeId: undefined });
  await rig.engine.setLocalNodeId(7n);
  await rig.engine.setLocalWgPubkey("k");
  await rig.engine.setLocalNodeId(18446744073709551615n);
  assertEquals(rig.store.settings.nodeId, "18446744073709551615");
});

Deno.test("setupGlobalOverlay() makes the device with address, port and MTU [overlay T6]", async () => {
  await using rig = await EngineRig.start();
  const name = await rig.engine.setupGlobalOverlay(
    globalRequest({ sliceCidr: "10.200.0.0/28" }),
    rig.context,
  );
  assertEquals(name, "zl-prod-42-g");
  const link = rig.host.links.get(name)!;
  assert(link.up);
  assertEquals(link.mtuBytes, 1420);
  assertEquals(link.addresses.map(formatPrefix), ["10.200.0.1/16"]);
  assertEquals(link.device!.listenPort, 51420);
  const status = await rig.engine.status(false);
  assertEquals(status.interface, name);
  assertEquals(status.nodeIp, "10.200.0.1");
  assertEquals(status.sliceCidr, "10.200.0.0/28");
});

Deno.test("setupGlobalOverlay() uses the cluster's prefix length, not 16 (W11)", async () => {
  await using rig = await EngineRig.start();
  const request = globalRequest({ clusterCidr: "fd00:200::/48" });
  const name = await rig.engine.setupGlobalOverlay(request, rig.context);
  assertEquals(rig.host.links.get(name)!.addresses.map(formatPrefix), ["fd00:200::1/48"]);
});

Deno.test("setupGlobalOverlay() twice: same name and key, settings follow [overlay T9]", async () => {
  await using rig = await EngineRig.start();
  const name = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const key = (await rig.engine.status(false)).publicKey;
  const again = globalRequest({ deployment: "other", instanceId: "43", wgPort: 9999 });
  assertEquals(await rig.engine.setupGlobalOverlay(again, rig.context), name);
  assertEquals((await rig.engine.status(false)).publicKey, key);
  assertEquals(rig.host.links.get(name)!.device!.listenPort, 51420);
  const bridge = (await rig.engine.setupServiceOverlay("api", "shared")).name;
  assertEquals(bridge, makeInterfaceName(["other", "43", "api"], "b"));
});

Deno.test("setupGlobalOverlay() again with the slice keeps the node's address and live leases [overlay T35]", async () => {
  await using rig = await EngineRig.start();
  const request = globalRequest({ sliceCidr: "10.200.0.0/28" });
  await rig.engine.setupGlobalOverlay(request, rig.context);
  assertEquals(await rig.engine.allocateIp("none", false), "10.200.0.2");
  await rig.engine.setupGlobalOverlay(request, rig.context);
  assertEquals(await rig.engine.allocateIp("none", false), "10.200.0.3");
  assertEquals((await rig.engine.status(false)).nodeIp, "10.200.0.1");
});

Deno.test("a /28 slice gives the node .1, then .2 to .14, then is exhausted [overlay T28]", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/28" }), rig.context);
  const given: string[] = [];
  for (let i = 0; i < 13; i++) given.push(await rig.engine.allocateIp("none", false));
  assertEquals(given, Array.from({ length: 13 }, (_, i) => `10.200.0.${i + 2}`));
  await assertRejects(() => rig.engine.allocateIp("none", false), OverlayError, "exhausted");
});

Deno.test("teardownGlobalOverlay() takes the device away; set-up then gives the same name, key and address [overlay T10]", async () => {
  await using rig = await EngineRig.start();
  const name = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const before = await rig.engine.status(false);
  await rig.engine.teardownGlobalOverlay(rig.context);
  assert(!rig.host.links.has(name));
  const down = await rig.engine.status(false);
  assertEquals([down.interface, down.publicKey, down.nodeIp], [undefined, undefined, "10.200.0.1"]);
  assertEquals(await rig.engine.setupGlobalOverlay(globalRequest(), rig.context), name);
  assertEquals((await rig.engine.status(false)).publicKey, before.publicKey);
});

Deno.test("teardownGlobalOverlay() with nothing up succeeds [overlay T11]", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.teardownGlobalOverlay(rig.context);
});

Deno.test("teardownGlobalOverlay() waits for the last living caller that asked for the overlay (W7)", async () => {
  await using rig = await EngineRig.start();
  const daemon = { connection: { closed: false } };
  const join = { connection: { closed: false } };
  const name = await rig.engine.setupGlobalOverlay(globalRequest(), daemon);
  await rig.engine.setupGlobalOverlay(globalRequest(), join);
  await rig.engine.teardownGlobalOverlay(join);
  assert(rig.host.links.has(name), "the daemon still uses it");
  await rig.engine.setupGlobalOverlay(globalRequest(), join);
  daemon.connection.closed = true;
  await rig.engine.teardownGlobalOverlay(join);
  assert(!rig.host.links.has(name));
});

Deno.test("setupGlobalOverlay() leaves a foreign link of that name alone [overlay T7]", async () => {
  await using rig = await EngineRig.start();
  const foreign = {
    kind: "other" as const,
    name: "zl-prod-42-g",
    tag: "",
    up: true,
    mtuBytes: 1500,
    addresses: [],
    routes: [],
  };
  rig.host.add(foreign);
  const error = await assertRejects(
    () => rig.engine.setupGlobalOverlay(globalRequest(), rig.context),
    AlreadyExistsError,
  );
  assert(error.message.startsWith("Kernel link 'zl-prod-42-g' already exists"));
  assertEquals(rig.host.links.get("zl-prod-42-g"), foreign);
  assertEquals([rig.store.leases.size, (await rig.engine.status(false)).interface], [0, undefined]);
});

Deno.test("setupGlobalOverlay() without WireGuard says so, keeps no address, and services work", async () => {
  await using rig = await EngineRig.start();
  rig.host.wireguard = false;
  await assertRejects(
    () => rig.engine.setupGlobalOverlay(globalRequest(), rig.context),
    UnsupportedError,
    "has no WireGuard",
  );
  assertEquals(rig.store.leases.size, 0);
  assertEquals((await rig.engine.status(false)).publicKey, undefined);
  assertEquals((await rig.engine.setupServiceOverlay("web", "auto")).name, "zl-2b113f2ca5-b");
});

Deno.test("setupGlobalOverlay() refuses bad input and stores none of it (W5)", async () => {
  await using rig = await EngineRig.start();
  const rows: { changes: Parameters<typeof globalRequest>[0]; want: string }[] = [
    { changes: { clusterCidr: "banana" }, want: "invalid cluster CIDR banana" },
    { changes: { sliceCidr: "10.200.0.0/33" }, want: "invalid slice CIDR 10.200.0.0/33" },
    { changes: { sliceCidr: "10.201.0.0/28" }, want: "invalid slice CIDR" },
    { changes: { sliceCidr: "fd00::/64" }, want: "invalid slice CIDR" },
    { changes: { wgPort: 0 }, want: "wg_port 0" },
    { changes: { deployment: "a/b" }, want: "deployment" },
    { changes: { instanceId: "x".repeat(10_000) }, want: "instance_id" },
    { changes: { deployment: "a\0b" }, want: "deployment" },
  ];
  for (const { changes, want } of rows) {
    await assertRejects(
      () => rig.engine.setupGlobalOverlay(globalRequest(changes), rig.context),
      InvalidConfigError,
      want,
    );
  }
  assertEquals(rig.store.settings.globalSettings, undefined);
});

Deno.test("node_config.json gives the device its key, overlay_bootstrap.json slice and address (W6)", async () => {
  await using rig = await EngineRig.start({ nodeId: 0n });
  const keys = freshKeyPair();
  await Deno.writeTextFile(
    `${rig.dataDir}/node_config.json`,
    JSON.stringify({
      node_id: "n",
      raft_node_id: 42,
      wireguard_private_key: encodeKey(keys.privateKey),
      wireguard_public_key: encodeKey(keys.publicKey),
    }),
  );
  await Deno.writeTextFile(
    `${rig.dataDir}/overlay_bootstrap.json`,
    JSON.stringify({
      config: { cidr: "10.200.0.0/16", node_ip: "10.200.3.5", slice_cidr: "10.200.3.0/28" },
      peers: [],
    }),
  );
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const status = await rig.engine.status(false);
  assertEquals(status.publicKey, encodeKey(keys.publicKey));
  assertEquals(status.nodeIp, "10.200.3.5");
  assertEquals(status.sliceCidr, "10.200.3.0/28");
  const reply = await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals(reply.dedicated!.subnet, "10.200.33.128/28", "the subnet of raft_node_id 42");
});

Deno.test("a key pair that node_config.json gets later is the live device's from the next set-up on (W6)", async () => {
  await using rig = await EngineRig.start();
  const name = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const link = rig.host.links.get(name);
  const peer = freshPublicKey();
  const spec = {
    publicKey: peer,
    endpoint: "198.51.100.7:51420",
    allowedIps: "",
    persistentKeepaliveSecs: 0,
  };
  await rig.engine.addPeer(spec, { scope: "global" });
  const keys = freshKeyPair();
  await Deno.writeTextFile(
    `${rig.dataDir}/node_config.json`,
    JSON.stringify({
      wireguard_private_key: encodeKey(keys.privateKey),
      wireguard_public_key: encodeKey(keys.publicKey),
    }),
  );
  assertEquals(await rig.engine.setupGlobalOverlay(globalRequest(), rig.context), name);
  assertEquals((await rig.engine.status(false)).publicKey, encodeKey(keys.publicKey));
  assert(rig.host.links.get(name) === link, "the device stays");
  assertEquals(link!.device!.privateKey, keys.privateKey);
  assertEquals(link!.device!.peers.size, 1);
  await rig.restart();
  assertEquals(link!.device!.privateKey, keys.privateKey);
});

Deno.test("the longest names that are taken fit into a link's tag", async () => {
  await using rig = await EngineRig.start();
  const scope = "d".repeat(100);
  await rig.engine.setupGlobalOverlay(globalRequest({ deployment: scope, instanceId: scope }), rig.context);
  await rig.engine.setupServiceOverlay("s".repeat(113), "dedicated");
  // IFALIASZ of linux/if_link.h, the NUL included.
  for (const { tag } of rig.host.links.values()) assert(new TextEncoder().encode(tag).length < 256, tag);
  await assertRejects(
    () => rig.engine.setupServiceOverlay("s".repeat(114), "shared"),
    InvalidConfigError,
    "114 bytes",
  );
});

Deno.test("no log record holds a key, whatever is done and whatever fails", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  const guest = { platform: "guest_managed", id: "vm1" } as const;
  await rig.engine.attachContainer({ handle: guest, service: "web", joinGlobal: false });
  const { globalDevice } = rig.store.settings;
  const secrets = [
    globalDevice!.privateKey,
    rig.store.services.get("web")!.dedicated!.privateKey,
    rig.store.guests.get("vm1")!.privateKey,
  ];
  rig.host.onEffect = (): never => {
    throw new OverlayError("internal", "planted");
  };
  await rig.engine.detachContainer(guest).catch(() => {});
  await rig.engine.teardownServiceOverlay("web").catch(() => {});
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context).catch(() => {});
  await rig.engine.reconcile();
  rig.host.onEffect = (): void => {};
  const shown = rig.log.records.map((record) => Deno.inspect(record, { depth: 20, strAbbreviateSize: 1e6 }))
    .join();
  for (const secret of secrets) assert(!shown.includes(secret));
});

Deno.test("the node's own key pair survives restarts, and no status shows the private one", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const { publicKey } = await rig.engine.status(false);
  await rig.restart();
  const status = await rig.engine.status(true);
  assertEquals(status.publicKey, publicKey);
  assertEquals(JSON.stringify(status).includes(rig.store.settings.key!.privateKey), false);
  assertNotEquals(rig.store.settings.key!.privateKey, publicKey);
});

Deno.test("shutdown() takes the global device down and nothing else", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const service = await rig.engine.setupServiceOverlay("web", "shared");
  await rig.engine.shutdown(rig.context);
  assertEquals([...rig.host.links.keys()], [service.name]);
});

Deno.test("natTick() is fine with NAT disabled and honest with NAT enabled", async () => {
  await using rig = await EngineRig.start();
  await assertRejects(() => rig.engine.natTick(), UnsupportedError, "NAT traversal");
  await rig.engine.setupGlobalOverlay(globalRequest({ natEnabled: false }), rig.context);
  await rig.engine.natTick();
});
