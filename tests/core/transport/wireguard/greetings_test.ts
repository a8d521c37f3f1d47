import { assertEquals } from "@std/assert";
import { Greetings } from "../../../../core/transport/wireguard/greetings.ts";
import { Device } from "../../../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../../../core/wireguard/endpoint.ts";
import { nobleProvider } from "../../../../core/wireguard/noble_provider.ts";
import type { Peer } from "../../../../core/wireguard/peer.ts";

const INTERVAL_MS = 4;

function endpoint(n: number, local?: number): PeerEndpoint {
  const own = local === undefined
    ? undefined
    : { address: Uint8Array.of(10, 0, 0, local), interfaceIndex: 0 };
  return new PeerEndpoint(Uint8Array.of(192, 0, 2, n), 51820, { local: own });
}

function peers(count: number): Peer[] {
  const device = new Device({ crypto: nobleProvider(), random: () => {}, wallClockMs: () => 0 });
  return Array.from({ length: count }, (_, i) => {
    return device.addPeer(Uint8Array.of(i >> 8, i, ...new Uint8Array(30).fill(9)), 0, {
      endpoint: endpoint(i + 1),
    });
  });
}

/** Whom it greets and when, until nobody waits. */
function drain(greetings: Greetings, all: readonly Peer[], from = 0): string[] {
  const log: string[] = [];
  for (let now = from; greetings.deadline < Infinity; now++) {
    const peer = greetings.take(now, () => true);
    if (peer !== undefined) log.push(`${all.indexOf(peer)} at ${now}`);
  }
  return log;
}

Deno.test("Greetings has one peer greeted at a time, the first at once, in order", () => {
  const all = peers(3);
  const greetings = new Greetings(INTERVAL_MS);
  assertEquals([greetings.deadline, greetings.take(0, () => true)], [Infinity, undefined]);
  greetings.start(all);
  assertEquals(drain(greetings, all, 100), ["0 at 100", "1 at 104", "2 at 108"]);
});

Deno.test("Greetings passes over those who need none, without losing time on them", () => {
  const all = peers(1000);
  const greetings = new Greetings(INTERVAL_MS);
  greetings.start(all);
  let asked = 0;
  const taken = greetings.take(0, (peer) => {
    asked++;
    return peer === all[998];
  });
  assertEquals([taken, asked], [all[998], 999]);
  assertEquals(greetings.take(4, () => false), undefined);
  assertEquals(greetings.deadline, Infinity, "nobody is left, and nothing is to be woken for");
});

Deno.test("Greetings has a peer that was heard from greeted next, once, wherever we were reached", () => {
  const all = peers(4);
  const greetings = new Greetings(INTERVAL_MS);
  greetings.hasten(endpoint(3));
  greetings.start(all);
  greetings.take(0, () => true);
  for (let i = 0; i < 1000; i++) greetings.hasten(endpoint(3, 7));
  greetings.hasten(endpoint(99));
  const greeted = new Set<Peer>();
  const order: number[] = [];
  let asked = 0;
  for (let now = 4; greetings.deadline < Infinity; now += 4) {
    const peer = greetings.take(now, (one) => {
      asked++;
      return !greeted.has(one);
    });
    if (peer !== undefined) order.push(all.indexOf(peer));
    if (peer !== undefined) greeted.add(peer);
  }
  assertEquals([order, asked], [[2, 1, 3], 4]);
});
