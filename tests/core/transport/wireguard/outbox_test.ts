import { assertEquals } from "@std/assert";
import { Arena, OUTBOX } from "../../../../core/transport/wireguard/arena.ts";
import { Outbox } from "../../../../core/transport/wireguard/outbox.ts";
import type { DatagramPort } from "../../../../core/transport/wireguard/plane_system.ts";
import { SourceRoutes } from "../../../../core/transport/wireguard/source_routes.ts";
import { endpoint } from "../../../support/sim_wireguard.ts";

/** An outbox whose socket takes so many bytes by each call, then all; and the calls. */
function outboxOf(taken: number[]): { readonly outbox: Outbox; readonly calls: number[][] } {
  const calls: number[][] = [];
  const port: DatagramPort = {
    family: 4,
    source: new Uint8Array(8),
    local: new Uint8Array(0),
    interfaceIndex: 0,
    segmentBytes: 0,
    receive: () => -1,
    send(_to, offset, length, segmentBytes): number {
      calls.push([offset - OUTBOX, length, segmentBytes]);
      return Math.min(taken.shift() ?? length, length);
    },
    waitWritable: (ms) => void calls.push([ms]),
  };
  const outbox = new Outbox(new Arena(), new SourceRoutes(undefined));
  outbox.ports = { 4: port, 6: undefined };
  return { outbox, calls };
}

const TO = endpoint("192.0.2.1", 51820);

function push(outbox: Outbox, sizes: readonly number[]): void {
  for (const size of sizes) outbox.push(TO, new Uint8Array(size));
}

Deno.test("Outbox: equal datagrams go out by one call, and the shorter one ends it", () => {
  const { outbox, calls } = outboxOf([]);
  push(outbox, [100, 100, 50, 100]);
  outbox.flush();
  assertEquals(calls, [[0, 250, 100], [0, 100, 100]]);
});

Deno.test("Outbox: what a full socket has taken is not sent again", () => {
  const { outbox, calls } = outboxOf([100, 0, 100]);
  push(outbox, [100, 100, 100]);
  outbox.flush();
  assertEquals(calls, [[0, 300, 100], [10], [100, 200, 100], [10], [100, 200, 100], [10], [200, 100, 100]]);
});

Deno.test("Outbox: a socket that stays full costs its datagrams, and no more time than was said", () => {
  const { outbox, calls } = outboxOf([0, 0, 0, 0, 0]);
  push(outbox, [100, 100]);
  outbox.flush();
  assertEquals(calls.length, 10);
  push(outbox, [80]);
  outbox.flush();
  assertEquals(calls.at(-1), [0, 80, 80]);
});
