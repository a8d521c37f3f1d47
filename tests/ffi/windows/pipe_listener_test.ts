import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { NamedPipe } from "../../../ffi/windows/named_pipe.ts";
import { PipeListener, type PipeListenerDeps, SPARE_INSTANCES } from "../../../ffi/windows/pipe_listener.ts";
import { encodeWide } from "../../../ffi/windows/wide_string.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { DESCRIPTOR } from "../../support/windows/fake_advapi32.ts";
import { wide } from "../../support/windows/fake_kernel32.ts";
import { PIPE, PipeRig, SDDL } from "../../support/windows/pipe_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

const NO_SYSTEM_RESOURCES = 1450;

Deno.test("PipeListener creates duplex byte pipes of this computer, the first one as the first", () => {
  const rig = new PipeRig();
  rig.listen().close();
  const calls = rig.kernel.callsOf("CreateNamedPipeW").map(({ args }) => args);
  assertEquals(calls.length, SPARE_INSTANCES);
  for (const [i, [name, openMode, pipeMode, instances, outBytes, inBytes, timeoutMs]] of calls.entries()) {
    assertEquals(wide(name), PIPE);
    // PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, and FILE_FLAG_FIRST_PIPE_INSTANCE for the one that claims the name
    assertEquals(openMode, i === 0 ? 0x4008_0003 : 0x4000_0003);
    assertEquals(pipeMode, 8); // PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS
    assertEquals([instances, outBytes, inBytes, timeoutMs], [255, 65536, 65536, 0]);
  }
});

Deno.test("PipeListener gives every instance the security descriptor, and frees it once", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  const { server, client } = await rig.connect(listener);
  assertEquals(rig.advapi.descriptors, [SDDL]);
  const calls = rig.kernel.callsOf("CreateNamedPipeW");
  assertEquals(calls.length, SPARE_INSTANCES + 1);
  for (const { args } of calls) {
    const attributes = args[7] as Uint8Array<ArrayBuffer>;
    const view = new DataView(attributes.buffer);
    assertEquals(attributes.length, 24);
    assertEquals([view.getUint32(0, true), view.getBigUint64(8, true), view.getInt32(16, true)], [
      24,
      DESCRIPTOR,
      0, // not inherited
    ]);
  }
  assertEquals(rig.kernel.freed, 0);
  for (const one of [server, client, listener, listener]) one.close();
  assertEquals(rig.kernel.freed, 1);
});

Deno.test("[windows T93] a second listener on the name is refused: ERROR_ACCESS_DENIED, and frees its descriptor", () => {
  const rig = new PipeRig();
  const first = rig.listen();
  const error = assertThrows(() => rig.listen(), Win32Error, "CreateNamedPipe: 5 ERROR_ACCESS_DENIED");
  assertEquals(error.code, 5);
  assertEquals(rig.kernel.freed, 1);
  first.close();
  rig.listen().close();
});

Deno.test("PipeListener always has instances that wait, and closes all of them", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  assertEquals(rig.kernel.waiting(PIPE), SPARE_INSTANCES);
  const pairs = [];
  for (let i = 1; i <= 100; i++) {
    pairs.push(await rig.connect(listener));
    assertEquals(rig.kernel.waiting(PIPE), SPARE_INSTANCES);
  }
  listener.close();
  assertEquals(rig.kernel.waiting(PIPE), 0);
  for (const { server, client } of pairs) {
    const greeting = new TextEncoder().encode("still here");
    const into = new Uint8Array(100);
    await server.write(greeting);
    assertEquals(await client.read(into), greeting.length);
    server.close();
    client.close();
  }
  assertEquals(rig.kernel.openHandles, 0);
  await waitFor("no operation to be pending", () => rig.port.pendingCount === 0);
});

Deno.test("accept() gives clients in the order they came, whoever waits first", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  const early = await rig.open();
  await waitFor(
    "the client to be noticed",
    () => rig.kernel.callsOf("CreateNamedPipeW").length > SPARE_INSTANCES,
  );
  const server = await listener.accept();
  const accepting = [listener.accept(), listener.accept()];
  const late = [await rig.open(), await rig.open()];
  const all = [server, ...await Promise.all(accepting)];
  for (const [i, client] of [early, ...late].entries()) {
    await client.write(Uint8Array.of(i));
    const into = new Uint8Array(1);
    await all[i]!.read(into);
    assertEquals(into[0], i);
  }
  for (const one of [...all, early, ...late, listener]) one.close();
});

/** Deps of a rig in which clients are quicker than ConnectNamedPipe, for the first instances. */
function quickClients(rig: PipeRig, count: number, come: () => void): PipeListenerDeps {
  const { CreateNamedPipeW } = rig.deps.kernel32;
  const create = (...args: Parameters<typeof CreateNamedPipeW>): bigint => {
    const handle = CreateNamedPipeW(...args);
    if (count-- > 0) come();
    return handle;
  };
  return { ...rig.deps, kernel32: { ...rig.deps.kernel32, CreateNamedPipeW: create } };
}

Deno.test("a client that came before ConnectNamedPipe is accepted: ERROR_PIPE_CONNECTED", async () => {
  const rig = new PipeRig();
  const clients: Promise<NamedPipe>[] = [];
  const deps = quickClients(rig, 3, () => void clients.push(rig.open()));
  const listener = new PipeListener(PIPE, SDDL, deps);
  const servers = [await listener.accept(), await listener.accept(), await listener.accept()];
  assertEquals(rig.kernel.waiting(PIPE), SPARE_INSTANCES);
  for (const one of [...servers, ...await Promise.all(clients), listener]) one.close();
  assertEquals(rig.kernel.openHandles, 0);
});

Deno.test("a client that came and left costs its instance and nothing else: ERROR_NO_DATA", async () => {
  const rig = new PipeRig();
  const { CreateFileW, CloseHandle } = rig.kernel.api;
  const comeAndGo = (): void => void CloseHandle(CreateFileW(encodeWide(PIPE), 0, 0, null, 3, 0, 0n));
  const listener = new PipeListener(PIPE, SDDL, quickClients(rig, 3, comeAndGo));
  const { server, client } = await rig.connect(listener);
  assertEquals(rig.kernel.waiting(PIPE), SPARE_INSTANCES);
  assertEquals(rig.kernel.callsOf("DisconnectNamedPipe").length, 3);
  for (const one of [server, client, listener]) one.close();
  assertEquals(rig.kernel.openHandles, 0);
});

Deno.test("[windows T92] 1,000 clients that connect and vanish at once do not stop the listener", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  let served = 0;
  const serving = (async () => {
    for (;; served++) {
      const pipe = await listener.accept();
      pipe.read(new Uint8Array(10)).catch(() => {}).then(() => pipe.close());
    }
  })().catch((error) => assert(error instanceof Deno.errors.BadResource, error));
  await Promise.all(Array.from({ length: 1000 }, async () => (await rig.open()).close()));
  await waitFor("all to be served", () => served === 1000);
  assertEquals(rig.kernel.waiting(PIPE), SPARE_INSTANCES);
  listener.close();
  await serving;
  await waitFor("all to be closed", () => rig.kernel.openHandles === 0 && rig.port.pendingCount === 0);
});

Deno.test("accept() tells when no instance can be made, and a later one tries again", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  rig.kernel.refuse("CreateNamedPipeW", ...Array.from({ length: 100 }, () => NO_SYSTEM_RESOURCES));
  const clients = await Promise.all(Array.from({ length: SPARE_INSTANCES }, () => rig.open()));
  const servers = [];
  for (let i = 0; i < SPARE_INSTANCES; i++) servers.push(await listener.accept());
  assertEquals(rig.kernel.waiting(PIPE), 0);
  const error = await assertRejects(() => listener.accept(), Win32Error, "1450 ERROR_NO_SYSTEM_RESOURCES");
  assertEquals(error.op, `create ${PIPE}`);
  rig.kernel.allow("CreateNamedPipeW");
  const { server, client } = await rig.connect(listener);
  assertEquals(rig.kernel.waiting(PIPE), SPARE_INSTANCES);
  for (const one of [server, client, ...servers, ...clients, listener]) one.close();
  assertEquals(rig.kernel.openHandles, 0);
});

Deno.test("an instance that cannot be bound to the port is closed", () => {
  const rig = new PipeRig();
  rig.kernel.refuse("CreateIoCompletionPort", 87);
  assertThrows(() => rig.listen(), Win32Error, "CreateIoCompletionPort: 87");
  assertEquals([rig.kernel.openHandles, rig.kernel.freed], [0, 1]);
  rig.kernel.refuse("SetFileCompletionNotificationModes", 87);
  assertThrows(() => rig.listen(), Win32Error, "SetFileCompletionNotificationModes: 87");
  assertEquals([rig.kernel.openHandles, rig.kernel.freed], [0, 2]);
});

Deno.test("close() ends those who wait for a client, and gives up clients that nobody took", async () => {
  const rig = new PipeRig();
  const listener = rig.listen();
  const waiting = assertRejects(() => listener.accept(), Deno.errors.BadResource, `${PIPE} was closed`);
  const first = await rig.open(); // for the one that waits, if it were in time
  listener.close();
  await waiting.catch(() => {});
  await assertRejects(() => listener.accept(), Deno.errors.BadResource, `${PIPE} was closed`);
  first.close();
  assertEquals(rig.kernel.openHandles, 0);
});

Deno.test("text that is no security descriptor is named", () => {
  const rig = new PipeRig();
  const convert = (): number => rig.kernel.failElsewhere(1336); // ERROR_INVALID_ACL
  const advapi32 = { ...rig.deps.advapi32, ConvertStringSecurityDescriptorToSecurityDescriptorW: convert };
  assertThrows(
    () => new PipeListener(PIPE, "nonsense", { ...rig.deps, advapi32 }),
    Win32Error,
    "read nonsense: ConvertStringSecurityDescriptorToSecurityDescriptorW: error 1336",
  );
});
