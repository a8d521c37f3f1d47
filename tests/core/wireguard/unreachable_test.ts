import { assert, assertEquals } from "@std/assert";
import { fold, sumPseudoHeader, sumWords } from "../../../core/transport/wireguard/checksum.ts";
import { QUOTED_BYTES, unreachable, UnreachableAnswers } from "../../../core/wireguard/unreachable.ts";
import { echoRequest } from "../../support/icmp.ts";
import { seededTest } from "../../support/seeded_random.ts";

const V4 = echoRequest("10.0.0.1", "10.99.0.1", { sequence: 1 });
const V6 = echoRequest("fd00::1", "fd99::1", { sequence: 1 });

/** A copy with some bytes changed. */
function changed(packet: Uint8Array, changes: Readonly<Record<number, number>>): Uint8Array {
  const copy = Uint8Array.from(packet);
  for (const [at, byte] of Object.entries(changes)) copy[Number(at)] = byte;
  return copy;
}

Deno.test("unreachable() answers IPv4 by host unreachable, from the destination to the source", () => {
  const answer = unreachable(V4)!;
  const view = new DataView(answer.buffer);
  assertEquals([...answer.subarray(0, 2)], [0x45, 0]);
  assertEquals(view.getUint16(2), 20 + 8 + V4.length);
  assertEquals([...answer.subarray(8, 10)], [64, 1], "hop limit, ICMP");
  assertEquals([...answer.subarray(12, 20)], [10, 99, 0, 1, 10, 0, 0, 1]);
  assertEquals(sumWords(view, 0, 20), 0xffff, "checksum of the header");
  assertEquals([...answer.subarray(20, 22)], [3, 1], "host unreachable");
  assertEquals(sumWords(view, 20, answer.length - 20), 0xffff, "checksum of the message");
  assertEquals(answer.subarray(28), V4);
});

Deno.test("unreachable() answers IPv6 by address unreachable, from the destination to the source", () => {
  const answer = unreachable(V6)!;
  const view = new DataView(answer.buffer);
  assertEquals(view.getUint16(4), 8 + V6.length);
  assertEquals([answer[0], answer[6], answer[7]], [0x60, 58, 64]);
  assertEquals(answer.subarray(8, 24), V6.subarray(24, 40));
  assertEquals(answer.subarray(24, 40), V6.subarray(8, 24));
  assertEquals([...answer.subarray(40, 42)], [1, 3], "address unreachable");
  const length = answer.length - 40;
  const pseudo = sumPseudoHeader(view, 0, { version: 6, protocol: 58, length });
  assertEquals(fold(pseudo + sumWords(view, 40, length)), 0xffff, "checksum");
  assertEquals(answer.subarray(48), V6);
});

Deno.test("unreachable() quotes no more than every host takes", () => {
  const options = { sequence: 1, payloadBytes: 1400 };
  assertEquals(unreachable(echoRequest("10.0.0.1", "10.99.0.1", options))!.length, 576);
  const long = echoRequest("fd00::1", "fd99::1", options);
  assertEquals(unreachable(long)!.length, 1280);
  assertEquals(unreachable(long.subarray(0, QUOTED_BYTES)), unreachable(long), "a start is enough");
});

Deno.test("unreachable() leaves alone what must not be answered", async (t) => {
  const rows = [
    { name: "no IP", packet: new Uint8Array(60) },
    { name: "IPv4 cut short", packet: V4.subarray(0, 27) },
    { name: "IPv6 cut short", packet: V6.subarray(0, 47) },
    { name: "an ICMP error", packet: changed(V4, { 20: 3 }) },
    { name: "a fragment behind the first", packet: changed(V4, { 7: 1 }) },
    { name: "from nowhere, IPv4", packet: changed(V4, { 12: 0 }) },
    { name: "from a loopback address", packet: changed(V4, { 12: 127 }) },
    { name: "from a multicast address, IPv4", packet: changed(V4, { 12: 224 }) },
    { name: "to a multicast address, IPv4", packet: changed(V4, { 16: 239 }) },
    { name: "to broadcast", packet: changed(V4, { 16: 255, 17: 255, 18: 255, 19: 255 }) },
    { name: "an ICMPv6 error", packet: changed(V6, { 40: 1 }) },
    { name: "a redirect", packet: changed(V6, { 40: 137 }) },
    { name: "an extension header", packet: changed(V6, { 6: 0 }) },
    { name: "from a multicast address, IPv6", packet: changed(V6, { 8: 0xff }) },
    { name: "to a multicast address, IPv6", packet: changed(V6, { 24: 0xff }) },
    { name: "from nowhere, IPv6", packet: echoRequest("::", "fd99::1", { sequence: 1 }) },
  ];
  for (const { name, packet } of rows) {
    await t.step(name, () => assertEquals(unreachable(packet), undefined));
  }
});

Deno.test("UnreachableAnswers gives 100 in a second", () => {
  const answers = new UnreachableAnswers();
  const count = (now: number): number =>
    Array.from({ length: 150 }, () => answers.answer(V4, now)).filter((one) => one !== undefined).length;
  assertEquals([count(5000), count(5999), count(6000)], [100, 0, 100]);
});

seededTest("unreachable() takes any bytes", (random) => {
  for (let i = 0; i < 2000; i++) {
    const packet = random.bytes(random.below(100));
    if (packet.length > 0) packet[0] = random.pick([0x45, 0x46, 0x60]);
    const answer = unreachable(packet);
    assert(answer === undefined || answer.length <= 28 + 20 + packet.length);
  }
});
