/** Both families inside both families, at usual and at huge MTU. */
import { iperfServer, transferTcp, transferUdp } from "../../support/iperf.ts";
import { reach } from "../../support/reach.ts";
import { pairTest, startPair } from "../../support/tunnel_pair.ts";

/** veth takes no more; less what WireGuard over IPv6 adds. */
const HUGE_UNDERLAY_MTU = 65_535;
const HUGE_MTU = HUGE_UNDERLAY_MTU - 80;

pairTest("carries pings, TCP and UDP in all four family mixes [overlay T12]", ["iperf3"], async (makes) => {
  await using pair = await startPair(makes);
  const { client, server } = pair;
  await using _server = await iperfServer(server.place);
  for (const outside of pair.serverEndpoints) {
    await client.addPeer(server, { endpoint: outside });
    for (const inside of server.hosts) {
      await reach(client.place, inside);
      const full = inside.includes(":") ? 1372 : 1392;
      await reach(client.place, inside, { size: full });
      for (const reverse of [false, true]) await transferTcp(client.place, inside, { mib: 16, reverse });
      await transferUdp(client.place, inside, ["--bitrate", "50M", "--bytes", "2M"]);
    }
  }
});

pairTest("carries huge packets both ways", ["iperf3"], async (makes) => {
  await using pair = await startPair(makes, { mtuBytes: HUGE_MTU, underlayMtuBytes: HUGE_UNDERLAY_MTU });
  const { client, server } = pair;
  await using _server = await iperfServer(server.place);
  for (const outside of pair.serverEndpoints) {
    await client.addPeer(server, { endpoint: outside });
    for (const inside of server.hosts) {
      await reach(client.place, inside);
      const full = HUGE_MTU - (inside.includes(":") ? 48 : 28);
      // The length of an echo request is limited by ping itself.
      for (const size of [1, 1500, 16_000, Math.min(full, 65_000)]) {
        await reach(client.place, inside, { size });
      }
      for (const reverse of [false, true]) await transferTcp(client.place, inside, { mib: 64, reverse });
      await transferUdp(client.place, inside, ["--length", "60000", "--bitrate", "100M", "--bytes", "4M"]);
    }
  }
});
