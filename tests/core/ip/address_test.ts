import { assertEquals, assertThrows } from "@std/assert";
import { formatIp, ipAdd, ipFromBytes, ipToBytes, parseIp } from "../../../core/ip/address.ts";

const VALID: { input: string; want: string }[] = [
  { input: "10.200.0.5", want: "10.200.0.5" },
  { input: "255.255.255.255", want: "255.255.255.255" },
  { input: "fd00::5", want: "fd00::5" },
  { input: "FD00:0:0:0:0:0:0:0005", want: "fd00::5" },
  { input: "::", want: "::" },
  { input: "::1", want: "::1" },
  { input: "1::", want: "1::" },
  { input: "2001:db8:0:1:1:1:1:1", want: "2001:db8:0:1:1:1:1:1" }, // RFC 5952 §4.2.2: one group stays
  { input: "2001:0:0:1:0:0:0:1", want: "2001:0:0:1::1" }, // the longest run
  { input: "2001:db8:0:0:1:0:0:1", want: "2001:db8::1:0:0:1" }, // the first of equals
  { input: "::ffff:192.0.2.1", want: "::ffff:192.0.2.1" },
  { input: "64:ff9b::192.0.2.1", want: "64:ff9b::c000:201" },
];

const INVALID = [
  "",
  "1.2.3",
  "1.2.3.4.5",
  "01.2.3.4",
  "1.2.3.256",
  " 1.2.3.4",
  "1.2.3.4 ",
  "1.2.3.-4",
  "0x1.2.3.4",
  ":",
  ":::",
  "1:2",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7::8",
  "::1::",
  "12345::",
  "g::",
  "fe80::1%eth0",
  "1.2.3.4::",
  "::1.2.3",
  "1:2:3:4:5:6:7:1.2.3.4",
  "[::1]",
  ":1::",
  "1::2:",
];

Deno.test("parseIp() and formatIp() agree with RFC 4291 and RFC 5952", () => {
  for (const { input, want } of VALID) {
    const ip = parseIp(input);
    assertEquals(ip && formatIp(ip), want, input);
    assertEquals(ipFromBytes(ipToBytes(ip!)), ip!, input);
  }
});

Deno.test("parseIp() refuses what is not an address", () => {
  for (const input of INVALID) assertEquals(parseIp(input), undefined, JSON.stringify(input));
});

Deno.test("ipFromBytes() takes 4 or 16 bytes", () => {
  assertThrows(() => ipFromBytes(new Uint8Array(5)), RangeError, "got 5");
});

Deno.test("ipAdd() wraps in the width of the family", () => {
  assertEquals(formatIp(ipAdd(parseIp("255.255.255.255")!, 1n)), "0.0.0.0");
  assertEquals(formatIp(ipAdd(parseIp("fd00::ffff")!, 1n)), "fd00::1:0");
  assertEquals(formatIp(ipAdd(parseIp("10.0.1.0")!, -1n)), "10.0.0.255");
});
