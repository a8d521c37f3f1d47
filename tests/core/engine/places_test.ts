/** Where peers are: at addresses, at hosts by name, and where they were heard from. */
import { assert, assertEquals } from "@std/assert";
import type { DeviceChange, NetworkBackend, PeerNews } from "../../../core/backend/backend.ts";
import { formatPeerEndpoint, parsePeerEndpoint } from "../../../core/network/peer_spec.ts";
import type { PeerSpec } from "../../../core/service.ts";
import { decodeKey, encodeKey } from "../../../core/wireguard/keys.ts";
import { EngineRig, freshPublicKey, globalRequest, type Wrappers } from "../../support/engine_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

const GLOBAL = { scope: "global" } as const;
const PEER = freshPublicKey();
const SAID = "198.51.100.7:51420";
const ROAMED = "203.0.113.9:40001";

/** A node with a device, in user space unless said otherwise. */
class PlacesRig extends EngineRig {
  device = "";

  static override async start(
    options: { nodeId?: bigint | undefined; kernel?: boolean; wrap?: Wrappers } = {},
  ): Promise<PlacesRig> {
    const rig = new PlacesRig();
    rig.host.implementation = options.kernel ? "kernel" : "userspace";
    await rig.boot(options.wrap);
    rig.device = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
    return rig;
  }

  async add(endpoint: string, changes: Partial<PeerSpec> = {}): Promise<void> {
    const spec = { publicKey: PEER, endpoint, allowedIps: "10.200.0.9/32", persistentKeepaliveSecs: 25 };
    await this.engine.addPeer({ ...spec, ...changes }, GLOBAL);
  }

  /** Where the device looks for a peer. */
  at(key = PEER): string {
    const peers = this.host.links.get(this.device)!.device!.peers.values();
    const { endpoint } = [...peers].find((peer) => encodeKey(peer.publicKey) === key)!;
    return endpoint ? formatPeerEndpoint(endpoint) : "";
  }

  async isAt(endpoint: string, key = PEER): Promise<void> {
    await waitFor(`${endpoint} instead of ${this.at(key)}`, () => this.at(key) === endpoint);
  }

  /** A peer speaks, and its device follows it. */
  hears(endpoint: string, options: { key?: string; agoSeconds?: number; isTold?: boolean } = {}): void {
    const { key = PEER, agoSeconds = 0, isTold = true } = options;
    const lastHandshakeUnixSecs = this.clock.wallSeconds() - agoSeconds;
    const { peers } = this.host.links.get(this.device)!.device!;
    const [id, peer] = [...peers].find(([_, { publicKey }]) => encodeKey(publicKey) === key)!;
    const place = parsePeerEndpoint(endpoint)!;
    peers.set(id, { ...peer, handshake: lastHandshakeUnixSecs, endpoint: place });
    if (isTold) this.tell({ handshake: "completed", lastHandshakeUnixSecs, endpoint: place }, key);
  }

  /** The device has tried in vain for 90 s. */
  fails(): void {
    const [peer] = [...this.host.links.get(this.device)!.device!.peers.values()];
    const { endpoint, handshake: lastHandshakeUnixSecs } = peer!;
    this.tell({ handshake: "failed", lastHandshakeUnixSecs, ...(endpoint ? { endpoint } : {}) });
  }

  tell(news: Omit<PeerNews, "publicKey">, key = PEER): void {
    this.host.tellNews(this.device, [{ publicKey: decodeKey(key), ...news }]);
  }

  /** The host boots, with the time that takes, and the daemon starts. */
  async reboot(): Promise<void> {
    this.host.reboot();
    await this.engine.stop();
    this.store.close();
    this.clock.setWallSeconds(this.clock.wallSeconds() + this.clock.boottimeMs() / 1000 + 60);
    await this.boot();
  }

  /** The daemon starts on a device that knows nothing, as one in user space does. */
  async restartWithFreshDevice(): Promise<void> {
    await this.engine.stop();
    this.store.close();
    this.host.links.delete(this.device);
    await this.boot();
  }
}

Deno.test("a peer is looked for where it was heard from after a restart, and status shows it there", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  rig.hears(ROAMED);
  assertEquals((await rig.engine.status(false)).peers[0]!.endpoint, ROAMED);
  await rig.restartWithFreshDevice();
  assertEquals(rig.at(), ROAMED);
  assertEquals([...rig.store.peers.values()].map(({ endpoint }) => endpoint), [SAID], "the caller's word");
});

Deno.test("a guest is looked for where it was heard from after a restart, until it is detached", async () => {
  await using rig = await PlacesRig.start();
  const handle = { platform: "guest_managed", id: "vm1" } as const;
  const config = await rig.engine.attachContainer({ handle, service: "web", joinGlobal: false });
  assert(config.kind === "guest_config");
  rig.hears(ROAMED, { key: config.publicKey });
  await rig.restartWithFreshDevice();
  assertEquals(rig.at(config.publicKey), ROAMED);
  await rig.engine.detachContainer(handle);
  assertEquals(rig.store.heard.size, 0);
});

Deno.test("a peer that is where its caller said needs no record of it; one that moves back loses the one it had", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  rig.hears(SAID);
  rig.clock.advance(1_000);
  assertEquals(rig.store.heard.size, 0);
  rig.hears(ROAMED);
  rig.clock.advance(1_000);
  assertEquals([...rig.store.heard.values()].map(({ endpoint }) => endpoint), [ROAMED]);
  rig.hears(SAID);
  rig.clock.advance(1_000);
  assertEquals(rig.store.heard.size, 0);
});

Deno.test("a peer that moves all the time is written once a second", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  let writes = 0;
  const record = rig.store.record.bind(rig.store);
  rig.store.record = (label, change): void => {
    writes++;
    record(label, change);
  };
  for (let i = 0; i < 1_000; i++) rig.hears(`203.0.113.9:${40_000 + i}`);
  rig.clock.advance(999);
  assertEquals(writes, 0);
  rig.clock.advance(1);
  assertEquals(writes, 1);
  assertEquals([...rig.store.heard.values()].map(({ endpoint }) => endpoint), ["203.0.113.9:40999"]);
});

Deno.test("after a reboot the caller's word counts again, and what was heard where it said nothing", async () => {
  await using rig = await PlacesRig.start();
  const silent = freshPublicKey();
  await rig.add(SAID);
  await rig.add("0.0.0.0:0", { publicKey: silent, allowedIps: "10.200.0.8/32" });
  rig.hears(ROAMED);
  rig.hears("203.0.113.8:8", { key: silent });
  await rig.reboot();
  assertEquals([rig.at(), rig.at(silent)], [SAID, "203.0.113.8:8"]);
});

Deno.test("the endpoint of a link-local peer is not kept: it means nothing without its link", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  rig.hears("[fe80::9]:7");
  rig.clock.advance(1_000);
  assertEquals(rig.store.heard.size, 0);
});

Deno.test("allowed IPs of a peer that has moved are changed without moving it back", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  rig.hears(ROAMED);
  await rig.engine.addAllowedIp(PEER, "10.201.0.0/24", GLOBAL);
  assertEquals(rig.at(), ROAMED);
  await rig.engine.removeAllowedIp(PEER, "10.201.0.0/24", GLOBAL);
  assertEquals(rig.at(), ROAMED);
});

Deno.test("add_peer repeated leaves a healthy peer where it is; another endpoint moves it; so does the same when it is dead", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  rig.hears(ROAMED);
  rig.clock.advance(1_000);
  await rig.add(SAID);
  assertEquals(rig.at(), ROAMED);
  await rig.add("0.0.0.0:0");
  assertEquals([rig.at(), rig.store.heard.size], [ROAMED, 1], "its caller knows nothing better");
  await rig.add("198.51.100.8:1");
  assertEquals([rig.at(), rig.store.heard.size], ["198.51.100.8:1", 0]);
  rig.hears(ROAMED);
  rig.tell({ handshake: "failed", lastHandshakeUnixSecs: rig.clock.wallSeconds() });
  await rig.add("198.51.100.8:1");
  assertEquals(rig.at(), "198.51.100.8:1");
});

Deno.test("a peer that does not answer where it was heard from is looked for where its caller said", async () => {
  await using rig = await PlacesRig.start();
  await rig.add(SAID);
  rig.hears(ROAMED);
  rig.clock.advance(1_000);
  rig.fails();
  await rig.isAt(SAID);
  assertEquals(rig.store.heard.size, 0);
});

Deno.test("a device of the kernel is looked at: moves are kept, and a silent peer is looked for as well", async () => {
  await using rig = await PlacesRig.start({ kernel: true });
  await rig.add(SAID);
  rig.hears(ROAMED, { isTold: false });
  rig.clock.advance(10_000);
  await waitFor("the look", () => rig.clock.advance(1_000) ?? rig.store.heard.size === 1);
  rig.hears(ROAMED, { agoSeconds: 200, isTold: false });
  rig.clock.advance(10_000);
  await rig.isAt(SAID);
});

Deno.test("a peer at a host by name is added at once, and goes to its address when that is known [overlay T13]", async () => {
  await using rig = await PlacesRig.start();
  rig.resolver.hosts.set("peer.example", ["192.0.2.77", "2001:db8::77"]);
  const letGo = rig.resolver.hold();
  await rig.add("peer.example:51820");
  assertEquals(rig.at(), "");
  letGo();
  await rig.isAt("192.0.2.77:51820");
  const [peer] = (await rig.engine.status(false)).peers;
  assertEquals(peer!.endpoint, "192.0.2.77:51820");
});

Deno.test("a name that does not resolve is tried again, after 5 s and then ever later", async () => {
  await using rig = await PlacesRig.start();
  await rig.add("peer.example:51820");
  const { asked } = rig.resolver;
  for (const delay of [5_000, 10_000, 20_000]) {
    const before = asked.length;
    await waitFor("the failure", () => rig.log.records.filter(isFailure).length === before);
    rig.clock.advance(delay - 1);
    assertEquals(asked.length, before);
    rig.clock.advance(1);
    await waitFor("another attempt", () => asked.length === before + 1);
  }
  rig.resolver.hosts.set("peer.example", ["192.0.2.77"]);
  await waitFor("the failure", () => rig.log.records.filter(isFailure).length === 4);
  rig.clock.advance(40_000);
  await rig.isAt("192.0.2.77:51820");
  assertEquals(rig.log.records.filter(isFailure).map(({ level }) => level), [
    "warn",
    "debug",
    "debug",
    "debug",
  ]);
});

function isFailure({ message }: { message: string }): boolean {
  return /name of a peer's host is (still )?not resolved/.test(message);
}

Deno.test("a peer behind a dynamic name comes back: its name is looked up again when it does not answer", async () => {
  await using rig = await PlacesRig.start();
  rig.resolver.hosts.set("peer.example", ["192.0.2.77"]);
  await rig.add("peer.example:51820");
  await rig.isAt("192.0.2.77:51820");
  rig.hears("192.0.2.77:51820");
  rig.resolver.hosts.set("peer.example", ["192.0.2.78"]);
  rig.clock.advance(30_000);
  rig.fails();
  await rig.isAt("192.0.2.78:51820");
  rig.fails();
  rig.fails();
  assertEquals(rig.resolver.asked.length, 2, "not again within a minute");
  rig.clock.advance(60_000);
  rig.fails();
  await waitFor("another look-up", () => rig.resolver.asked.length === 3);
});

Deno.test("of several addresses the next is tried when one does not answer, and a healthy one is kept", async () => {
  await using rig = await PlacesRig.start();
  rig.resolver.hosts.set("peer.example", ["2001:db8::77", "192.0.2.77"]);
  await rig.add("peer.example:51820");
  await rig.isAt("[2001:db8::77]:51820");
  rig.clock.advance(30_000);
  rig.fails();
  await rig.isAt("192.0.2.77:51820");
  rig.hears("192.0.2.77:51820");
  await rig.restart();
  await waitFor("the look-up at the start", () => rig.resolver.asked.length === 3);
  await rig.engine.removeAllowedIp(PEER, "10.1.0.0/16", GLOBAL);
  assertEquals(rig.at(), "192.0.2.77:51820");
});

Deno.test("a name is not looked up for a peer that has moved and answers", async () => {
  await using rig = await PlacesRig.start();
  rig.resolver.hosts.set("peer.example", ["192.0.2.77"]);
  await rig.add("peer.example:51820");
  await rig.isAt("192.0.2.77:51820");
  rig.hears(ROAMED);
  await rig.add("peer.example:51820");
  assertEquals([rig.at(), rig.resolver.asked.length], [ROAMED, 1]);
  await rig.restartWithFreshDevice();
  assertEquals(rig.at(), ROAMED, "found without waiting for a name server");
});

Deno.test("what is learnt about a name that is no longer asked for is dropped", async () => {
  await using rig = await PlacesRig.start();
  rig.resolver.hosts.set("old.example", ["192.0.2.1"]);
  rig.resolver.hosts.set("new.example", ["192.0.2.2"]);
  const letGo = rig.resolver.hold();
  await rig.add("old.example:1");
  await rig.add("new.example:1");
  letGo();
  await rig.isAt("192.0.2.2:1");
  assert(!rig.log.records.some(({ fields }) => fields?.["endpoint"] === "192.0.2.1:1"));
  const hold = rig.resolver.hold();
  await rig.add("old.example:1");
  await rig.engine.removePeer(PEER, GLOBAL);
  hold();
  await rig.engine.status(false);
  assertEquals(rig.host.links.get(rig.device)!.device!.peers.size, 0);
});

Deno.test("a thousand names: four at a time, each once, and few changes of the device", async () => {
  const changes: DeviceChange[] = [];
  const counting = (backend: NetworkBackend): NetworkBackend => {
    const change = backend.changeDevice.bind(backend);
    backend.changeDevice = (name, wanted) => {
      changes.push(wanted);
      return change(name, wanted);
    };
    return backend;
  };
  await using rig = await PlacesRig.start({ wrap: { backend: counting } });
  const letGo = rig.resolver.hold();
  for (let i = 0; i < 1_000; i++) {
    rig.resolver.hosts.set(`peer${i >> 1}.example`, [`192.0.2.${i >> 3}`]);
    await rig.add(`peer${i >> 1}.example:${i + 1}`, {
      publicKey: encodeKey(
        Uint8Array.from({ length: 32 }, (_, j) => j === 0 ? i & 0xff : j === 1 ? i >> 8 : 9),
      ),
      allowedIps: "",
    });
  }
  changes.length = 0;
  letGo();
  const peers = rig.host.links.get(rig.device)!.device!.peers;
  await waitFor("all are found", () => [...peers.values()].every(({ endpoint }) => endpoint !== undefined));
  assertEquals([rig.resolver.asked.length, rig.resolver.mostAtOnce], [500, 4]);
  assertEquals(changes.flatMap(({ set }) => set).length, 1_000);
});

Deno.test("status tells of each device what it is and what it drops, the most frequent first", async () => {
  await using rig = await PlacesRig.start();
  rig.host.links.get(rig.device)!.device!.drops = { replayed: 2, noRoute: 7 };
  const { detail } = await rig.engine.status(true);
  assertEquals(detail!.devices, [{
    interface: rig.device,
    scope: GLOBAL,
    kind: "userspace",
    crypto: "fake",
    drops: [{ reason: "noRoute", count: 7 }, { reason: "replayed", count: 2 }],
  }]);
});
