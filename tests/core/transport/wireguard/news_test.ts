import { assertEquals } from "@std/assert";
import { PeerNewsBoard } from "../../../../core/transport/wireguard/news.ts";
import { parseIp } from "../../../../core/ip/address.ts";
import { Device } from "../../../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../../../core/wireguard/endpoint.ts";
import { nobleProvider } from "../../../../core/wireguard/noble_provider.ts";
import type { Peer } from "../../../../core/wireguard/peer.ts";

function makePeers(count: number): Peer[] {
  const random = (bytes: Uint8Array): void => void bytes.fill(1);
  const device = new Device({ crypto: nobleProvider(), random, wallClockMs: () => 0 });
  return Array.from({ length: count }, (_, i) => device.addPeer(new Uint8Array(32).fill(i + 1), 0));
}

Deno.test("PeerNewsBoard: the first news are due at once, the next 250 ms later", () => {
  const [peer] = makePeers(1);
  const board = new PeerNewsBoard();
  assertEquals(board.deadline, Infinity);
  board.note(peer!, "session");
  assertEquals(board.deadline <= 1000, true);
  assertEquals(board.take(1000).map(({ handshake }) => handshake), ["completed"]);
  assertEquals(board.deadline, Infinity);
  board.note(peer!, "unreachable");
  assertEquals(board.deadline, 1250);
});

Deno.test("PeerNewsBoard: any number of news about a peer are one, and of handshakes the newest counts", () => {
  const [a, b] = makePeers(2);
  const board = new PeerNewsBoard();
  for (let i = 0; i < 10_000; i++) board.note(a!, "roamed");
  board.note(b!, "unreachable");
  board.note(b!, "roamed");
  board.note(b!, "session");
  board.note(b!, "roamed");
  a!.endpoint = PeerEndpoint.of(parseIp("192.0.2.9")!, 7);
  b!.lastHandshakeUnixMs = 5_000;
  assertEquals(board.take(0), [
    {
      publicKey: a!.publicKey,
      lastHandshakeUnixMs: undefined,
      endpoint: { address: Uint8Array.of(192, 0, 2, 9), port: 7, scopeId: 0 },
    },
    { publicKey: b!.publicKey, handshake: "completed", lastHandshakeUnixMs: 5_000, endpoint: undefined },
  ]);
});
