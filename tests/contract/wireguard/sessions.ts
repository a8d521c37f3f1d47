/** Handshakes in both roles, keys right and wrong, both sides at once. */
import { assert, assertEquals } from "@std/assert";
import { RESPONSE_BYTES } from "../../../core/wireguard/constants.ts";
import { endpointOf, peerSettings } from "../../support/interop/pair.ts";
import { LossCount } from "../../support/interop/loss_count.ts";
import { newKeys, type WireGuardEnd } from "../../support/interop/wireguard_end.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { waitFor } from "../../support/wait_for.ts";
import { forEachEnd, type Scenario } from "./scenarios.ts";

/** Largest payloads of an echo request in a packet of 1420 bytes. */
const FULL_SIZE = [1392, 1372] as const;

const roles: Scenario[] = ([4, 6] as const).flatMap((family) =>
  forEachEnd(
    (side) => `${side} initiates over IPv${family}, the other learns where from; both families inside`,
    async (pair, initiator) => {
      const responder = pair.other(initiator);
      const side = pair.sideOf(initiator);
      await pair.relate({ knower: side, family });
      await pair.reach(initiator);
      assertEquals((await responder.peer()).endpoint, endpointOf(side, family));
      for (const end of [initiator, responder]) {
        for (const inside of [0, 1] as const) {
          await pair.reach(end, { inside });
          await pair.reach(end, { inside, size: FULL_SIZE[inside] });
        }
        assert((await end.peer()).latestHandshake > 0);
      }
    },
  )
);

const rightPresharedKey = forEachEnd(
  (side) => `${side} initiates with a preshared key`,
  async (pair, initiator) => {
    await pair.relate({ knower: pair.sideOf(initiator), presharedKey: newKeys().privateKey });
    await pair.reach(initiator);
  },
);

const wrongPresharedKey = forEachEnd(
  (side) => `${side} gets no session with a wrong preshared key, and one as soon as it is right`,
  async (pair, initiator) => {
    await pair.relate({ knower: pair.sideOf(initiator), presharedKey: newKeys().privateKey });
    const responder = pair.other(initiator);
    const { peer } = initiator.settings;
    await initiator.setPeer({ ...peer, presharedKey: newKeys().privateKey });
    assertEquals(await initiator.host.ping(responder.addresses[0]), false);
    await responder.peerIs("a response", ({ txBytes }) => txBytes >= RESPONSE_BYTES);
    const handshakes = await Promise.all([initiator, responder].map((end) => end.peer()));
    assertEquals(handshakes.map(({ latestHandshake }) => latestHandshake), [0, 0]);
    await initiator.setPeer(peer);
    await pair.reach(initiator);
  },
);

/** ICMP messages that the host of an end has sent, over IPv4. */
async function icmpSent(end: WireGuardEnd): Promise<number> {
  const lines = (await end.host.must(["cat", "/proc/net/snmp"])).split("\n");
  const [names = [], values = []] = lines.filter((line) => line.startsWith("Icmp:")).map((line) =>
    line.split(" ")
  );
  return Number(values[names.indexOf("OutMsgs")]);
}

const simultaneous: Scenario = {
  name: "both initiate at once, and packets go both ways",
  run: async (pair) => {
    const { ours, theirs } = pair;
    await pair.relate();
    // Stopped, ours finds their initiation and a packet of its own waiting, and reads the packet first.
    Deno.kill(ours.pid, "SIGSTOP");
    const pings = [theirs.host.ping(ours.addresses[0])];
    try {
      await theirs.peerIs("an initiation", ({ txBytes }) => txBytes > 0);
      const before = await icmpSent(ours);
      pings.push(ours.host.ping(theirs.addresses[0]));
      await waitFor("a packet of ours", async () => await icmpSent(ours) > before);
    } finally {
      Deno.kill(ours.pid, "SIGCONT");
    }
    await Promise.all(pings);
    for (const end of [ours, theirs]) {
      await pair.reach(end);
      await using ping = await RunningPing.start(end.host, pair.other(end).addresses[1]);
      const losses = await LossCount.begin(ping);
      await ping.answeredMore(25, { timeoutMs: 60_000 });
      await losses.assertNone();
    }
  },
};

const newPrivateKey = forEachEnd(
  (side) => `${side} changes its private key under traffic`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    await using ping = await RunningPing.start(end.host, other.addresses[0]);
    const keys = newKeys();
    await end.setPrivateKey(keys);
    await other.removePeer();
    const side = pair.sideOf(end);
    await other.setPeer({ ...peerSettings(keys, side), endpoint: endpointOf(side, 4) });
    await ping.answeredMore(25, { timeoutMs: 60_000 });
    await pair.reach(other);
  },
);

/** All of them. */
export const SESSIONS: readonly Scenario[] = [
  ...roles,
  ...rightPresharedKey,
  ...wrongPresharedKey,
  simultaneous,
  ...newPrivateKey,
];
