import { assertEquals } from "@std/assert";
import type { PeerNews } from "../../../core/backend/backend.ts";
import type { OverlayEvent } from "../../../core/service.ts";
import { decodeKey } from "../../../core/wireguard/keys.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

const PEER = freshPublicKey();
/** Time between two looks. */
const LOOK_MS = 10_000;

/** A node with one peer, and the events that it tells. */
class HealthRig implements AsyncDisposable {
  readonly events: OverlayEvent[] = [];
  device = "";
  #isLookDue = false;

  private constructor(readonly rig: EngineRig) {
    const after = rig.clock.after.bind(rig.clock);
    rig.clock.after = (delayMs, callback): () => void => {
      if (delayMs !== LOOK_MS) return after(delayMs, callback);
      this.#isLookDue = true;
      return after(delayMs, () => {
        this.#isLookDue = false;
        callback();
      });
    };
  }

  static async start(options: { keepalive?: number; userspace?: boolean } = {}): Promise<HealthRig> {
    const rig = new EngineRig();
    const node = new HealthRig(rig);
    await rig.boot();
    if (options.userspace) rig.host.implementation = "userspace";
    rig.engine.subscribe((event) => node.events.push(event));
    node.device = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
    const spec = { publicKey: PEER, endpoint: "192.0.2.7:51420", allowedIps: "10.200.0.9/32" };
    await rig.engine.addPeer({ ...spec, persistentKeepaliveSecs: options.keepalive ?? 25 }, {
      scope: "global",
    });
    return node;
  }

  /** What the device has of the peer. */
  set({ agoSeconds, tx }: { agoSeconds?: number; tx?: number }): void {
    const peers = this.rig.host.links.get(this.device)!.device!.peers;
    const [key, peer] = [...peers][0]!;
    peers.set(key, {
      ...peer,
      ...(agoSeconds === undefined ? {} : { handshake: this.rig.clock.wallSeconds() - agoSeconds }),
      ...(tx === undefined ? {} : { tx }),
    });
  }

  /** Lets the next look take place. */
  async look(): Promise<void> {
    this.rig.clock.advance(LOOK_MS);
    await this.looked();
  }

  /** Waits until a look is over: then the next one is due. */
  async looked(): Promise<void> {
    await waitFor("the look is over", () => this.#isLookDue);
  }

  /** The device tells something. */
  tell(news: Partial<PeerNews>): void {
    const { handshake: lastHandshakeUnixSecs } = [
      ...this.rig.host.links.get(this.device)!.device!.peers.values(),
    ][0]!;
    this.rig.host.tellNews(this.device, [{ publicKey: decodeKey(PEER), lastHandshakeUnixSecs, ...news }]);
  }

  /** The events so far, which are forgotten. */
  take(): boolean[] {
    return this.events.splice(0).map((event) => {
      assertEquals(event.pubkey, PEER);
      return event.event === "peer_health_changed" && event.healthy;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]();
  }
}

Deno.test("peer_health_changed is told when a peer is first seen and on each change [overlay T45]", async () => {
  await using node = await HealthRig.start();
  await node.look();
  assertEquals(node.take(), [false]);
  node.set({ agoSeconds: 60 });
  await node.look();
  assertEquals(node.take(), [true]);
  await node.look();
  assertEquals(node.take(), []);
  node.set({ agoSeconds: 300 });
  await node.look();
  assertEquals(node.take(), [false]);
});

Deno.test("a device that tells of handshakes has them told at once", async () => {
  await using node = await HealthRig.start({ userspace: true });
  await node.look();
  assertEquals(node.take(), [false]);
  node.set({ agoSeconds: 0 });
  node.tell({ handshake: "completed" });
  assertEquals(node.take(), [true]);
  node.tell({ handshake: "completed" });
  assertEquals(node.take(), []);
});

Deno.test("a peer that does not answer for 90 s is unhealthy, however old its last handshake, until the next one", async () => {
  await using node = await HealthRig.start({ userspace: true });
  node.set({ agoSeconds: 10 });
  await node.look();
  node.take();
  node.tell({ handshake: "failed" });
  assertEquals(node.take(), [false]);
  await node.look();
  assertEquals(node.take(), [], "the look sees a young handshake and knows better");
  node.set({ agoSeconds: 0 });
  await node.look();
  assertEquals(node.take(), [true]);
});

Deno.test("a peer without keepalive that nobody sends to stays healthy; one that is sent to in vain does not", async () => {
  await using node = await HealthRig.start({ keepalive: 0 });
  node.set({ agoSeconds: 165, tx: 1000 });
  await node.look();
  assertEquals(node.take(), [true]);
  for (let i = 0; i < 20; i++) await node.look();
  assertEquals(node.take(), [], "nothing was to be expected of it");
  node.set({ tx: 1148 });
  await node.look();
  await node.look();
  assertEquals(node.take(), [false]);
  node.set({ agoSeconds: 0 });
  await node.look();
  assertEquals(node.take(), [true]);
});

Deno.test("a guest is told to keep the session alive, so one that falls silent is unhealthy", async () => {
  await using rig = await EngineRig.start();
  const name = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const handle = { platform: "guest_managed", id: "vm1" } as const;
  await rig.engine.attachContainer({ handle, service: "web", joinGlobal: false });
  const events: OverlayEvent[] = [];
  rig.engine.subscribe((event) => events.push(event));
  const { peers } = rig.host.links.get(name)!.device!;
  const [key, guest] = [...peers][0]!;
  peers.set(key, { ...guest, handshake: rig.clock.wallSeconds() - 165 });
  for (const healthy of [true, false]) {
    rig.clock.advance(10_000);
    const event = await waitFor("the event", () => events.shift());
    assertEquals(event.event === "peer_health_changed" && event.healthy, healthy);
  }
});

Deno.test("news of a peer that is on no record are nobody's", async () => {
  await using node = await HealthRig.start({ userspace: true });
  const stranger = decodeKey(freshPublicKey());
  node.tell({ publicKey: stranger, handshake: "completed", lastHandshakeUnixSecs: 1 });
  node.rig.host.tellNews("zl-other", [{ publicKey: decodeKey(PEER), lastHandshakeUnixSecs: 1 }]);
  assertEquals(node.take(), []);
  await node.rig.engine.removePeer(PEER, { scope: "global" });
  node.rig.host.tellNews(node.device, [{
    publicKey: decodeKey(PEER),
    handshake: "completed",
    lastHandshakeUnixSecs: node.rig.clock.wallSeconds(),
  }]);
  assertEquals(node.take(), []);
});

Deno.test("a look that read before the news came does not take them back", async () => {
  await using node = await HealthRig.start({ userspace: true });
  await node.look();
  node.take();
  node.rig.clock.advance(LOOK_MS);
  // The read is under way; what it will give was so before.
  await Promise.resolve();
  node.tell({ handshake: "completed", lastHandshakeUnixSecs: node.rig.clock.wallSeconds() });
  await node.looked();
  assertEquals(node.take(), [true]);
});
