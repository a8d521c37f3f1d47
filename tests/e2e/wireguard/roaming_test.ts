/** Hosts that move, and hosts with several addresses: who is spoken to from where. */
import { assertEquals } from "@std/assert";
import { IperfFlow } from "../../support/iperf_flow.ts";
import { reach } from "../../support/reach.ts";
import { NamedNetns } from "../../support/test_netns.ts";
import {
  CLIENT_PORT,
  type Makes,
  OUTSIDE,
  pairTest,
  SERVER_PORT,
  startEnds,
  startPair,
  type TunnelEnds,
  type TunnelPair,
  UPLINK,
} from "../../support/tunnel_pair.ts";
import { waitFor } from "../../support/wait_for.ts";
import { addAddress, forward, wire } from "../../support/wires.ts";

/** A client with two ways, each a network of its own, to a server behind a router that drops foreign sources. */
async function startWithTwoWays(stack: AsyncDisposableStack, makes: Makes): Promise<TunnelEnds> {
  const router = stack.use(await NamedNetns.create());
  const places = {
    client: stack.use(await NamedNetns.create()),
    server: stack.use(await NamedNetns.create()),
  };
  await forward(router);
  for (const n of [1, 2]) {
    await wire(
      { place: places.client, link: `ztway${n}`, addresses: [`10.4${n}.0.2/24`, `fd4${n}::2/64`] },
      { place: router, link: `ztlan${n}`, addresses: [`10.4${n}.0.1/24`, `fd4${n}::1/64`] },
    );
  }
  await wire({ place: places.server, link: UPLINK, addresses: ["10.40.0.2/24", "fd40::2/64"] }, {
    place: router,
    link: "ztwan",
    addresses: ["10.40.0.1/24", "fd40::1/64"],
  });
  await places.server.must(["ip", "route", "add", "default", "via", "10.40.0.1"]);
  await places.server.must(["ip", "-6", "route", "add", "default", "via", "fd40::1"]);
  // As providers do: what comes in by one way has an address of that way.
  const foreign = ["ip saddr", "ip6 saddr"].flatMap((word, family) =>
    [1, 2].map((n) =>
      `add rule inet zt pass iifname ztlan${n} ${word} != ${
        family === 0 ? `10.4${n}.0.0/24` : `fd4${n}::/64`
      } drop`
    )
  );
  await router.must([
    "nft",
    ["add table inet zt", "add chain inet zt pass { type filter hook forward priority 0; }", ...foreign].join(
      "; ",
    ),
  ]);
  await takeWay(places.client, 1);
  return await startEnds(stack, places, { makes });
}

/** The client's default routes lead there. */
async function takeWay(client: NamedNetns, n: number): Promise<void> {
  await client.must(["ip", "route", "replace", "default", "via", `10.4${n}.0.1`]);
  await client.must(["ip", "-6", "route", "replace", "default", "via", `fd4${n}::1`]);
}

const WAYS = [
  {
    family: "IPv4",
    server: `10.40.0.2:${SERVER_PORT}`,
    client: (n: number) => `10.4${n}.0.2:${CLIENT_PORT}`,
  },
  {
    family: "IPv6",
    server: `[fd40::2]:${SERVER_PORT}`,
    client: (n: number) => `[fd4${n}::2]:${CLIENT_PORT}`,
  },
];

for (const { family, server: endpoint, client: clientAt } of WAYS) {
  pairTest(
    `moves to another way by a change of routes, under a flow, ${family}`,
    ["nft", "iperf3"],
    async (makes) => {
      await using stack = new AsyncDisposableStack();
      const { client, server } = await startWithTwoWays(stack, makes);
      await client.addPeer(server, { endpoint });
      await using flow = await IperfFlow.start(client.place, server.place, server.hosts[0]!);
      assertEquals(await server.endpointOf(client), clientAt(1));
      for (const way of [2, 1]) {
        await takeWay(client.place, way);
        await waitFor("roaming", async () => await server.endpointOf(client) === clientAt(way));
      }
      // The way in use breaks: its link goes down, and with it its routes.
      await client.place.must(["ip", "link", "set", "ztway1", "down"]);
      await takeWay(client.place, 2);
      await waitFor("roaming", async () => await server.endpointOf(client) === clientAt(2));
      await flow.busySeconds(1);
    },
    // Debian's follows IPv4 routes only.
    { only: ({ client }) => family === "IPv4" || client === "ours" },
  );
}

const SECOND = { 4: "10.20.0.3/24", 6: "fd20::3/64" } as const;

for (const family of [4, 6] as const) {
  const host = (address: string): string => family === 4 ? address : `[${address}]`;
  const first = OUTSIDE.server[family === 4 ? 0 : 1];
  const second = SECOND[family].split("/")[0]!;
  const ask = async ({ client, server }: TunnelPair, address: string): Promise<void> => {
    await client.addPeer(server, { endpoint: `${host(address)}:${SERVER_PORT}` });
    await reach(client.place, server.hosts[0]!);
    await reach(server.place, client.hosts[0]!);
    assertEquals(await client.endpointOf(server), `${host(address)}:${SERVER_PORT}`, "answers from there");
  };

  pairTest(`answers from the address that was asked, IPv${family}`, [], async (makes) => {
    await using pair = await startPair(makes);
    await addAddress(pair.server.place, UPLINK, SECOND[family]);
    for (const address of [second, first, second]) await ask(pair, address);
  });

  pairTest(
    `answers from another address once the one that was asked is gone, IPv${family}`,
    [],
    async (makes) => {
      await using pair = await startPair(makes);
      const { client, server } = pair;
      await addAddress(server.place, UPLINK, SECOND[family]);
      await ask(pair, second);
      await server.place.must(["ip", "address", "del", SECOND[family], "dev", UPLINK]);
      await reach(server.place, client.hosts[0]!);
      assertEquals(
        await client.endpointOf(server),
        `${host(first)}:${SERVER_PORT}`,
        "the address that is left",
      );
      // It is back, and asked: it answers again.
      await addAddress(server.place, UPLINK, SECOND[family]);
      await ask(pair, second);
    },
    // Debian's goes on with an address that is gone where the kernel says ENETUNREACH to that.
    { only: ({ server }) => server === "ours" },
  );

  pairTest(`answers from an address of another link, IPv${family}`, [], async (makes) => {
    await using pair = await startPair(makes);
    const { client, server } = pair;
    await server.place.must(["ip", "link", "add", "ztinner", "type", "bridge"]);
    await server.place.must(["ip", "link", "set", "ztinner", "up"]);
    const inner = family === 4 ? "10.50.0.1" : "fd50::1";
    await addAddress(server.place, "ztinner", `${inner}/${family === 4 ? 24 : 64}`);
    const via = OUTSIDE.server[family === 4 ? 0 : 1];
    await client.place.must(["ip", `-${family}`, "route", "add", inner, "via", via]);
    await client.addPeer(server, { endpoint: `${host(inner)}:${SERVER_PORT}` });
    await reach(client.place, server.hosts[1]!);
    await reach(server.place, client.hosts[1]!);
    assertEquals(await client.endpointOf(server), `${host(inner)}:${SERVER_PORT}`);
  });
}
