import { assertEquals, assertThrows } from "@std/assert";
import { CompletionPort } from "../../../ffi/windows/completion_port.ts";
import { win32OfStatus } from "../../../ffi/windows/ntstatus.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { PipeRig } from "../../support/windows/pipe_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

Deno.test("CompletionPort waits in one call however many operations pend, and in none when none do", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  assertEquals(rig.kernel.callsOf("GetQueuedCompletionStatusEx").length, 1);
  const pairs = [];
  for (let i = 0; i < 20; i++) pairs.push(await rig.connect(listener));
  const reads = pairs.map(({ server }) => server.read(new Uint8Array(1)));
  for (const { client } of pairs) await client.write(Uint8Array.of(1));
  assertEquals(await Promise.all(reads), pairs.map(() => 1));
  for (const { server, client } of pairs) for (const end of [server, client]) end.close();
  listener.close();
  await waitFor("no operation to be pending", () => rig.port.pendingCount === 0);
  const calls = rig.kernel.callsOf("GetQueuedCompletionStatusEx").length;
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(rig.kernel.callsOf("GetQueuedCompletionStatusEx").length, calls);
});

Deno.test("CompletionPort takes more packets than fit into one batch", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  const pairs = [];
  for (let i = 0; i < 100; i++) pairs.push(await rig.connect(listener));
  const reads = pairs.map(({ server }) => server.read(new Uint8Array(1)));
  await Promise.all(pairs.map(({ client }) => client.write(Uint8Array.of(1))));
  assertEquals((await Promise.all(reads)).length, 100);
  for (const { server, client } of pairs) for (const end of [server, client]) end.close();
  listener.close();
  await waitFor("no operation to be pending", () => rig.port.pendingCount === 0);
});

Deno.test("a packet of nobody is ignored", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  rig.kernel.postStray();
  const { server, client } = await rig.connect(listener);
  for (const one of [server, client, listener]) one.close();
});

Deno.test("a port that cannot be waited on fails what is pending, and what comes later", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  const { server, client } = await rig.connect(listener);
  rig.kernel.refuse("GetQueuedCompletionStatusEx", 6, 6);
  const reading = server.read(new Uint8Array(1));
  rig.kernel.postStray(); // the wait under way ends, and the next one fails
  let message = "";
  await reading.catch((error) => message = error.message);
  assertEquals(message, "read from the pipe: NtReadFile: 6 ERROR_INVALID_HANDLE, the handle is invalid");
  for (const one of [server, client, listener]) one.close();
});

Deno.test("a port that cannot be made is an error", () => {
  const rig = new PipeRig();
  rig.kernel.refuse("CreateIoCompletionPort", 1450);
  assertThrows(
    () => new CompletionPort({ kernel32: rig.kernel.api, ntdll: rig.kernel.ntdll }),
    Win32Error,
    "make a completion port",
  );
});

Deno.test("win32OfStatus() has the codes that pipes end with, and leaves others as they are", () => {
  const table = [[0, 0], [0xc000_014b, 109], [0xc000_00b1, 232], [0xc000_00b0, 233], [0xc000_0120, 995]];
  for (const [status, code] of table) assertEquals(win32OfStatus(status!), code);
  assertEquals(win32OfStatus(0xc000_0120 | 0), 995);
  assertEquals(win32OfStatus(0xc0ff_0001), 0xc0ff_0001);
});
