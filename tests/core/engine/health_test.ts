import { assertEquals } from "@std/assert";
import type { OverlayEvent } from "../../../core/service.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

Deno.test("peer_health_changed is told when a peer is first seen and on each change [overlay T45]", async () => {
  await using rig = await EngineRig.start();
  const name = await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  const pubkey = freshPublicKey();
  const spec = { publicKey: pubkey, endpoint: "192.0.2.7:51420", allowedIps: "10.200.0.9/32" };
  await rig.engine.addPeer({ ...spec, persistentKeepaliveSecs: 25 }, { scope: "global" });
  const events: OverlayEvent[] = [];
  const unsubscribe = rig.engine.subscribe((event) => events.push(event));
  const handshake = (agoSeconds: number): void => {
    const peers = rig.host.links.get(name)!.device!.peers;
    const [key, peer] = [...peers][0]!;
    peers.set(key, { ...peer, handshake: rig.clock.wallSeconds() - agoSeconds });
  };
  const told = (healthy: boolean): OverlayEvent => ({ event: "peer_health_changed", pubkey, healthy });

  rig.clock.advance(10_000);
  await waitFor("the event", () => events.length === 1);
  handshake(60);
  rig.clock.advance(10_000);
  await waitFor("the event", () => events.length === 2);
  rig.clock.advance(10_000);
  handshake(300);
  rig.clock.advance(10_000);
  await waitFor("the event", () => events.length === 3);
  assertEquals(events, [told(false), told(true), told(false)]);
  unsubscribe();
});
