import { assertEquals } from "@std/assert";
import { compareUtf8 } from "../../core/utf8_order.ts";
import { seededTest } from "../support/seeded_random.ts";

seededTest("compareUtf8() orders as the bytes do", (random) => {
  const encoder = new TextEncoder();
  for (let i = 0; i < 3000; i++) {
    const [a, b] = [random.text(5, "ab～🦀🐙\u{10ffff}é"), random.text(5, "ab～🦀🐙\u{10ffff}é")];
    const [x, y] = [encoder.encode(a), encoder.encode(b)];
    const at = x.findIndex((byte, index) => byte !== y[index]);
    const want = at < 0 ? x.length - y.length : at >= y.length ? 1 : x[at]! - y[at]!;
    assertEquals(Math.sign(compareUtf8(a, b)), Math.sign(want), JSON.stringify([a, b]));
  }
});
