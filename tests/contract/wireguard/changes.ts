/** Changes under traffic: addresses, ports, peers, restarts; and silence that keepalives fill. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { TRANSPORT_OVERHEAD_BYTES } from "../../../core/wireguard/constants.ts";
import { endpointOf, NUMBERS } from "../../support/interop/pair.ts";
import { type PeerState, PORT } from "../../support/interop/wireguard_end.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { underlayIp } from "../../support/underlay.ts";
import { waitFor } from "../../support/wait_for.ts";
import { forEachEnd, type Scenario } from "./scenarios.ts";

const OTHER_PORT = PORT + 100;
/** Numbers of hosts that nobody has. */
const ELSEWHERE = { ours: 11, theirs: 12 } as const;
/** A session that one side has lost is made anew after 15 s; an emulated processor is slow. */
const PATIENT = { timeoutMs: 90_000 } as const;

const port = forEachEnd(
  (side) => `${side} changes its port under traffic, and the other follows`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    await using ping = await RunningPing.start(end.host, other.addresses[0]);
    await end.wg("set", end.link, "listen-port", String(OTHER_PORT));
    const side = pair.sideOf(end);
    await other.peerIs("the new port", ({ endpoint }) => endpoint === endpointOf(side, 4, OTHER_PORT));
    await ping.answeredMore(25, PATIENT);
  },
);

const address = forEachEnd(
  (side) => `${side} changes its address under traffic, and the other follows`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    const side = pair.sideOf(end);
    const to = underlayIp(ELSEWHERE[side], 4);
    await using ping = await RunningPing.start(end.host, other.addresses[0]);
    const before = await other.peer();
    await pair.underlay.move(end.host, ELSEWHERE[side]);
    try {
      const isThere = (peer: PeerState): boolean => peer.endpoint === `${to}:${PORT}`;
      const after = await other.peerIs("the new address", isThere, PATIENT);
      // Ours goes on from its new address at once; wireguard-go is silent until its next handshake.
      if (side === "ours") assertEquals(after.latestHandshake, before.latestHandshake);
      await ping.answeredMore(25, PATIENT);
    } finally {
      await pair.underlay.move(end.host, NUMBERS[side]);
    }
  },
);

const family = forEachEnd(
  (side) => `${side} goes from IPv4 to IPv6 under traffic, and the other follows`,
  async (pair, end) => {
    await pair.relate({ family: 4 });
    const other = pair.other(end);
    await using ping = await RunningPing.start(end.host, other.addresses[1]);
    const [to, wanted] = [endpointOf(pair.sideOf(other), 6), endpointOf(pair.sideOf(end), 6)];
    // An answer that is on its way over IPv4 takes the endpoint back there, as it has to.
    await waitFor("IPv6", async () => {
      await end.setPeer({ ...end.settings.peer, endpoint: to });
      return (await other.peer()).endpoint === wanted;
    }, PATIENT);
    await ping.answeredMore(25, PATIENT);
  },
);

const keepalive = forEachEnd(
  (side) => `persistent keepalives of ${side} are counted and not answered`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    await end.setPeer({ ...end.settings.peer, keepaliveSeconds: 1 });
    await other.peerIs("a session", ({ latestHandshake }) => latestHandshake > 0);
    const before = await other.peer();
    const enough = before.rxBytes + 3 * TRANSPORT_OVERHEAD_BYTES;
    const after = await other.peerIs("three keepalives", ({ rxBytes }) => rxBytes >= enough);
    assertEquals((after.rxBytes - before.rxBytes) % TRANSPORT_OVERHEAD_BYTES, 0);
    assertEquals(after.txBytes, before.txBytes);
  },
);

const removal = forEachEnd(
  (side) => `${side} removes its peer under traffic and adds it again`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    await using forth = await RunningPing.start(end.host, other.addresses[0]);
    await using back = await RunningPing.start(other.host, end.addresses[1]);
    await end.removePeer();
    assertEquals(await end.host.ping(other.addresses[0]), false);
    await end.setPeer(end.settings.peer);
    await forth.answeredMore(25, PATIENT);
    await back.answeredMore(25, PATIENT);
    assertEquals((await end.peer()).endpoint, endpointOf(pair.sideOf(other), 4));
  },
);

const restart = forEachEnd(
  (side) => `${side} restarts under traffic of the other`,
  async (pair, end) => {
    // The one that restarts has to be found: it knows nobody's place and starts nothing.
    const other = pair.other(end);
    await pair.relate({ knower: pair.sideOf(other) });
    await using ping = await RunningPing.start(other.host, end.addresses[0]);
    const { latestHandshake } = await other.peer();
    await end.restart();
    await ping.answeredMore(25, PATIENT);
    const after = await other.peer();
    assertNotEquals(after.latestHandshake, latestHandshake);
    assert((await end.peer()).latestHandshake > 0);
    await pair.reach(end);
  },
);

/** All of them. */
export const CHANGES: readonly Scenario[] = [
  ...port,
  ...address,
  ...family,
  ...keepalive,
  ...removal,
  ...restart,
];
