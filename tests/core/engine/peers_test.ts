import { assert, assertEquals, assertRejects } from "@std/assert";
import { InvalidConfigError, NotFoundError, OverlayError, PreconditionError } from "../../../core/errors.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import type { PeerScope, PeerSpec } from "../../../core/service.ts";
import { encodeKey } from "../../../core/wireguard/keys.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";

const GLOBAL: PeerScope = { scope: "global" };
const A = freshPublicKey();
const B = freshPublicKey();

function peer(changes: Partial<PeerSpec> = {}): PeerSpec {
  return {
    publicKey: A,
    endpoint: "198.51.100.7:51420",
    allowedIps: "10.200.0.5/32",
    persistentKeepaliveSecs: 25,
    ...changes,
  };
}

async function rigWithGlobal(): Promise<EngineRig> {
  const rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.9.0/28" }), rig.context);
  return rig;
}

/** Allowed IPs by peer, as the device has them. */
function onDevice(rig: EngineRig, name = "zl-prod-42-g"): Record<string, string> {
  const peers = rig.host.links.get(name)!.device!.peers.values();
  return Object.fromEntries(
    [...peers].map((p) => [encodeKey(p.publicKey), p.allowedIps.map(formatPrefix).join(",")]),
  );
}

Deno.test("peer calls before any set-up name the device that is missing [overlay T19] [overlay T20] [daemon 34]", async () => {
  await using rig = await EngineRig.start();
  const service: PeerScope = { scope: "service", service: "x" };
  const calls: ((scope: PeerScope) => Promise<void>)[] = [
    (scope) => rig.engine.addPeer(peer(), scope),
    (scope) => rig.engine.removePeer(A, scope),
    (scope) => rig.engine.addAllowedIp(A, "10.0.0.0/8", scope),
    (scope) => rig.engine.removeAllowedIp(A, "10.0.0.0/8", scope),
  ];
  for (const call of calls) {
    const missing = await assertRejects(() => call(service), PreconditionError);
    assertEquals(missing.message, "no dedicated overlay for service x");
    assertEquals(
      (await assertRejects(() => call(GLOBAL), PreconditionError)).message,
      "global overlay not set up",
    );
  }
});

Deno.test("addPeer() takes a comma list as a list [overlay T14]; status tells it in base64 and Unix time [overlay T24]", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer({ allowedIps: "10.200.0.5/32,10.200.1.0/24" }), GLOBAL);
  const device = rig.host.links.get("zl-prod-42-g")!.device!;
  const [key, state] = [...device.peers][0]!;
  device.peers.set(key, { ...state, handshake: 1_700_000_000 });
  rig.clock.advance(1000);
  const status = await rig.engine.status(false);
  assertEquals(status.peerCount, 1);
  const { rxBytes: _rx, txBytes: _tx, ...told } = status.peers[0]!;
  assertEquals(told, {
    publicKey: A,
    endpoint: "198.51.100.7:51420",
    allowedIps: "10.200.0.5/32,10.200.1.0/24",
    lastHandshakeUnixSecs: 1_700_000_000,
    scope: GLOBAL,
  });
});

Deno.test("status() of a device with two peers tells both, allowed IPs joined, no handshake as 0 [overlay T25]", async () => {
  await using rig = await rigWithGlobal();
  const endpoint = "1.2.3.4:51820";
  await rig.engine.addPeer(peer({ endpoint, allowedIps: "10.200.0.2/32,10.200.1.0/24" }), GLOBAL);
  await rig.engine.addPeer(peer({ publicKey: B, endpoint: "1.2.3.5:0", allowedIps: "" }), GLOBAL);
  const device = rig.host.links.get("zl-prod-42-g")!.device!;
  const [key, state] = [...device.peers][0]!;
  device.peers.set(key, { ...state, handshake: 1_700_000_000 });
  rig.clock.advance(1000);
  const { peers, peerCount } = await rig.engine.status(false);
  assertEquals(peerCount, 2);
  assertEquals(peers.map((p) => [p.publicKey, p.endpoint, p.allowedIps, p.lastHandshakeUnixSecs]), [
    [A, endpoint, "10.200.0.2/32,10.200.1.0/24", 1_700_000_000],
    [B, "", "", 0],
  ]);
});

Deno.test("addPeer() twice succeeds and keeps the session [overlay T15]", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer(), GLOBAL);
  const device = rig.host.links.get("zl-prod-42-g")!.device!;
  const [key, state] = [...device.peers][0]!;
  device.peers.set(key, { ...state, handshake: 5 });
  await rig.engine.addPeer(peer(), GLOBAL);
  assertEquals(device.peers.get(key)!.handshake, 5);
  assertEquals(device.peers.size, 1);
});

Deno.test("addAllowedIp() keeps what was there, twice gives one [overlay T16]; taking one keeps the others [overlay T18]", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer(), GLOBAL);
  await rig.engine.addAllowedIp(A, "10.200.1.0/24", GLOBAL);
  await rig.engine.addAllowedIp(A, "10.200.1.0/24", GLOBAL);
  assertEquals(onDevice(rig)[A], "10.200.0.5/32,10.200.1.0/24");
  await rig.engine.removeAllowedIp(A, "10.200.0.5/32", GLOBAL);
  await rig.engine.removeAllowedIp(A, "10.77.0.0/16", GLOBAL);
  assertEquals(onDevice(rig)[A], "10.200.1.0/24");
});

Deno.test("addAllowedIp() on an unknown peer fails, removeAllowedIp() on one succeeds [overlay T17]", async () => {
  await using rig = await rigWithGlobal();
  const error = await assertRejects(() => rig.engine.addAllowedIp(A, "10.0.0.0/8", GLOBAL), NotFoundError);
  assertEquals(error.message, `cannot add allowed_ip 10.0.0.0/8 to unknown peer ${A}`);
  await rig.engine.removeAllowedIp(A, "10.0.0.0/8", GLOBAL);
  await rig.engine.removePeer(A, GLOBAL);
});

Deno.test("an allowed IP given to a second peer moves to it, on the device and in the records", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer({ allowedIps: "10.200.0.5/32,10.200.1.0/24" }), GLOBAL);
  await rig.engine.addPeer(peer({ publicKey: B, allowedIps: "10.200.1.7/24" }), GLOBAL);
  assertEquals(onDevice(rig)[A], "10.200.0.5/32");
  await rig.restart();
  assertEquals(onDevice(rig)[A], "10.200.0.5/32");
});

Deno.test("addPeer() refuses what is not a peer, and records nothing [overlay T22]", async () => {
  await using rig = await rigWithGlobal();
  const rows: { changes: Partial<PeerSpec>; want: string }[] = [
    {
      changes: { endpoint: "1.2.3:51420" },
      want: "invalid peer endpoint 1.2.3:51420: invalid socket address syntax",
    },
    {
      changes: { endpoint: "node_b.example:51420" },
      want: 'invalid peer endpoint node_b.example:51420: host name has "_": use letters, digits, hyphens',
    },
    { changes: { allowedIps: "10.0.0.0/8\nremove=true" }, want: "invalid CIDR" },
    { changes: { allowedIps: "10.0.0.0/99" }, want: "invalid CIDR 10.0.0.0/99: invalid IP address syntax" },
    {
      changes: { publicKey: "AAAAAAAAAAAAAAAAAAAAAA==" },
      want: "Invalid key length: expected 32 bytes, got 16",
    },
    { changes: { persistentKeepaliveSecs: 65536 }, want: "65536" },
  ];
  for (const { changes, want } of rows) {
    await assertRejects(() => rig.engine.addPeer(peer(changes), GLOBAL), InvalidConfigError, want);
  }
  assertEquals(rig.store.peers.size, 0);
});

Deno.test("addPeer() with keepalive 0 turns it off [overlay T21]", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer(), GLOBAL);
  await rig.engine.addPeer(peer({ persistentKeepaliveSecs: 0 }), GLOBAL);
  assertEquals([...rig.host.links.get("zl-prod-42-g")!.device!.peers.values()][0]!.keepaliveSeconds, 0);
});

Deno.test("addPeer() puts the record back when the device refuses", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer(), GLOBAL);
  rig.host.onEffect = (): never => {
    throw new OverlayError("internal", "planted");
  };
  await assertRejects(
    () => rig.engine.addPeer(peer({ allowedIps: "10.1.0.0/16" }), GLOBAL),
    OverlayError,
    "planted",
  );
  await assertRejects(() => rig.engine.addPeer(peer({ publicKey: B }), GLOBAL), OverlayError, "planted");
  rig.host.onEffect = (): void => {};
  await rig.restart();
  assertEquals(onDevice(rig), { [A]: "10.200.0.5/32" });
});

Deno.test("stored peers are on the device again after teardown and set-up, and after a restart (W21)", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.addPeer(peer(), GLOBAL);
  await rig.engine.teardownGlobalOverlay(rig.context);
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  assertEquals(onDevice(rig), { [A]: "10.200.0.5/32" });
  rig.host.reboot();
  await rig.restart();
  assertEquals(onDevice(rig), { [A]: "10.200.0.5/32" });
});

Deno.test("routes follow allowed IPs: outside the device's network only, never a default route", async () => {
  await using rig = await rigWithGlobal();
  const routes = (): string[] => rig.host.links.get("zl-prod-42-g")!.routes.map(formatPrefix);
  await rig.engine.addPeer(peer({ allowedIps: "10.200.0.5/32,192.168.7.0/24,0.0.0.0/0" }), GLOBAL);
  assertEquals(routes(), ["192.168.7.0/24"]);
  await rig.engine.removeAllowedIp(A, "192.168.7.0/24", GLOBAL);
  assertEquals(routes(), []);
  await rig.engine.setupServiceOverlay("db", "dedicated");
  const db: PeerScope = { scope: "service", service: "db" };
  await rig.engine.addPeer(peer({ allowedIps: "10.200.66.0/28" }), db);
  const device = [...rig.host.links.values()].find((link) => link.device?.listenPort === 51421)!;
  assertEquals(device.routes.map(formatPrefix), ["10.200.66.0/28"]);
  await rig.engine.removePeer(A, db);
  assertEquals(device.routes, []);
});

Deno.test("200 peers added at once are all there", async () => {
  await using rig = await rigWithGlobal();
  const keys = Array.from({ length: 200 }, () => freshPublicKey());
  await Promise.all(
    keys.map((publicKey, i) =>
      rig.engine.addPeer(
        peer({ publicKey, allowedIps: `10.200.${100 + (i >> 4)}.${(i & 15) * 16}/28` }),
        GLOBAL,
      )
    ),
  );
  assertEquals((await rig.engine.status(false)).peerCount, 200);
});

Deno.test("a guest needs the global overlay: the error says so and nothing is recorded [daemon 35]; unknown detach is ok [daemon 36]", async () => {
  await using rig = await EngineRig.start();
  const request = {
    handle: { platform: "guest_managed", id: "vm1" },
    service: "web",
    joinGlobal: false,
  } as const;
  await assertRejects(
    () => rig.engine.attachContainer(request),
    PreconditionError,
    "global overlay to be set up",
  );
  assertEquals([rig.store.guests.size, rig.store.leases.size], [0, 0]);
  await rig.engine.detachContainer({ platform: "guest_managed", id: "vm1" });
});

Deno.test("a guest gets one peer, this node; it is a peer of the device until it is detached (W26)", async () => {
  await using rig = await rigWithGlobal();
  await rig.engine.setupServiceOverlay("web", "shared");
  const request = {
    handle: { platform: "guest_managed", id: "vm1" },
    service: "web",
    joinGlobal: false,
    dnsServer: "10.200.0.1",
    dnsDomain: "overlay.local",
  } as const;
  const config = await rig.engine.attachContainer(request);
  assert(config.kind === "guest_config");
  assertEquals(config.overlayIp, "10.200.74.18");
  assertEquals([config.prefixLen, config.dnsServer, config.dnsDomain], [16, "10.200.0.1", "overlay.local"]);
  const status = await rig.engine.status(false);
  assertEquals(config.peers, [{
    publicKey: status.publicKey!,
    endpoint: "192.0.2.10:51420",
    allowedIps: "10.200.0.0/16",
    persistentKeepaliveSecs: 25,
  }]);
  assertEquals(onDevice(rig), { [config.publicKey]: "10.200.74.18/32" });
  assertEquals(rig.host.links.get("zl-prod-42-g")!.routes.map(formatPrefix), ["10.200.74.18/32"]);
  assertEquals(await rig.engine.attachContainer(request), config);
  await rig.engine.detachContainer({ platform: "guest_managed", id: "vm1" });
  assertEquals(onDevice(rig), {});
  assertEquals(rig.host.links.get("zl-prod-42-g")!.routes, []);
  assertEquals(rig.store.leases.size, 1);
});
