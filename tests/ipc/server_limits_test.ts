import { assertEquals, assertStringIncludes } from "@std/assert";
import { encodeFrame, MAX_FRAME_BYTES } from "../../ipc/frame.ts";
import { listenEndpoint } from "../../ipc/listener.ts";
import { IpcServer } from "../../ipc/server.ts";
import type { IpcListener } from "../../ipc/stream.ts";
import { ChildLines } from "../support/child_lines.ts";
import { EndpointPlace } from "../support/endpoint_place.ts";
import { FakeService } from "../support/fake_service.ts";
import { requestFrame } from "../support/ipc_examples.ts";
import { IpcRig, RawClient, RecordingLog } from "../support/ipc_rig.ts";
import { assertAlive, header, responseFrame, STATUS } from "../support/ipc_texts.ts";
import { unixTest } from "../support/unix_test.ts";
import { waitFor } from "../support/wait_for.ts";

Deno.test("connections over the limit are closed, the others live, and there is one warning", async () => {
  await using rig = await IpcRig.start({ maxConnections: 2 });
  using first = await rig.raw();
  using second = await rig.raw();
  await assertAlive(first);
  await assertAlive(second);
  for (let i = 0; i < 5; i++) {
    using refused = await rig.raw();
    assertEquals(await refused.receive(), undefined);
  }
  assertEquals(rig.log.lines.filter((line) => line.level === "warn").length, 1);
  first.close();
  await waitFor("room", () => rig.server.connectionCount === 1);
  using third = await rig.raw();
  await assertAlive(third);
});

Deno.test("a frame that is not whole in time closes its connection, and silence between frames does not", async () => {
  await using rig = await IpcRig.start({ frameTimeoutMs: 50 });
  using silent = await rig.raw();
  using loris = await rig.raw();
  await assertAlive(silent);
  await assertAlive(loris);
  let dripping = true;
  const drip = (async () => {
    // It makes progress all the time, and would for a day.
    await loris.write(header(MAX_FRAME_BYTES));
    while (dripping) {
      await loris.write(Uint8Array.of(0x20));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })().catch(() => {});
  assertEquals(await loris.receive(), undefined);
  dripping = false;
  await drip;
  await assertAlive(silent);
  assertStringIncludes(rig.log.text(), "a frame was not complete in time");
});

Deno.test("unfinished frames share a budget of memory; who exceeds it is closed", async () => {
  await using rig = await IpcRig.start({ receiveBudgetBytes: 1024 * 1024 });
  using other = await rig.raw();
  using large = await rig.raw();
  await large.write(header(MAX_FRAME_BYTES));
  const writing = large.write(new Uint8Array(4 * 1024 * 1024)).catch(() => {});
  assertEquals(await large.receive(), undefined);
  await writing;
  await assertAlive(other);
  assertStringIncludes(rig.log.text(), "too much memory is held by unfinished frames");
});

Deno.test("memory of unfinished frames is given back when they are whole and when their connection ends", async () => {
  await using rig = await IpcRig.start({ receiveBudgetBytes: 1024 * 1024 });
  const frame = encodeFrame(`{"frame":"request","id":1,"request":${STATUS},"pad":"${"x".repeat(700_000)}"}`);
  for (let i = 0; i < 5; i++) {
    using leaving = await rig.raw();
    await leaving.write(frame.subarray(0, 600_000));
    leaving.close();
    await waitFor("the connection to be forgotten", () => rig.server.connectionCount === 0);
    using staying = await rig.raw();
    for (let j = 0; j < 2; j++) {
      await staying.write(frame);
      assertEquals(await staying.receive(), responseFrame(1));
    }
    staying.close();
    await waitFor("the connection to be forgotten", () => rig.server.connectionCount === 0);
  }
});

Deno.test("close() lets the request under way finish and closes idle connections", async () => {
  await using rig = await IpcRig.start();
  const begun = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  rig.service.natTick = () => (begun.resolve(), work.promise);
  using idle = await rig.raw();
  using busy = await rig.raw();
  await assertAlive(idle);
  await assertAlive(busy);
  await busy.send(requestFrame('{"op":"nat_tick"}', 1));
  await busy.send(requestFrame(STATUS, 2)); // not begun when the server closes: not answered
  await begun.promise;
  const closed = rig.server.close(5000);
  assertEquals(await idle.receive(), undefined);
  work.resolve();
  assertEquals(await busy.receive(), responseFrame(1, '{"result":"ok"}'));
  assertEquals(await busy.receive(), undefined);
  await closed;
  assertEquals(rig.server.connectionCount, 0);
});

Deno.test("close() does not wait for a request longer than its grace", async () => {
  await using rig = await IpcRig.start();
  const begun = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  rig.service.natTick = () => (begun.resolve(), work.promise);
  using raw = await rig.raw();
  await raw.send(requestFrame('{"op":"nat_tick"}', 1));
  await begun.promise;
  await rig.server.close(50); // resolves at all, with the request still under way
  assertEquals(await raw.receive(), undefined);
  work.resolve();
  await waitFor("the connection to be forgotten", () => rig.server.connectionCount === 0);
});

Deno.test("one server serves several listeners", async () => {
  await using rig = await IpcRig.start();
  const path = rig.place.path("second");
  const served = rig.server.serve(await listenEndpoint(path));
  using second = await RawClient.connect(path);
  await assertAlive(second);
  using first = await rig.raw();
  await assertAlive(first);
  await rig.server.close(1000);
  await served;
});

/** Runs a script of tests/support with a socket path until the body is done. */
async function withProcess(
  script: string,
  path: string,
  body: (lines: ChildLines) => Promise<void>,
  descriptors = 1024,
): Promise<void> {
  const file = new URL(`../support/${script}`, import.meta.url).pathname;
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", `ulimit -n ${descriptors}; exec "$0" run -A "$1" "$2"`, Deno.execPath(), file, path],
    env: { DENO_NO_UPDATE_CHECK: "1" }, // which takes descriptors too, whenever it likes
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = new ChildLines(child.stdout);
  try {
    await body(lines);
  } finally {
    endQuietly(child);
    await lines.close();
    await child.status;
  }
}

/** Kills a process that may have ended by itself, which is not the error to tell then. */
function endQuietly(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "zt-ipc-" });
  await body(`${directory}/s.sock`).finally(() => Deno.remove(directory, { recursive: true }));
}

unixTest(
  "[daemon 27] a daemon out of file descriptors answers again when there are some",
  () =>
    inDirectory((path) =>
      // Deno itself holds some 20 descriptors; the limit leaves room for a few clients.
      withProcess("serve_fake.ts", path, async (lines) => {
        await lines.until("listening");
        const crowd = await Promise.all(
          Array.from({ length: 60 }, () => Deno.connect({ transport: "unix", path })),
        );
        await lines.until("accept failed");
        crowd.forEach((conn) => conn.close());
        using raw = await RawClient.connect(path);
        await assertAlive(raw);
      }, 48)
    ),
);

/** A listener whose accepts fail as scripted, and then behave. */
function flakyListener(inner: IpcListener, failures: Error[]): IpcListener {
  return {
    name: inner.name,
    accept: () => {
      const failure = failures.shift();
      return failure ? Promise.reject(failure) : inner.accept();
    },
    close: () => inner.close(),
  };
}

Deno.test("[daemon 27] accept errors do not end the server", async () => {
  await using place = new EndpointPlace();
  const log = new RecordingLog();
  const server = new IpcServer({ service: new FakeService(), onShutdown: () => {}, log, acceptRetryMs: 5 });
  const listener = await listenEndpoint(place.path());
  const emfile = new Error("Too many open files (os error 24)");
  const aborted = new Deno.errors.ConnectionAborted("Software caused connection abort (os error 103)");
  const served = server.serve(flakyListener(listener, [emfile, emfile, aborted]));
  using raw = await RawClient.connect(place.path());
  await assertAlive(raw);
  raw.close();
  await server.close(1000);
  await served;
  assertEquals(log.lines.filter((line) => line.message === "accept failed, trying again").length, 1);
});
