/** The daemon in the foreground, and the operator's commands, over the pipe. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { OverlaydClient } from "../../ipc/client.ts";
import { denoArguments } from "../support/windows/service_rig.ts";
import { STARTING } from "./support/processes.ts";

const DAEMON = "tests/support/windows/service_main.ts";

/** A script of the repository as a process. */
function spawn(script: string, ...args: string[]): Deno.ChildProcess {
  const path = fromFileUrl(new URL(`../../${script}`, import.meta.url));
  return new Deno.Command(Deno.execPath(), {
    args: denoArguments(path, ...args),
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function outcome(child: Deno.ChildProcess): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** Runs with a daemon that listens on a pipe of its own; the body ends it. */
async function withDaemon(
  body: (daemon: { pipe: string; client: OverlaydClient; child: Deno.ChildProcess }) => Promise<void>,
): Promise<void> {
  const pipe = `\\\\.\\pipe\\zt-${crypto.randomUUID()}`;
  const dataDir = Deno.makeTempDirSync({ prefix: "zt-daemon-" });
  const child = spawn(DAEMON, "--data-dir", dataDir, "--socket", pipe);
  const client = await OverlaydClient.connect(pipe, STARTING);
  try {
    await body({ pipe, client, child });
  } catch (error) {
    child.kill();
    throw error;
  } finally {
    client.close();
    await child.status;
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("a daemon is asked, refuses a second one on its pipe, and ends on request: exit codes and texts", () =>
  withDaemon(async ({ pipe, client, child }) => {
    const status = await outcome(spawn("main.ts", "status", "--json", "--socket", pipe));
    assertEquals([status.code, status.err], [0, ""]);
    assertEquals(JSON.parse(status.out).daemon.socket, pipe);
    const call = await outcome(spawn("main.ts", "call", '{"op":"status"}', "--socket", pipe));
    assertEquals([call.code, JSON.parse(call.out).result], [0, "status"]);
    const other = Deno.makeTempDirSync({ prefix: "zt-daemon-" });
    const second = await outcome(spawn(DAEMON, "--data-dir", other, "--socket", pipe));
    assertEquals(second.code, 1);
    assertStringIncludes(second.err, `Error: cannot listen on ${pipe}: another daemon answers there`);
    await Deno.remove(other, { recursive: true });
    await client.shutdown();
    const { code, out } = await outcome(child);
    assertEquals(code, 0);
    for (const text of ["starting", "listening", "ready", "stopping", "stopped"]) {
      assertStringIncludes(out, text);
    }
    const missing = await outcome(spawn("main.ts", "status", "--socket", pipe));
    assertEquals(missing.code, 3);
    assertStringIncludes(missing.err, "there is no such pipe");
  }));

Deno.test("Ctrl-C ends the daemon with exit code 0; the request under way is finished", () =>
  withDaemon(async ({ pipe, client, child }) => {
    assertEquals((await client.status()).peerCount, 0);
    await interrupt(pipe);
    const { code, out } = await outcome(child);
    assertEquals(code, 0);
    assertStringIncludes(out, "SIGINT");
    await client.ended;
  }));

/**
 * What Ctrl-C does: Wine makes one of the Unix signal. Programs under Wine have a console to generate it on only
 * when there is a terminal, which a test run has not.
 *
 * @param word Text in the process's command line, and in no other's.
 */
async function interrupt(word: string): Promise<void> {
  const pattern = `[${word.at(-36)}]${word.slice(-35)}`; // which does not match itself
  const script = `for p in /proc/[0-9]*; do grep -qs ${pattern} $p/cmdline && kill -INT \${p#/proc/}; done`;
  const { success } = await new Deno.Command("start.exe", {
    args: ["/unix", "/bin/sh", "-c", script],
    stdout: "null",
    stderr: "null",
  }).output();
  assert(success);
}
