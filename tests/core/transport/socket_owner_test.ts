import { assertEquals } from "@std/assert";
import { type Log, SILENT_LOG } from "../../../core/log.ts";
import { socketGroupId } from "../../../core/transport/socket_owner.ts";

Deno.test("socketGroupId() is best effort [daemon 22]", async () => {
  const lines: string[] = [];
  const log: Log = { ...SILENT_LOG, debug: (message) => void lines.push(message) };
  assertEquals(await socketGroupId(log, () => Promise.resolve(990)), 990);
  assertEquals(lines, []);
  assertEquals(await socketGroupId(log, () => Promise.resolve(undefined)), undefined);
  assertEquals(await socketGroupId(log, () => Promise.reject(new Error("no glibc"))), undefined);
  assertEquals(lines, [
    "no such group: the socket is its owner's alone",
    "cannot look up the socket's group",
  ]);
});
