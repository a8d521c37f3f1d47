/** Configuration in many small messages and in large ones, while packets flow. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { reach } from "../../support/reach.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { type SeededRandom, withSeed } from "../../support/seeded_random.ts";
import { newKeys, type TunnelEnd } from "../../support/tunnel_end.ts";
import { CLIENT_PORT, OUTSIDE, pairTest, startPair } from "../../support/tunnel_pair.ts";

const PEERS = 200;
const ROUNDS = 3;

/** One shell for many commands: starting programs is what takes the time. */
async function script(end: TunnelEnd, lines: readonly string[]): Promise<void> {
  await end.place.must(["sh", "-e", "-c", lines.join("\n")]);
}

/** Allowed IPs of peer `n`: so many of each family. */
function allowedIps(n: number, count: number): string {
  const ips = Array.from({ length: count }, (_, i) => [
    `10.${100 + i}.${n >> 4}.${(n & 15) << 4}/28`,
    `fd77:${i + 1}:${(n + 1).toString(16)}::/48`,
  ]);
  return ips.flat().join(",");
}

/** What `wg showconf` tells, peers in order of their keys. */
async function configuration(end: TunnelEnd): Promise<string[]> {
  const text = await end.place.must(["wg", "showconf", end.link]);
  const [head = "", ...peers] = text.trim().split("\n[Peer]\n").map((part) => part.trim());
  return [head, ...peers.map((peer) => peer.split("\n").map(sortList).sort().join("\n")).sort()];
}

function sortList(line: string): string {
  return line.startsWith("AllowedIPs") ? line.split(/ = |, /).sort().join(" ") : line;
}

pairTest("takes hundreds of peers in small messages and loses no packet meanwhile", [], async (makes) => {
  await using pair = await startPair(makes);
  const { client, server } = pair;
  await client.addPeer(server, { endpoint: pair.serverEndpoints[0] });
  await reach(client.place, server.hosts[0]!);
  const before = await configuration(client);
  await using ping = await RunningPing.start(client.place, server.hosts[0]!);
  const keys = Array.from({ length: PEERS }, () => newKeys().public);
  const set = `wg set ${client.link} peer`;
  for (let round = 1; round <= ROUNDS; round++) {
    await script(client, keys.map((key, n) => `${set} ${key} allowed-ips ${allowedIps(n, round)}`));
  }
  const shown = await client.dump();
  assertEquals(shown.peers.length, PEERS + 1);
  for (const [n, key] of keys.entries()) {
    const peer = shown.peers.find(({ publicKey }) => publicKey === key);
    assertEquals(peer?.allowedIps, allowedIps(n, ROUNDS).split(",").sort(), `peer ${n}`);
  }
  await ping.answeredMore(5);
  // Halved, restored and emptied by whole files; the live peer is in each of them.
  const path = await Deno.makeTempFile({ prefix: "zt" });
  try {
    const full = await client.place.must(["wg", "showconf", client.link]);
    const sections = full.split("\n[Peer]\n");
    const half = sections.filter((text, i) => i === 0 || i % 2 === 0 || text.includes(server.keys.public));
    const all = await configuration(client);
    for (const [text, peers] of [[half.join("\n[Peer]\n"), half.length - 1], [full, PEERS + 1]] as const) {
      await Deno.writeTextFile(path, text);
      await client.place.must(["wg", "syncconf", client.link, path]);
      assertEquals((await client.dump()).peers.length, peers);
    }
    assertEquals(await configuration(client), all);
    await script(client, keys.map((key) => `${set} ${key} remove`));
    assertEquals(await configuration(client), before);
    await ping.answeredMore(5);
    // Debian's takes the allowed IPs of a live peer away before it gives it those of the file, and a packet that comes
    // in between is lost: seldom, and on a busy machine.
    if (makes.client === "ours") assertEquals(ping.loss.lost, 0, "lost");
    // Set anew, it has to shake hands anew; what it was made of is the same.
    await Deno.writeTextFile(path, full);
    await client.place.must(["wg", "setconf", client.link, path]);
    assertEquals(await configuration(client), all);
    await reach(client.place, server.hosts[0]!);
  } finally {
    await Deno.remove(path);
  }
});

/** One random change of one of the peers, or of the keepalives of the one that is in use. */
function randomChange(
  random: SeededRandom,
  end: TunnelEnd,
  { keys, live }: { readonly keys: readonly string[]; readonly live: string },
): string {
  const n = random.below(keys.length);
  const peer = `wg set ${end.link} peer ${keys[n]}`;
  switch (random.below(6)) {
    case 0:
      return `${peer} remove`;
    case 1:
      return `${peer} persistent-keepalive ${random.below(3)} endpoint 127.0.0.1:${1 + n}`;
    case 2:
      return `echo ${newKeys().public} | ${peer} preshared-key /dev/stdin`;
    case 3:
      return `wg set ${end.link} peer ${live} persistent-keepalive ${random.below(30)}`;
    default:
      return `${peer} allowed-ips ${allowedIps(random.below(keys.length), 1 + random.below(4))}`;
  }
}

pairTest("keeps a flow through random changes of other peers", [], (makes) =>
  withSeed(async (random) => {
    await using pair = await startPair(makes);
    const { client, server } = pair;
    await client.addPeer(server, { endpoint: pair.serverEndpoints[1] });
    await reach(client.place, server.hosts[1]!);
    const keys = Array.from({ length: 30 }, () => newKeys().public);
    await using ping = await RunningPing.start(client.place, server.hosts[1]!);
    for (const [end, other] of [[client, server], [server, client]] as const) {
      const live = other.keys.public;
      await script(end, Array.from({ length: 200 }, () => randomChange(random, end, { keys, live })));
    }
    await ping.answeredMore(5);
    assertEquals(ping.loss.lost, 0, "lost");
  }));

pairTest("takes a new private key, none, and one that is a peer's", [], async (makes) => {
  await using pair = await startPair(makes);
  const { client, server } = pair;
  const endpoint = pair.serverEndpoints[0];
  await client.addPeer(server, { endpoint });
  await reach(client.place, server.hosts[0]!);
  const setKey = (end: TunnelEnd, key: string): Promise<void> =>
    script(end, [`echo ${key} | wg set ${end.link} private-key /dev/stdin`]);
  const next = newKeys();
  await setKey(client, next.private);
  assertEquals(await client.show("public-key"), next.public);
  assert(!await client.place.ping(server.hosts[0]!), "the server does not know it");
  await server.set(
    "peer",
    client.keys.public,
    "remove",
    "peer",
    next.public,
    "allowed-ips",
    client.hosts.join(","),
    "endpoint",
    `${OUTSIDE.client[0]}:${CLIENT_PORT}`,
  );
  // From here, as the client tries again only 5 s after its last attempt.
  await reach(server.place, client.hosts[0]!);
  await client.place.must(["wg", "set", client.link, "private-key", "/dev/null"]);
  assertEquals(await client.show("private-key"), "(none)");
  await setKey(client, next.private);
  await reach(client.place, server.hosts[0]!);
  // No device is a peer of itself: such a peer is not taken, and goes when the key comes later.
  await client.set("peer", next.public, "allowed-ips", "10.99.0.0/24");
  assertEquals(await client.show("peers"), server.keys.public);
  const other = newKeys();
  await client.set("peer", other.public, "allowed-ips", "10.99.0.0/24");
  assertNotEquals(await client.show("peers"), server.keys.public);
  await setKey(client, other.private);
  assertEquals(await client.show("peers"), server.keys.public);
});

pairTest("needs the same preshared key at both ends", [], async (makes) => {
  await using pair = await startPair(makes);
  const { client, server } = pair;
  const [right, wrong] = [newKeys().private, newKeys().private];
  const setPsk = (end: TunnelEnd, other: TunnelEnd, key: string): Promise<void> =>
    script(end, [`echo ${key} | wg set ${end.link} peer ${other.keys.public} preshared-key /dev/stdin`]);
  await setPsk(client, server, wrong);
  await setPsk(server, client, right);
  await client.addPeer(server, { endpoint: pair.serverEndpoints[1] });
  assert(!await client.place.ping(server.hosts[0]!), "different keys");
  assertEquals((await client.dump()).peers[0]!.latestHandshake, 0);
  // Made anew, as the next attempt of the old one would come 5 s after the first.
  await client.set("peer", server.keys.public, "remove");
  await client.addPeer(server, { endpoint: pair.serverEndpoints[1] });
  await setPsk(client, server, right);
  await reach(client.place, server.hosts[0]!);
  assert((await client.dump()).peers[0]!.latestHandshake > 0);
});
