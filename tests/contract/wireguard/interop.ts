/**
 * What a device of ours and another implementation of WireGuard have to do together: one suite for the kernel's,
 * in the guest of the kernel rig, and for wireguard-go.
 *
 * A rekey takes the two minutes that the protocol says; two pairs spend them while the other scenarios run.
 */
import { assert } from "@std/assert";
import { LossCount } from "../../support/interop/loss_count.ts";
import { InteropPair, type MakeEnd } from "../../support/interop/pair.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import type { PeerState } from "../../support/interop/wireguard_end.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { needing } from "../../support/test_netns.ts";
import { CHANGES } from "./changes.ts";
import { LOAD } from "./load.ts";
import type { Scenario } from "./scenarios.ts";
import { SESSIONS } from "./sessions.ts";
import { TRAFFIC } from "./traffic.ts";

/** What has to be installed. */
const PROGRAMS = ["ip", "ping", "wg", "iperf3", "busybox", "ss"] as const;

/** A rekey is due after 120 s; on an emulated processor it may take its time. */
const REKEY_TIMEOUT_MS = 200_000;

/** An initiator that only receives renews at 165 s; these send, and do so before. */
const RENEWED_BY_SECONDS = 150;

/** Answers to wait for after a rekey, while the old session and the new one overlap: a second's. */
const ANSWERS_AFTER_REKEY = 50;

/** What the suite needs to know of the other implementation. */
export interface Interop {
  readonly name: string;
  readonly programs: readonly string[];
  readonly make: MakeEnd;
  /** Scenarios besides those of all, run last. */
  readonly more?: readonly Scenario[];
}

/** Defines the suite for an implementation. */
export function wireguardInterop({ name, programs, make, more = [] }: Interop): void {
  Deno.test({
    ...needing([...PROGRAMS, ...programs], `a device of ours and ${name}`),
    fn: async (t) => {
      await using _audit = await LeakAudit.begin();
      await using stack = new AsyncDisposableStack();
      const pairs = [];
      for (let i = 0; i < 3; i++) pairs.push(stack.use(await InteropPair.start(make)));
      const [pair, ...rekeyed] = pairs as [InteropPair, InteropPair, InteropPair];
      const rekeys = (["ours", "theirs"] as const).map((side, i) => ({
        name: `${side} renews the session under traffic, and no packet is lost`,
        done: loseNothingAtRekey(rekeyed[i]!, side),
      }));
      // A failure is told by the step that waits for it.
      for (const { done } of rekeys) done.catch(() => {});
      for (const scenario of [...SESSIONS, ...TRAFFIC, ...CHANGES, ...LOAD]) {
        await t.step(scenario.name, () => scenario.run(pair));
      }
      for (const rekey of rekeys) await t.step(rekey.name, () => rekey.done);
      for (const scenario of more) await t.step(scenario.name, () => scenario.run(pair));
    },
  });
}

/** Pings, 50 a second, from the first session of `initiator` until well into the second. */
async function loseNothingAtRekey(pair: InteropPair, initiator: "ours" | "theirs"): Promise<void> {
  const [from, to] = [pair[initiator], pair.other(pair[initiator])];
  await pair.relate({ knower: initiator });
  await pair.reach(from);
  await using ping = await RunningPing.start(from.host, to.addresses[0]);
  const losses = await LossCount.begin(ping);
  const { latestHandshake } = await to.peer();
  const renewed = (peer: PeerState): boolean => peer.latestHandshake > latestHandshake + 60;
  const after = await to.peerIs("a renewed session", renewed, { timeoutMs: REKEY_TIMEOUT_MS });
  const age = after.latestHandshake - latestHandshake;
  assert(age < RENEWED_BY_SECONDS, `the session was renewed after ${age} s`);
  await ping.answeredMore(ANSWERS_AFTER_REKEY, { timeoutMs: 60_000 });
  await losses.assertNone();
}
