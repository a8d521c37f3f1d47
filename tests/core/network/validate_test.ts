import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { InvalidConfigError } from "../../../core/errors.ts";
import {
  checkDeployment,
  checkDnsName,
  checkHandleId,
  checkInstanceId,
  checkInterfaceName,
  checkServiceName,
} from "../../../core/network/validate.ts";
import { type SeededRandom, seededTest } from "../../support/seeded_random.ts";

const BAD_NAMES: { name: string; value: string; says: string }[] = [
  { name: "slash", value: "a/b", says: 'service "a/b" contains "/": choose another name' },
  { name: "colon", value: "a:b", says: 'contains ":"' },
  { name: "NUL", value: "a\0b", says: 'service "a\\u{0}b" contains a control character' },
  { name: "newline", value: "a\nb", says: "control character" },
  { name: "DEL", value: "a\x7f", says: "control character" },
  { name: "C1 control", value: "a\x85", says: "control character" },
  { name: "escape sequence", value: "\x1b[2J", says: '"\\u{1b}[2J"' },
  { name: "space", value: "a b", says: "white space" },
  { name: "no-break space", value: "a\u{a0}b", says: "white space" },
  { name: "ideographic space", value: "a\u{3000}", says: "white space" },
  { name: "lone high surrogate", value: "a\ud800", says: '"a\\u{d800}" is not well-formed Unicode' },
  { name: "lone low surrogate", value: "\udc00a", says: "not well-formed Unicode" },
  { name: "dot", value: ".", says: "path component" },
  { name: "dot dot", value: "..", says: "path component" },
];

Deno.test("checkServiceName() refuses what would break paths, terminals or interface names", async (t) => {
  for (const { name, value, says } of BAD_NAMES) {
    await t.step(name, () => {
      assertThrows(() => checkServiceName(value), InvalidConfigError, says);
      assertThrows(() => checkDeployment(value), InvalidConfigError);
      assertThrows(() => checkInstanceId(value), InvalidConfigError);
    });
  }
});

Deno.test("checkServiceName() takes 1 to 113 bytes", () => {
  assertThrows(() => checkServiceName(""), InvalidConfigError, 'service "" is empty: send a name');
  assertEquals(checkServiceName("a"), "a");
  assertEquals(checkServiceName("é".repeat(56)), "é".repeat(56));
  assertThrows(
    () => checkServiceName("é".repeat(57)),
    InvalidConfigError,
    "has 114 bytes: use at most 113",
  );
});

Deno.test("checkDeployment() and checkInstanceId() take 0 to 100 bytes and name their field", () => {
  assertEquals(checkDeployment(""), "");
  assertEquals(checkInstanceId("x".repeat(100)), "x".repeat(100));
  assertThrows(() => checkDeployment("x".repeat(101)), InvalidConfigError, "deployment ");
  assertThrows(() => checkInstanceId("x".repeat(101)), InvalidConfigError, "instance_id ");
});

Deno.test("checkHandleId() takes 1 to 255 bytes", () => {
  assertEquals(checkHandleId("id", "vm-1"), "vm-1");
  assertThrows(() => checkHandleId("container_id", ""), InvalidConfigError, 'container_id "" is empty');
  assertThrows(() => checkHandleId("id", "x".repeat(256)), InvalidConfigError, "256 bytes");
});

Deno.test("names are Unicode", () => {
  for (const value of ["wéb", "網", "🦀", "à", "a%d", "Überdienst_2.x", "...", "-"]) {
    assertEquals(checkServiceName(value), value);
  }
});

Deno.test("a name of 10 KB is cut in the message", () => {
  const error = assertThrows(() => checkServiceName("x".repeat(10240)), InvalidConfigError, "(10240 bytes)");
  assertLess(error.message.length, 200);
});

seededTest(
  "checkServiceName() either returns its argument or throws a short InvalidConfigError",
  (random) => {
    for (let i = 0; i < 5000; i++) {
      const value = randomUtf16(random, 150);
      try {
        assertEquals(checkServiceName(value), value);
        assert(value.isWellFormed() && !/[\s/:\p{Cc}]/u.test(value), JSON.stringify(value));
      } catch (error) {
        if (!(error instanceof InvalidConfigError)) throw error;
        assertLess(error.message.length, 700);
        assert(!/\p{Cc}/u.test(error.message), JSON.stringify(error.message));
      }
    }
  },
);

function randomUtf16(random: SeededRandom, maxLength: number): string {
  const units = Array.from(
    { length: random.below(maxLength) },
    () => random.below(3) ? 0x61 + random.below(26) : random.below(0x10000),
  );
  return String.fromCharCode(...units);
}

Deno.test("checkDnsName() takes labels of 1 to 63 bytes, 253 in all", () => {
  for (const name of ["web", "web.overlay.local", "web.", "*.svc", "x".repeat(63), "wéb"]) {
    assertEquals(checkDnsName("name", name), name);
  }
  const bad = [
    { name: "", says: "empty label" },
    { name: ".", says: "empty label" },
    { name: "a..b", says: "empty label" },
    { name: ".a", says: "empty label" },
    { name: "x".repeat(64), says: "a label of 64 bytes" },
    { name: Array(5).fill("x".repeat(60)).join("."), says: "has 304 bytes" },
    { name: "a b", says: "white space" },
    { name: "a\0", says: "control character" },
  ];
  for (const { name, says } of bad) assertThrows(() => checkDnsName("name", name), InvalidConfigError, says);
});

Deno.test("checkInterfaceName() knows what the kernel takes", () => {
  for (const name of ["eth0", "zl-dep-i0-web-b", "zté", "zl---web-b"]) {
    assertEquals(checkInterfaceName(name), name);
  }
  const bad = [
    { name: "", says: "is empty" },
    { name: "sixteen-bytes-xx", says: "has 16 bytes" },
    { name: "zt/a", says: '"/"' },
    { name: "zt:a", says: '":"' },
    { name: "zt a", says: "white space" },
    { name: "ztà", says: "0xa0" }, // c3 a0
    { name: "ztР", says: "0xa0" }, // Cyrillic er, d0 a0
    { name: "zt%d", says: "template" },
    { name: "..", says: "path component" },
  ];
  for (const { name, says } of bad) {
    assertThrows(() => checkInterfaceName(name), InvalidConfigError, says, JSON.stringify(name));
  }
});
