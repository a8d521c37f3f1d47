/** A client behind address translation: mappings that expire, keepalives that hold them, mappings that move. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { IperfFlow } from "../../support/iperf_flow.ts";
import { reach } from "../../support/reach.ts";
import { NamedNetns } from "../../support/test_netns.ts";
import {
  CLIENT_PORT,
  type Makes,
  pairTest,
  SERVER_PORT,
  startEnds,
  type TunnelEnds,
} from "../../support/tunnel_pair.ts";
import { waitFor } from "../../support/wait_for.ts";
import { forward, sysctl, wire } from "../../support/wires.ts";

const WAN = "ztwan";
const SERVER = "10.31.0.2";
const ROUTER = "10.31.0.1";
/** How long the router remembers, in seconds. */
const MAPPING_SECONDS = 1;

/** Client, router with translation, server, in a row. */
async function startBehindNat(
  stack: AsyncDisposableStack,
  makes: Makes,
): Promise<TunnelEnds & { readonly router: NamedNetns }> {
  const router = stack.use(await NamedNetns.create());
  const places = {
    client: stack.use(await NamedNetns.create()),
    server: stack.use(await NamedNetns.create()),
  };
  await wire({ place: places.client, link: "ztup", addresses: ["10.30.0.2/24"] }, {
    place: router,
    link: "ztlan",
    addresses: ["10.30.0.1/24"],
  });
  await wire({ place: places.server, link: "ztup", addresses: [`${SERVER}/24`] }, {
    place: router,
    link: WAN,
    addresses: [`${ROUTER}/24`],
  });
  await places.client.must(["ip", "route", "add", "default", "via", "10.30.0.1"]);
  await forward(router);
  await router.must([
    "nft",
    "add table ip zt; add chain ip zt out { type nat hook postrouting priority srcnat; }",
  ]);
  await mapTo(router, 40_001);
  for (const name of ["udp_timeout", "udp_timeout_stream"]) {
    await sysctl(router, `net/netfilter/nf_conntrack_${name}`, MAPPING_SECONDS);
  }
  return { router, ...await startEnds(stack, places, { makes }) };
}

/** New mappings have this port. */
async function mapTo(router: NamedNetns, port: number): Promise<void> {
  const match = `oifname ${WAN} udp sport ${CLIENT_PORT}`;
  await router.must(["nft", `flush chain ip zt out; add rule ip zt out ${match} masquerade to :${port}`]);
}

/** Has the router forget its mappings: masquerading does when its link goes down. */
async function forget(router: NamedNetns): Promise<void> {
  await router.must(["ip", "link", "set", WAN, "down"]);
  await router.must(["ip", "link", "set", WAN, "up"]);
}

pairTest("is reached behind NAT while keepalives hold the mapping, and only then", ["nft"], async (makes) => {
  await using stack = new AsyncDisposableStack();
  const { router, client, server } = await startBehindNat(stack, makes);
  const [inner] = client.hosts as [string];
  await client.addPeer(server, { endpoint: `${SERVER}:${SERVER_PORT}` });
  await reach(client.place, server.hosts[0]!);
  assertEquals(await server.endpointOf(client), `${ROUTER}:40001`);
  await forget(router);
  assert(!await server.place.ping(inner), "nobody is behind a mapping that is gone");
  // The first keepalive goes at once and makes a mapping; without the others it would not last.
  await client.set("peer", server.keys.public, "persistent-keepalive", "1");
  const expired = performance.now() + MAPPING_SECONDS * 3_000;
  await waitFor("three times the life of a mapping", () => performance.now() > expired);
  await reach(server.place, inner);
});

pairTest("is followed to another port of its NAT under a flow", ["nft", "iperf3"], async (makes) => {
  await using stack = new AsyncDisposableStack();
  const { router, client, server } = await startBehindNat(stack, makes);
  await client.addPeer(server, { endpoint: `${SERVER}:${SERVER_PORT}` });
  await using flow = await IperfFlow.start(client.place, server.place, server.hosts[0]!);
  const before = await server.endpointOf(client);
  await mapTo(router, 40_002);
  await forget(router);
  await waitFor("roaming", async () => await server.endpointOf(client) === `${ROUTER}:40002`);
  assertNotEquals(await server.endpointOf(client), before);
  await flow.busySeconds(1);
  await reach(server.place, client.hosts[0]!);
});
