/** Section 6 of the paper, event by event. */
import { assertEquals } from "@std/assert";
import { jitterSource } from "../../../core/wireguard/jitter.ts";
import { PeerTimers } from "../../../core/wireguard/timers.ts";

const JITTER = 100;

function rig(): { timers: PeerTimers; wakeUps: number[] } {
  const wakeUps: number[] = [];
  const timers = new PeerTimers({ jitterMs: () => JITTER, wakeAt: (deadline) => wakeUps.push(deadline) });
  return { timers, wakeUps };
}

Deno.test("PeerTimers is silent until something happens", () => {
  const { timers } = rig();
  assertEquals(timers.deadline, Infinity);
  assertEquals(timers.takeDue(1e12), []);
});

Deno.test("PeerTimers retries a handshake after 5 s and jitter, and gives up after 90 s", () => {
  const { timers, wakeUps } = rig();
  timers.handshakeWanted(1_000);
  timers.handshakeInitiated(1_000);
  assertEquals(wakeUps, [6_100]);
  assertEquals(timers.takeDue(6_099), []);
  assertEquals(timers.takeDue(6_100), ["retransmitHandshake"]);
  timers.handshakeInitiated(90_999 - 5_100);
  assertEquals(timers.takeDue(90_999), ["retransmitHandshake"]);
  timers.handshakeInitiated(90_999);
  timers.dataReceived(90_999);
  assertEquals(timers.takeDue(96_099), ["giveUpHandshake"]);
  assertEquals(timers.deadline, 96_099 + 540_000, "keys are zeroed, and no keepalive is owed");
});

Deno.test("PeerTimers counts the 90 s anew when a handshake is wanted again", () => {
  const { timers } = rig();
  timers.handshakeWanted(0);
  timers.handshakeInitiated(88_000);
  timers.handshakeWanted(90_000);
  assertEquals(timers.takeDue(93_100), ["retransmitHandshake"]);
});

Deno.test("PeerTimers does not retry when the handshake is complete", () => {
  const { timers } = rig();
  timers.handshakeInitiated(0);
  timers.handshakeComplete();
  assertEquals(timers.deadline, Infinity);
});

Deno.test("PeerTimers owes a keepalive 10 s after the first data, unless something is sent", () => {
  const { timers, wakeUps } = rig();
  timers.dataReceived(1_000);
  timers.dataReceived(5_000);
  assertEquals(wakeUps, [11_000]);
  assertEquals(timers.takeDue(11_000), ["keepalive"]);
  assertEquals(timers.deadline, Infinity);
  timers.dataReceived(20_000);
  timers.anySent(21_000);
  assertEquals(timers.deadline, Infinity);
});

Deno.test("PeerTimers wants a handshake 15 s and jitter after the first data nothing came back for", () => {
  const { timers, wakeUps } = rig();
  timers.dataSent(1_000);
  timers.dataSent(9_000);
  assertEquals(wakeUps, [16_100]);
  timers.anyReceived(10_000);
  assertEquals(timers.deadline, Infinity);
  timers.dataSent(20_000);
  assertEquals(timers.takeDue(35_100), ["newHandshake"]);
});

Deno.test("PeerTimers zeroes keys 540 s after the last session", () => {
  const { timers } = rig();
  timers.sessionDerived(0);
  timers.sessionDerived(1_000);
  assertEquals(timers.takeDue(540_999), []);
  assertEquals(timers.takeDue(541_000), ["zeroKeys"]);
});

Deno.test("PeerTimers counts persistent keepalives from the last message in either direction", () => {
  const { timers, wakeUps } = rig();
  timers.setPersistentKeepalive(25, 0);
  timers.anySent(10_000);
  timers.anyReceived(20_000);
  assertEquals(wakeUps, [25_000], "only the first wake-up, the others move away");
  assertEquals(timers.takeDue(44_999), []);
  assertEquals(timers.takeDue(45_000), ["persistentKeepalive"]);
  assertEquals(timers.deadline, 70_000, "armed again, though nothing may have been sent");
  timers.clear();
  assertEquals(timers.deadline, 70_000);
  timers.setPersistentKeepalive(0, 50_000);
  assertEquals(timers.deadline, Infinity);
});

Deno.test("PeerTimers takes several actions at once in a fixed order", () => {
  const { timers } = rig();
  timers.setPersistentKeepalive(1, 0);
  timers.sessionDerived(0);
  timers.dataSent(0);
  timers.dataReceived(0);
  timers.handshakeInitiated(0);
  timers.handshakeWanted(600_000);
  assertEquals(timers.takeDue(600_000), [
    "retransmitHandshake",
    "keepalive",
    "newHandshake",
    "zeroKeys",
    "persistentKeepalive",
  ]);
});

Deno.test("jitterSource() stays within 0 and 333 ms, reaches both, and depends on its seed", () => {
  for (const seed of [0, 1, 0xffff_ffff]) {
    const jitter = jitterSource(seed);
    const values = new Set(Array.from({ length: 20_000 }, jitter));
    assertEquals([Math.min(...values), Math.max(...values)], [0, 333]);
  }
  const of = (seed: number): number[] => Array.from({ length: 8 }, jitterSource(seed));
  assertEquals(of(7), of(7));
  assertEquals(of(7).join() === of(8).join(), false);
});
