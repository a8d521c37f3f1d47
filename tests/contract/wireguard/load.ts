/** Either side under a flood of handshake initiations: it sends cookies, and its peer gets through with one. */
import { assert } from "@std/assert";
import { INITIATION_BYTES } from "../../../core/wireguard/constants.ts";
import { Flooder } from "../../support/interop/flooder.ts";
import { NUMBERS } from "../../support/interop/pair.ts";
import { underlayIp } from "../../support/underlay.ts";
import { forEachEnd, type Scenario } from "./scenarios.ts";

/**
 * Initiations at once: more than half a second's worth for ours, and more than an eighth of the queue of the others,
 * which is 512 in the kernel and 128 in wireguard-go.
 */
const BURST = { ours: 300, theirs: 1200 } as const;

/** A handshake is tried for 90 s. */
const PATIENT = { timeoutMs: 90_000 } as const;

/** All of them. */
export const LOAD: readonly Scenario[] = forEachEnd(
  (side) => `${side} is flooded and sends cookies, and the other gets through with one`,
  async (pair, end) => {
    const side = pair.sideOf(end);
    const other = pair.other(end);
    await pair.relate({ knower: pair.sideOf(other) });
    await using bystander = await pair.bystander();
    const options = {
      target: other.settings.peer.publicKey,
      address: underlayIp(NUMBERS[side], 4),
      burst: BURST[side],
    };
    {
      // The first flood is for code that is compiled as it runs: an emulated processor takes 10 s for that.
      await using flood = new Flooder(bystander, options);
      await flood.moreCookies(1);
    }
    {
      await using flood = new Flooder(bystander, options);
      await flood.moreCookies(1);
      // Whether its answer comes in time is up to the processor; that a handshake is made is not.
      await other.host.ping(end.addresses[0]);
      const { txBytes } = await other.peerIs(
        "a session",
        ({ latestHandshake }) => latestHandshake > 0,
        PATIENT,
      );
      // Without a cookie one initiation would have been enough. An emulated processor may leave gaps for that.
      assert(!flood.isGapless || txBytes >= 2 * INITIATION_BYTES, `${txBytes} bytes sent`);
      await flood.moreCookies(1);
    }
    await pair.reach(other);
  },
);
