/** Traffic passes, slower, where the system lacks what makes it fast. */
import { iperfServer, transferTcp, transferUdp } from "../../support/iperf.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { LIMITS, startLimitedDevice } from "../../support/limited_device.ts";
import { reach } from "../../support/reach.ts";
import { NamedNetns, needing, testName } from "../../support/test_netns.ts";
import { newKeys, TunnelEnd } from "../../support/tunnel_end.ts";
import { INSIDE, OUTSIDE, pairTest, SERVER_PORT, startPair, UPLINK } from "../../support/tunnel_pair.ts";
import { addAddress, sysctl, wire } from "../../support/wires.ts";

/** TCP both ways, UDP, and a full packet. */
async function exchange(from: NamedNetns, address: string): Promise<void> {
  await reach(from, address);
  await reach(from, address, { size: address.includes(":") ? 1372 : 1392 });
  for (const reverse of [false, true]) await transferTcp(from, address, { mib: 8, reverse });
  await transferUdp(from, address, ["--bitrate", "20M", "--bytes", "1M"]);
}

Deno.test({
  ...needing(["ip", "ping", "wg", "iperf3"], "a device carries TCP, UDP and pings whatever the system lacks"),
  fn: async (t) => {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const [place, serverPlace] = [stack.use(await NamedNetns.create()), stack.use(await NamedNetns.create())];
    await wire(
      { place, link: UPLINK, addresses: [`${OUTSIDE.client[0]}/24`] },
      { place: serverPlace, link: UPLINK, addresses: [`${OUTSIDE.server[0]}/24`] },
    );
    const server = stack.use(await TunnelEnd.start(serverPlace, "ours", { addresses: INSIDE.server }));
    stack.use(await iperfServer(serverPlace));
    for (const limit of LIMITS) {
      await t.step(limit, async () => {
        const keys = newKeys();
        const allowed = INSIDE.client.map((address) => address.split("/")[0]!);
        await server.set("peer", keys.public, "allowed-ips", allowed.join(","));
        const link = testName("l");
        await using _device = await startLimitedDevice(place, {
          limit,
          link,
          privateKey: keys.private,
          listenPort: 0,
          mtuBytes: 1420,
          peer: {
            publicKey: server.keys.public,
            host: OUTSIDE.server[0],
            port: SERVER_PORT,
            allowedIps: server.hosts.map((host) => `${host}/${host.includes(":") ? 128 : 32}`),
          },
        });
        for (const address of INSIDE.client) await addAddress(place, link, address);
        await place.must(["ip", "link", "set", link, "mtu", "1420", "up"]);
        for (const host of server.hosts) await exchange(place, host);
      });
    }
  },
});

pairTest(
  "carries traffic over a link without checksum and segmentation",
  ["ethtool", "iperf3"],
  async (makes) => {
    await using pair = await startPair(makes);
    const { client, server } = pair;
    await using _server = await iperfServer(server.place);
    for (const { place } of [client, server]) {
      await place.must(["ethtool", "-K", UPLINK, "tx", "off", "tso", "off", "gso", "off"]);
    }
    for (const [i, endpoint] of pair.serverEndpoints.entries()) {
      await client.addPeer(server, { endpoint });
      await exchange(client.place, server.hosts[i]!);
    }
  },
);

pairTest("carries traffic where IPv6 is switched off", ["iperf3"], async (makes) => {
  await using stack = new AsyncDisposableStack();
  const places = [stack.use(await NamedNetns.create()), stack.use(await NamedNetns.create())] as const;
  for (const place of places) {
    for (const scope of ["all", "default"]) await sysctl(place, `net/ipv6/conf/${scope}/disable_ipv6`, 1);
  }
  await wire(
    { place: places[0], link: UPLINK, addresses: [`${OUTSIDE.client[0]}/24`] },
    { place: places[1], link: UPLINK, addresses: [`${OUTSIDE.server[0]}/24`] },
  );
  const client = stack.use(await TunnelEnd.start(places[0], makes.client, { addresses: [INSIDE.client[0]] }));
  const server = stack.use(await TunnelEnd.start(places[1], makes.server, { addresses: [INSIDE.server[0]] }));
  stack.use(await iperfServer(server.place));
  await server.addPeer(client);
  await client.addPeer(server, { endpoint: `${OUTSIDE.server[0]}:${SERVER_PORT}` });
  await exchange(client.place, server.hosts[0]!);
});
