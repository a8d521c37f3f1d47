import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AlreadyExistsError,
  InvalidConfigError,
  OverlayError,
  PermissionError,
} from "../../../core/errors.ts";
import { dialPipe, listenPipe, PIPE_SDDL } from "../../../core/transport/named_pipe.ts";
import { RecordingLog } from "../../support/ipc_rig.ts";
import { PIPE, PipeRig } from "../../support/windows/pipe_rig.ts";
import { waitFor } from "../../support/wait_for.ts";

Deno.test("listenPipe() lets LocalSystem and Administrators in, nobody else, and logs who came", async () => {
  const rig = new PipeRig();
  const log = new RecordingLog();
  const endpoint = listenPipe(PIPE, log, rig.deps);
  assertEquals(PIPE_SDDL, "D:P(A;;GA;;;SY)(A;;GA;;;BA)");
  assertEquals(rig.advapi.descriptors, [PIPE_SDDL]);
  const [server, client] = await Promise.all([endpoint.accept(), dialPipe(PIPE, rig.deps)]);
  assertEquals(log.lines, [{
    level: "debug",
    message: "client connected",
    fields: { pipe: PIPE, pid: 4711 },
  }]);
  assertEquals(endpoint.name, PIPE);
  for (const one of [server, client, endpoint]) one.close();
  await assertRejects(() => endpoint.accept(), Deno.errors.BadResource);
  await waitFor("no operation to be pending", () => rig.port.pendingCount === 0);
});

Deno.test("[windows T93] listenPipe() refuses a name that another process has, seen or not", () => {
  const rig = new PipeRig();
  const log = new RecordingLog();
  const first = listenPipe(PIPE, log, rig.deps);
  assertThrows(
    () => listenPipe(PIPE, log, rig.deps),
    AlreadyExistsError,
    `cannot listen on ${PIPE}: another daemon answers there`,
  );
  assertEquals(rig.kernel.callsOf("CreateFileW").length, 0); // without a connection to it
  // Another one that comes between the look and the claim: the flag finds it.
  rig.kernel.refuse("WaitNamedPipeW", 2);
  assertThrows(
    () => listenPipe(PIPE, log, rig.deps),
    AlreadyExistsError,
    `cannot listen on ${PIPE}: another process owns the pipe`,
  );
  first.close();
});

Deno.test("listenPipe() tells what else Windows refused", () => {
  const rig = new PipeRig();
  rig.kernel.refuse("CreateNamedPipeW", 1450);
  const error = assertThrows(
    () => listenPipe(PIPE, new RecordingLog(), rig.deps),
    OverlayError,
    `cannot listen on ${PIPE}: create ${PIPE}: CreateNamedPipe: 1450`,
  );
  assertEquals(error.code, "unavailable");
});

Deno.test("dialPipe() tells why in words, with a cause of the class that Deno's own connect has", async (t) => {
  const rows = [
    { code: 2, says: "no daemon listens there", kind: "unavailable", cause: Deno.errors.NotFound },
    {
      code: 5,
      says: "access is denied; run as Administrator",
      kind: "permission_denied",
      cause: Deno.errors.PermissionDenied,
    },
    { code: 53, says: "53 ERROR_BAD_NETPATH", kind: "unavailable", cause: Error },
  ];
  for (const { code, says, kind, cause } of rows) {
    await t.step(says, async () => {
      const rig = new PipeRig();
      rig.kernel.refuse("CreateFileW", code);
      const error = await assertRejects(() => dialPipe(PIPE, rig.deps), OverlayError, says);
      assertStringIncludes(error.message, `cannot connect to ${PIPE}: `);
      assertEquals([error.code, error instanceof PermissionError], [kind, code === 5]);
      assert(error.cause instanceof cause);
    });
  }
});

Deno.test("what is no name of a pipe of this computer is refused before Windows is asked", async () => {
  const rig = new PipeRig();
  const names = [
    "C:\\run\\overlayd.sock",
    "\\\\.\\pipe\\",
    "\\\\.\\pipe\\a\\b",
    "\\\\.\\pipe\\a\0b",
    "\\\\server\\pipe\\a",
    "",
  ];
  for (const name of names) {
    assertThrows(
      () => listenPipe(name, new RecordingLog(), rig.deps),
      InvalidConfigError,
      "not the name of a pipe",
    );
    await assertRejects(
      () => dialPipe(name, rig.deps),
      InvalidConfigError,
      "give one like \\\\.\\pipe\\NAME",
    );
  }
  const long = "\\\\.\\pipe\\" + "x".repeat(248);
  await assertRejects(
    () => dialPipe(long, rig.deps),
    InvalidConfigError,
    "257 characters is too long, the limit is 256",
  );
  assertEquals(rig.kernel.calls.filter(({ name }) => name !== "CreateIoCompletionPort"), []);
  await assertRejects(
    () => dialPipe("\\\\.\\PIPE\\other", rig.deps),
    OverlayError,
    "no daemon listens there",
  );
});
