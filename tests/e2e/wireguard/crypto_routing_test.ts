/** Which peer a packet is for, and whether it is the peer's: the most specific allowed IP decides. */
import { assert, assertEquals } from "@std/assert";
import { reach } from "../../support/reach.ts";
import { NamedNetns } from "../../support/test_netns.ts";
import { TunnelEnd } from "../../support/tunnel_end.ts";
import {
  type Makes,
  pairTest,
  SERVER_PORT,
  startPair,
  type TunnelPair,
  UPLINK,
} from "../../support/tunnel_pair.ts";
import { waitFor } from "../../support/wait_for.ts";
import { addAddress, wire } from "../../support/wires.ts";

/** A pair and a second client at another cable of the server. */
interface Three extends TunnelPair {
  readonly second: TunnelEnd;
}

async function startThree(makes: Makes): Promise<Three> {
  await using stack = new AsyncDisposableStack();
  const pair = stack.use(await startPair(makes));
  const place = stack.use(await NamedNetns.create());
  await wire(
    { place, link: UPLINK, addresses: ["10.21.0.1/24"] },
    { place: pair.server.place, link: "ztup2", addresses: ["10.21.0.2/24"] },
  );
  const second = stack.use(
    await TunnelEnd.start(place, makes.client, {
      addresses: ["10.10.0.3/24", "fd10::3/64"],
      listenPort: 51822,
    }),
  );
  await second.addPeer(pair.server, { endpoint: `10.21.0.2:${SERVER_PORT}` });
  await pair.client.addPeer(pair.server, { endpoint: pair.serverEndpoints[0] });
  await pair.server.addPeer(second);
  const owned = stack.move();
  return { ...pair, second, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What of a peer's packets the server's own stack was shown, by a source. */
async function seen(server: TunnelEnd, source: string): Promise<number> {
  const rules = await server.place.must(["nft", "list", "table", "inet", "zt"]);
  const line = rules.split("\n").find((text) => text.includes(`saddr ${source} `));
  return Number(/packets (\d+)/.exec(line ?? "")![1]);
}

const NESTED = [
  { family: 4, wide: "10.11.0.0/16", narrow: "10.11.128.0/17", hosts: ["10.11.0.1", "10.11.128.1"] },
  { family: 6, wide: "fd11::/32", narrow: "fd11:0:8000::/33", hosts: ["fd11::1", "fd11:0:8000::1"] },
] as const;

pairTest("routes by the most specific allowed IP, which moves between peers", [], async (makes) => {
  await using three = await startThree(makes);
  const { client, second, server } = three;
  for (const end of [client, second]) await reach(end.place, server.hosts[0]!);
  for (const { family, wide, hosts: [low, high] } of NESTED) {
    await server.place.must(["ip", `-${family}`, "route", "add", wide, "dev", server.link]);
    // Each host is at one client only, so that an answer tells which one was asked.
    await addAddress(client.place, client.link, `${low}/${family === 4 ? 32 : 128}`);
    await addAddress(second.place, second.link, `${high}/${family === 4 ? 32 : 128}`);
  }
  const allow = async (end: TunnelEnd, index: "wide" | "narrow" | "both" | "none"): Promise<void> => {
    const words = NESTED.flatMap(({ wide, narrow }) =>
      index === "both" ? [wide, narrow] : index === "none" ? [] : [index === "wide" ? wide : narrow]
    );
    await server.addPeer(end, { allowedIps: [...end.hosts, ...words] });
  };
  const check = async (
    who: { readonly low: boolean; readonly high: boolean },
    what: string,
  ): Promise<void> => {
    for (const { hosts: [low, high] } of NESTED) {
      for (const [host, answers] of [[low, who.low], [high, who.high]] as const) {
        if (answers) await reach(server.place, host);
        else assert(!await server.place.ping(host), `${host}: ${what}`);
      }
    }
  };
  await allow(client, "wide");
  await check({ low: true, high: false }, "all with the first");
  await allow(second, "narrow");
  await check({ low: true, high: true }, "the narrow one wins");
  await allow(client, "both");
  await check({ low: true, high: false }, "the narrow one moved to the first");
  await allow(second, "both");
  await check({ low: false, high: true }, "both moved to the second");
  await allow(client, "wide");
  await check({ low: true, high: true }, "as before");
  await allow(second, "none");
  await check({ low: true, high: false }, "the narrow one is nobody's");
});

pairTest("drops packets from sources that are not the peer's", ["nft"], async (makes) => {
  await using pair = await startPair(makes);
  const { client, server } = pair;
  await client.addPeer(server, { endpoint: pair.serverEndpoints[0] });
  await reach(client.place, server.hosts[0]!);
  const sources = ["10.10.0.77", "fd10::77"];
  const rules = sources.map((source, i) =>
    `add rule inet zt in ${i === 0 ? "ip" : "ip6"} saddr ${source} counter`
  );
  const chain = "add chain inet zt in { type filter hook input priority 0; }";
  await server.place.must(["nft", ["add table inet zt", chain, ...rules].join("; ")]);
  const send = (i: number): Promise<unknown> =>
    client.place.run(["ping", "-n", "-c", "3", "-i", "0.05", "-W", "1", "-I", sources[i]!, server.hosts[i]!]);
  for (const [i, source] of sources.entries()) {
    await addAddress(client.place, client.link, `${source}/${i === 0 ? 32 : 128}`);
    await send(i);
    assertEquals(await seen(server, source), 0, source);
  }
  await server.addPeer(client, { allowedIps: [...client.hosts, ...sources] });
  for (const [i, source] of sources.entries()) {
    await send(i);
    await waitFor(`${source}, now allowed`, async () => await seen(server, source) === 3);
  }
});

pairTest("carries all of IPv4 to one peer and all of IPv6 to another", [], async (makes) => {
  await using three = await startThree(makes);
  const { client, second, server } = three;
  for (const end of [client, second]) await reach(end.place, server.hosts[0]!);
  await server.addPeer(client, { allowedIps: ["0.0.0.0/0", client.hosts[1]!] });
  await server.addPeer(second, { allowedIps: [second.hosts[0]!, "::/0"] });
  for (const [family, end, host] of [[4, client, "10.12.0.1"], [6, second, "fd12::1"]] as const) {
    await addAddress(end.place, end.link, `${host}/${family === 4 ? 32 : 128}`);
    await server.place.must(["ip", `-${family}`, "route", "add", host, "dev", server.link]);
    await reach(server.place, host);
  }
  // The narrow ones still belong to whom they did.
  await reach(server.place, client.hosts[1]!);
  await reach(server.place, second.hosts[0]!);
});
