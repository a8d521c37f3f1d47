/** A device of ours in user space against the WireGuard of Linux. */
import { assert, assertEquals } from "@std/assert";
import { wireguardInterop } from "../../contract/wireguard/interop.ts";
import type { Scenario } from "../../contract/wireguard/scenarios.ts";
import { KernelEnd } from "../../support/interop/ends.ts";
import { HERE } from "../../support/test_netns.ts";

const HOUR_SECONDS = 3600;

async function moveClock(seconds: number): Promise<void> {
  assert(Deno.env.get("ZLAYER_TEST_GUEST") === "1", "the clock of this machine is not the test's");
  await HERE.must(["date", "--set", `@${Math.floor(Date.now() / 1000) + seconds}`]);
}

/** Its handshakes bear an hour that is over: replays, as far as the other side can tell. */
const clockSetBack: Scenario = {
  name: "ours restarts with its clock set back: refused as initiator, served once the other initiates",
  run: async (pair) => {
    const { ours, theirs } = pair;
    await pair.relate();
    await pair.reach(ours);
    // Its keepalive, after 10 s of silence, tells the other side that all is well; or that would initiate itself.
    const { rxBytes } = await theirs.peer();
    const before = await theirs.peerIs("a keepalive", (peer) => peer.rxBytes > rxBytes);
    await moveClock(-HOUR_SECONDS);
    try {
      await ours.restart();
      assertEquals(await ours.host.ping(theirs.addresses[0], { count: 3 }), false);
      const after = await theirs.peer();
      assertEquals([after.latestHandshake, after.txBytes], [before.latestHandshake, before.txBytes]);
      await pair.reach(theirs);
      await pair.reach(ours);
    } finally {
      await moveClock(HOUR_SECONDS);
    }
  },
};

wireguardInterop({
  name: "the kernel's",
  programs: [],
  make: (host, addresses) => new KernelEnd(host, addresses),
  more: [clockSetBack],
});
