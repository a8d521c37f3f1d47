/** The default route through the tunnel, its own packets by the main table: mark and policy rules. */
import { assert, assertEquals } from "@std/assert";
import { iperfServer, transferTcp } from "../../support/iperf.ts";
import { reach } from "../../support/reach.ts";
import { NamedNetns } from "../../support/test_netns.ts";
import { type Makes, pairTest, SERVER_PORT, startEnds, type TunnelEnds } from "../../support/tunnel_pair.ts";
import { forward, wire } from "../../support/wires.ts";

const MARK = "0xca6c";
const TABLE = "51820";

/** Client, router, server; behind the server a network that only it reaches. */
async function start(
  stack: AsyncDisposableStack,
  makes: Makes,
): Promise<TunnelEnds & { readonly far: NamedNetns }> {
  const router = stack.use(await NamedNetns.create());
  const places = {
    client: stack.use(await NamedNetns.create()),
    server: stack.use(await NamedNetns.create()),
  };
  const far = stack.use(await NamedNetns.create());
  const cable = async (a: NamedNetns, b: NamedNetns, n: number, link: string): Promise<void> =>
    await wire({ place: a, link: "ztup", addresses: [`10.6${n}.0.2/24`, `fd6${n}::2/64`] }, {
      place: b,
      link,
      addresses: [`10.6${n}.0.1/24`, `fd6${n}::1/64`],
    });
  await cable(places.client, router, 0, "ztlan");
  await cable(places.server, router, 1, "ztwan");
  await cable(far, places.server, 2, "ztfar");
  for (const [place, n] of [[places.client, 0], [places.server, 1], [far, 2]] as const) {
    await place.must(["ip", "route", "add", "default", "via", `10.6${n}.0.1`]);
    await place.must(["ip", "-6", "route", "add", "default", "via", `fd6${n}::1`]);
  }
  await forward(router);
  await forward(places.server);
  return { far, ...await startEnds(stack, places, { makes }) };
}

/** All of the client's traffic goes into the tunnel, but not the tunnel's own. */
async function takeDefaultRoute({ client, server }: TunnelEnds, family: 4 | 6): Promise<void> {
  const endpoint = family === 4 ? `10.61.0.2:${SERVER_PORT}` : `[fd61::2]:${SERVER_PORT}`;
  await client.set("fwmark", MARK);
  await client.addPeer(server, { endpoint, allowedIps: ["0.0.0.0/0", "::/0"] });
  assert(!await client.place.ping("10.62.0.2"), "not there without the tunnel");
  for (const ip of ["-4", "-6"]) {
    await client.place.must(["ip", ip, "route", "add", "default", "dev", client.link, "table", TABLE]);
    await client.place.must(["ip", ip, "rule", "add", "not", "fwmark", MARK, "table", TABLE]);
    await client.place.must(["ip", ip, "rule", "add", "table", "main", "suppress_prefixlength", "0"]);
  }
}

for (const family of [4, 6] as const) {
  pairTest(`takes the default route while its own packets take the main table, IPv${family} outside`, [
    "iperf3",
  ], async (makes) => {
    await using stack = new AsyncDisposableStack();
    const { far, ...ends } = await start(stack, makes);
    const { client } = ends;
    await takeDefaultRoute(ends, family);
    await using _server = await iperfServer(far);
    for (const address of ["10.62.0.2", "fd62::2"]) {
      await reach(client.place, address);
      await transferTcp(client.place, address, { mib: 16 });
    }
    // The server itself, by its outer address, is behind the default route too, and that is no loop.
    await reach(client.place, family === 4 ? "10.61.0.2" : "fd61::2");
    assertEquals(await client.show("fwmark"), MARK);
  });

  pairTest(
    `without its mark it swallows its own packets, and works again with it, IPv${family} outside`,
    [],
    async (makes) => {
      await using stack = new AsyncDisposableStack();
      const { far: _, ...ends } = await start(stack, makes);
      const { client } = ends;
      await takeDefaultRoute(ends, family);
      await reach(client.place, "10.62.0.2");
      // Without the mark the device would swallow its own packets; it is back as soon as it is marked again.
      await client.set("fwmark", "0");
      assert(!await client.place.ping("10.62.0.2"), "its own packets go into the tunnel");
      await client.set("fwmark", MARK);
      // What went round before is still on its way.
      await reach(client.place, "10.62.0.2");
    },
    // Debian's does not find its way back over IPv6.
    { only: ({ client }) => client === "ours" },
  );
}
