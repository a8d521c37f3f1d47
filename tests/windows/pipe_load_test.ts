/**
 * The program as a process of its own, under clients of every kind: the others are served, and when those clients
 * are gone the process has as many handles as before.
 */
import { assert, assertEquals, assertGreater, fail } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { OverlaydClient } from "../../ipc/client.ts";
import { encodeFrame } from "../../ipc/frame.ts";
import { requestFrame } from "../support/ipc_examples.ts";
import { RawClient } from "../support/ipc_rig.ts";
import { assertAlive, STATUS } from "../support/ipc_texts.ts";
import { waitFor } from "../support/wait_for.ts";
import { denoArguments } from "../support/windows/service_rig.ts";
import { HandleCount } from "./support/handle_count.ts";
import { STARTING } from "./support/processes.ts";

const DAEMON = fromFileUrl(new URL("../support/windows/service_main.ts", import.meta.url));

/** Threads that wait for the port or read files come and go with the load, and have a handle each. */
const POOL_THREADS = 12;

/** A daemon that listens, and a client of it that stays. */
interface Daemon {
  readonly pipe: string;
  readonly witness: OverlaydClient;
  readonly handles: HandleCount;
  readonly exitCode: Promise<number>;
}

/** Runs with a daemon; at its end it is told to shut down, and has to. */
async function withDaemon(body: (daemon: Daemon) => Promise<void>): Promise<void> {
  const pipe = `\\\\.\\pipe\\zt-${crypto.randomUUID()}`;
  const dataDir = Deno.makeTempDirSync({ prefix: "zt-daemon-" });
  const args = denoArguments(DAEMON, "--data-dir", dataDir, "--socket", pipe);
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "null" }).spawn();
  try {
    using handles = new HandleCount(child.pid);
    using witness = await OverlaydClient.connect(pipe, { ...STARTING, callTimeoutMs: 120_000 });
    const exitCode = child.status.then(({ code }) => code);
    await witness.status();
    await body({ pipe, witness, handles, exitCode });
    await witness.shutdown().catch(() => {}); // It may be down already.
    assertEquals(await exitCode, 0);
  } finally {
    try {
      child.kill();
    } catch { /* It has ended, as it should. */ }
    await child.status;
    await Deno.remove(dataDir, { recursive: true });
  }
}

function connect(pipe: string, count: number): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: count }, () => RawClient.connect(pipe)));
}

/** Runs twice; then the process has to have the handles that it had before, of no connection. */
async function leavingNoHandle({ handles }: Daemon, body: () => Promise<void>): Promise<void> {
  const before = handles.now();
  await body();
  await body();
  let now = NaN;
  await waitFor("the handles to be as many as before", () => (now = handles.now()) <= before + POOL_THREADS, {
    intervalMs: 50,
  }).catch((error) => fail(`${error.message}: ${before} before, ${now} now`));
}

Deno.test("[windows T92] 100 clients of the program that stay are served again and again, and leave no handle", () =>
  withDaemon(async (daemon) => {
    const before = daemon.handles.now();
    await leavingNoHandle(daemon, async () => {
      const clients = await connect(daemon.pipe, 100);
      for (let round = 0; round < 3; round++) await Promise.all(clients.map((raw) => assertAlive(raw)));
      assertGreater(daemon.handles.now(), before + 90, "each has an instance of the pipe");
      for (const raw of clients) raw.close();
    });
  }));

Deno.test("[windows T92] 1,000 clients of the program that come and vanish, some within a frame, leave no handle", () =>
  withDaemon(async (daemon) => {
    const frame = encodeFrame(requestFrame(STATUS, 1));
    await leavingNoHandle(daemon, async () => {
      for (let wave = 0; wave < 10; wave++) {
        await Promise.all(Array.from({ length: 100 }, async (_, i) => {
          using raw = await RawClient.connect(daemon.pipe);
          if (i % 2 === 0) await raw.write(frame.subarray(0, i % frame.length)).catch(() => {});
        }));
      }
      assertEquals((await daemon.witness.status()).peerCount, 0);
    });
  }));

Deno.test("clients of the program that never read, or stop within a frame, hinder nobody and leave no handle", () =>
  withDaemon(async (daemon) => {
    const frame = encodeFrame(requestFrame(STATUS, 1));
    const many = new Uint8Array(1000 * frame.length).map((_, i) => frame[i % frame.length]!);
    await leavingNoHandle(daemon, async () => {
      const [deaf, stalled] = [await connect(daemon.pipe, 5), await connect(daemon.pipe, 20)];
      let sent = 0;
      const writing = deaf.map(async (raw) => {
        for (;; sent++) await raw.write(many);
      });
      await Promise.all(stalled.map((raw) => raw.write(frame.subarray(0, frame.length - 1))));
      await standstill(() => sent);
      for (let i = 0; i < 20; i++) assertEquals((await daemon.witness.status()).peerCount, 0);
      for (const raw of [...deaf, ...stalled]) raw.close();
      const ends = await Promise.allSettled(writing);
      assert(ends.every(({ status }) => status === "rejected"));
    });
  }));

Deno.test("the program shuts down while clients are within a frame, do not read, or wait for an answer", () =>
  withDaemon(async ({ pipe, witness, exitCode }) => {
    const frame = encodeFrame(requestFrame(STATUS, 1));
    const [deaf, ...stalled] = await connect(pipe, 20);
    let sent = 0;
    const writing = (async () => {
      for (;; sent++) await deaf!.write(frame);
    })().catch((error) => error);
    await Promise.all(stalled.map((raw) => raw.write(frame.subarray(0, 7))));
    await standstill(() => sent);
    await witness.shutdown();
    assertEquals(await exitCode, 0);
    assert(await writing instanceof Error);
    for (const raw of stalled) {
      assertEquals(await raw.receive(), undefined);
      raw.close();
    }
    deaf!.close();
  }));

/** Resolves when a count that rises does so no more. */
async function standstill(count: () => number): Promise<void> {
  const seen = { count: -1, times: 0 };
  await waitFor("it to come to a standstill", () => {
    seen.times = count() === seen.count ? seen.times + 1 : 0;
    seen.count = count();
    return seen.times >= 60;
  });
}
