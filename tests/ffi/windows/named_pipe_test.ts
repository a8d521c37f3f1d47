import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FfiError } from "../../../ffi/errors.ts";
import type { NamedPipe } from "../../../ffi/windows/named_pipe.ts";
import { openPipe, pipeExists } from "../../../ffi/windows/pipe_client.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { STATUS } from "../../support/windows/fake_pipe_end.ts";
import { PIPE, PipeRig } from "../../support/windows/pipe_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

/** Runs with a connection; nothing may be left of it. */
async function withPair(
  body: (pair: { rig: PipeRig; server: NamedPipe; client: NamedPipe }) => Promise<void>,
): Promise<void> {
  const rig = new PipeRig();
  const listener = rig.listen();
  const pair = await rig.connect(listener);
  await body({ rig, ...pair });
  for (const one of [pair.server, pair.client, listener]) one.close();
  assertEquals(rig.kernel.openHandles, 0);
  await waitFor("no operation to be pending", () => rig.port.pendingCount === 0);
}

/** Fills the pipe until a write has to wait. */
async function fill(rig: PipeRig, pipe: NamedPipe): Promise<{ last: Promise<number>; sent: number }> {
  const idle = rig.port.pendingCount;
  for (let sent = 0;;) {
    const last = pipe.write(new Uint8Array(60_000));
    sent += 60_000;
    if (rig.port.pendingCount > idle) return { last, sent };
    await last;
  }
}

Deno.test("NamedPipe carries bytes both ways, whoever is first", () =>
  withPair(async ({ server, client }) => {
    const into = new Uint8Array(10);
    const reading = server.read(into); // pends
    assertEquals(await client.write(Uint8Array.of(1, 2, 3)), 3);
    assertEquals(await reading, 3);
    assertEquals([...into.subarray(0, 3)], [1, 2, 3]);
    assertEquals(await server.write(Uint8Array.of(4, 5)), 2);
    assertEquals(await client.read(into.subarray(0, 1)), 1); // there already, and more than there is room for
    assertEquals(await client.read(into.subarray(1)), 1);
    assertEquals([...into.subarray(0, 2)], [4, 5]);
  }));

Deno.test("read() and write() of nothing do nothing", () =>
  withPair(async ({ rig, client }) => {
    assertEquals([await client.read(new Uint8Array(0)), await client.write(new Uint8Array(0))], [0, 0]);
    assertEquals(rig.kernel.callsOf("NtReadFile").length + rig.kernel.callsOf("NtWriteFile").length, 0);
  }));

Deno.test("write() takes 64 KiB at most", () =>
  withPair(async ({ server, client }) => {
    const writing = client.write(new Uint8Array(1_000_000));
    assertEquals(await server.read(new Uint8Array(100_000)), 65_536);
    assertEquals(await writing, 65_536);
  }));

Deno.test("a write of nothing by the other end is no end of the stream", () =>
  withPair(async ({ rig, server, client }) => {
    await client.write(Uint8Array.of(1));
    const handle = rig.kernel.callsOf("NtWriteFile")[0]!.args[0] as bigint;
    assertEquals(await server.read(new Uint8Array(10)), 1);
    const reading = server.read(new Uint8Array(10));
    // Our end does not do this, other programs may.
    assertEquals((await rig.port.write(handle, new Uint8Array(0))).code, 0);
    await client.write(Uint8Array.of(7, 7));
    assertEquals(await reading, 2);
  }));

Deno.test("read() gives what is left, then the end, when the other end is closed: ERROR_BROKEN_PIPE", () =>
  withPair(async ({ server, client }) => {
    await server.write(Uint8Array.of(1, 2));
    server.close();
    const into = new Uint8Array(10);
    assertEquals([await client.read(into), await client.read(into)], [2, null]);
    const error = await assertRejects(() => client.write(into), Win32Error, "NtWriteFile: 232 ERROR_NO_DATA");
    assertEquals(error.code, 232);
  }));

Deno.test("a pending read ends when the other end is closed, a pending write fails", () =>
  withPair(async ({ rig, server, client }) => {
    const reading = client.read(new Uint8Array(10));
    const { last } = await fill(rig, client);
    const failing = assertRejects(() => last, Win32Error, "NtWriteFile: 232");
    server.close();
    assertEquals(await reading, null);
    await failing;
  }));

Deno.test("read() takes a server that disconnected for the end: ERROR_PIPE_NOT_CONNECTED", () =>
  withPair(async ({ rig, client }) => {
    rig.kernel.refuse("NtReadFile", STATUS.pipeDisconnected);
    assertEquals(await client.read(new Uint8Array(1)), null);
  }));

Deno.test("an error that nobody expects is thrown with function, code and name", () =>
  withPair(async ({ rig, client }) => {
    rig.kernel.refuse("NtReadFile", 0xc000_009a);
    rig.kernel.refuse("NtWriteFile", 0xc000_4321);
    await assertRejects(() => client.read(new Uint8Array(1)), Win32Error, "NtReadFile: 1450 ERROR_NO_SYSTEM");
    await assertRejects(() => client.write(new Uint8Array(1)), Win32Error, "NtWriteFile: error 3221242657");
  }));

Deno.test("a client that never reads makes a write wait, and nothing else; reading releases it", () =>
  withPair(async ({ rig, server, client }) => {
    const { last, sent } = await fill(rig, server);
    assert(sent <= 180_000, `${sent} bytes are in a pipe of 64 KiB`);
    await client.write(Uint8Array.of(1));
    assertEquals(await server.read(new Uint8Array(1)), 1);
    for (let received = 0; received < sent;) received += (await client.read(new Uint8Array(100_000)))!;
    assertEquals(await last, 60_000);
  }));

Deno.test("close() ends what is pending: ERROR_OPERATION_ABORTED, and twice is once", () =>
  withPair(async ({ rig, server }) => {
    const reading = assertRejects(
      () => server.read(new Uint8Array(1)),
      Win32Error,
      "995 ERROR_OPERATION_ABORTED",
    );
    const { last } = await fill(rig, server);
    const writing = assertRejects(() => last, Win32Error, "995 ERROR_OPERATION_ABORTED");
    server.close();
    server.close();
    await Promise.all([reading, writing]);
    await assertRejects(() => server.read(new Uint8Array(1)), FfiError, "the pipe is closed");
    await assertRejects(() => server.write(new Uint8Array(1)), FfiError, "the pipe is closed");
    assertEquals(server.clientProcessId(), undefined);
  }));

Deno.test("clientProcessId() is what Windows says, if it does", () =>
  withPair(({ rig, server }) => {
    assertEquals(server.clientProcessId(), 4711);
    rig.kernel.refuse("GetNamedPipeClientProcessId", 1);
    assertEquals(server.clientProcessId(), undefined);
    return Promise.resolve();
  }));

Deno.test("a client that always has more to say does not keep the thread to itself", () =>
  withPair(async ({ server, client }) => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const into = new Uint8Array(1);
    for (let i = 0; i < 2000; i++) {
      await client.write(Uint8Array.of(1)); // done at once
      await server.read(into); // done at once
    }
    clearInterval(timer);
    assert(turns >= 10, `${turns} turns of the event loop in 4,000 operations`);
  }));

Deno.test("openPipe() opens for reading and writing, and lets the server identify us only", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  const client = await rig.open();
  const [, access, share, security, disposition, flags, template] =
    rig.kernel.callsOf("CreateFileW")[0]!.args;
  assertEquals([access, share, security, disposition, template], [0xc000_0000, 0, null, 3, 0n]);
  // FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION
  assertEquals(flags, 0x4011_0000);
  client.close();
  listener.close();
});

Deno.test("openPipe() waits for a busy server: ERROR_PIPE_BUSY", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  rig.kernel.refuse("CreateFileW", 231, 231, 231);
  (await rig.open()).close();
  assertEquals(rig.kernel.callsOf("CreateFileW").length, 4);
  rig.kernel.refuse("CreateFileW", ...Array.from({ length: 100 }, () => 231));
  await assertRejects(() => openPipe(PIPE, rig.deps, { busyMs: 20 }), Win32Error, "231 ERROR_PIPE_BUSY");
  listener.close();
});

Deno.test("openPipe() tells at once what waiting does not mend", async () => {
  const rig = new PipeRig();
  await assertRejects(() => rig.open(), Win32Error, `open ${PIPE}: CreateFile: 2 ERROR_FILE_NOT_FOUND`);
  rig.kernel.refuse("CreateFileW", 5);
  await assertRejects(() => rig.open(), Win32Error, "5 ERROR_ACCESS_DENIED");
  const listener = rig.listen();
  rig.kernel.refuse("CreateIoCompletionPort", 87);
  await assertRejects(() => rig.open(), Win32Error, "CreateIoCompletionPort: 87");
  listener.close();
  assertEquals(rig.kernel.openHandles, 0);
});

Deno.test("pipeExists() connects to nothing", () => {
  const rig = new PipeRig();
  assertEquals(pipeExists(PIPE, rig.kernel.api), false);
  const listener = rig.listen();
  assertEquals(pipeExists(PIPE, rig.kernel.api), true);
  rig.kernel.refuse("WaitNamedPipeW", 121); // all instances are busy
  assertEquals(pipeExists(PIPE, rig.kernel.api), true);
  assertEquals(rig.kernel.callsOf("CreateFileW").length, 0);
  listener.close();
  assertThrows(() => rig.kernel.api.GetLastError(), Error, "must directly follow");
});
