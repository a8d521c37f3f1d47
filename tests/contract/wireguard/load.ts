/** Either side under a flood of handshake initiations: it sends cookies, and its peer gets through with one. */
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

/** All of them. */
export const LOAD: readonly Scenario[] = forEachEnd(
  (side) => `${side} is flooded and sends cookies, and the other gets through with one`,
  async (pair, end) => {
    const side = pair.sideOf(end);
    const other = pair.other(end);
    await pair.relate({ knower: pair.sideOf(other) });
    await using bystander = await pair.bystander();
    await using flood = new Flooder(bystander, {
      target: other.settings.peer.publicKey,
      address: underlayIp(NUMBERS[side], 4),
      burst: BURST[side],
    });
    await flood.moreCookies(1);
    await pair.reach(other);
    // Without a cookie one would have been enough.
    await other.peerIs("a second initiation", ({ txBytes }) => txBytes >= 2 * INITIATION_BYTES);
    await flood.moreCookies(1);
  },
);
