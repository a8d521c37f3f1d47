/** Tests for the rig's own test: one passes, one fails, one is ignored. */
import { assertEquals } from "@std/assert";

Deno.test("one and one", () => assertEquals(1 + 1, 2));
Deno.test("fails on purpose", () => assertEquals(1 + 1, 3));
Deno.test({ name: "ignored # skip: on purpose", ignore: true, fn: () => {} });
