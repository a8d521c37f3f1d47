import { assert, assertEquals } from "@std/assert";
import { writeFatal, writeText } from "../../../core/cli/output.ts";

Deno.test("writeText() writes all of it over partial writes", async () => {
  let text = "";
  const stream = {
    write: (bytes: Uint8Array) => {
      text += new TextDecoder().decode(bytes.subarray(0, 3));
      return Promise.resolve(Math.min(3, bytes.length));
    },
  };
  await writeText(stream, "hello world\n");
  assertEquals(text, "hello world\n");
  await writeFatal(stream, "a: b");
  assert(text.endsWith("Error: a: b\n"));
});

Deno.test("writeText() neither fails on a broken stream nor waits for a full one", async () => {
  await writeText({ write: () => Promise.reject(new Deno.errors.BrokenPipe("gone")) }, "x");
  await writeText({ write: () => new Promise<number>(() => {}) }, "x", { timeoutMs: 1 });
});
