import { assertEquals } from "@std/assert";
import type { OverlayEvent } from "../../core/service.ts";
import { EventQueue } from "../../ipc/event_queue.ts";

function health(pubkey: string, healthy: boolean): OverlayEvent {
  return { event: "peer_health_changed", pubkey, healthy };
}

function drain(queue: EventQueue): OverlayEvent[] {
  const events: OverlayEvent[] = [];
  for (let event = queue.shift(); event; event = queue.shift()) events.push(event);
  return events;
}

Deno.test("EventQueue gives events in order", () => {
  const queue = new EventQueue(10);
  const events = [health("a", true), health("b", false)];
  events.forEach((event) => queue.push(event));
  assertEquals(drain(queue), events);
  assertEquals(queue.shift(), undefined);
});

Deno.test("EventQueue keeps the newest event of a kind per peer, at the end", () => {
  const queue = new EventQueue(10);
  const moved: OverlayEvent = { event: "nat_endpoint_changed", pubkey: "a", endpoint: "e" };
  for (const event of [health("a", true), moved, health("b", true), health("a", false)]) queue.push(event);
  assertEquals(drain(queue), [moved, health("b", true), health("a", false)]);
  assertEquals(queue.dropped, 0);
});

Deno.test("EventQueue drops the oldest when full", () => {
  const queue = new EventQueue(3);
  for (const name of ["a", "b", "c", "d", "e"]) queue.push(health(name, true));
  assertEquals(drain(queue), [health("c", true), health("d", true), health("e", true)]);
  assertEquals(queue.dropped, 2);
});

Deno.test("EventQueue that is full replaces without dropping", () => {
  const queue = new EventQueue(2);
  for (const event of [health("a", true), health("b", true), health("a", false)]) queue.push(event);
  assertEquals(drain(queue), [health("b", true), health("a", false)]);
  assertEquals(queue.dropped, 0);
});
