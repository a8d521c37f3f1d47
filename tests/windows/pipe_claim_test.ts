/** What Windows enforces when a pipe's name is claimed and Wine does not, by the rig's fake of those functions. */
import { assertEquals, assertThrows } from "@std/assert";
import { AlreadyExistsError } from "../../core/errors.ts";
import { dialPipe, listenPipe } from "../../core/transport/named_pipe.ts";
import { advapi32 } from "../../ffi/windows/advapi32.ts";
import { CompletionPort } from "../../ffi/windows/completion_port.ts";
import { KERNEL32, kernel32 } from "../../ffi/windows/kernel32.ts";
import { ntdll } from "../../ffi/windows/ntdll.ts";
import { SPARE_INSTANCES } from "../../ffi/windows/pipe_listener.ts";
import { RecordingLog } from "../support/ipc_rig.ts";
import { waitFor } from "../support/wait_for.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";

const { CreateNamedPipeW, CloseHandle } = KERNEL32;

Deno.test("[windows T93] the pipe is claimed as the first of its name, for SYSTEM and Administrators", async () => {
  using fake = new FakeLibrary("pipe_fake.dll");
  const library = Deno.dlopen(fakePath("pipe_fake.dll"), { CreateNamedPipeW, CloseHandle });
  const kernel = { ...kernel32(), ...library.symbols };
  const deps = {
    kernel32: kernel,
    advapi32: advapi32(),
    port: new CompletionPort({ kernel32: kernel, ntdll: ntdll() }),
  };
  const name = `\\\\.\\pipe\\zt-claim-${crypto.randomUUID()}`;
  const endpoint = listenPipe(name, new RecordingLog(), deps);
  const created = fake.log();
  assertEquals(created.length, SPARE_INSTANCES);
  for (const [i, call] of created.entries()) {
    assertEquals([call.openMode, call.pipeMode, call.maxInstances, call.timeout], [
      i === 0 ? 0x4008_0003 : 0x4000_0003,
      8,
      255,
      0,
    ]);
    assertEquals([call.outBuffer, call.inBuffer, call.inherit], [65_536, 65_536, false]);
    assertEquals(call.sddl, "D:P(A;;GA;;;SY)(A;;GA;;;BA)");
  }
  // One that does not look first, or looks too early, is refused by the flag.
  const blind = { ...kernel, WaitNamedPipeW: (): number => 0 };
  assertThrows(
    () => listenPipe(name, new RecordingLog(), { ...deps, kernel32: blind }),
    AlreadyExistsError,
    "another process owns the pipe",
  );
  const [server, client] = await Promise.all([endpoint.accept(), dialPipe(name, deps)]);
  for (const one of [server, client, endpoint]) one.close();
  await waitFor("all operations to end", () => deps.port.pendingCount === 0);
  fake.assertClean();
  library.close();
});
