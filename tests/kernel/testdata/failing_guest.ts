/** Run in the guest by `rig_test.ts`: one test that passes, one that fails, one that is skipped. */
import { assertEquals } from "@std/assert";

Deno.test("one and one", () => assertEquals(1 + 1, 2));
Deno.test("fails on purpose", () => assertEquals(1 + 1, 3));
Deno.test({ name: "ignored # skip: on purpose", ignore: true, fn: () => {} });
