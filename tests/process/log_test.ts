import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { DaemonProcess, withTempDir } from "./support/daemon_process.ts";

Deno.test("the first record names the data directory and the socket; lines have no colour", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], { env: { NO_COLOR: "" } });
    await daemon.logged("ready");
    assertMatch(daemon.log[0] ?? "", /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}INFO zlayer_overlayd: starting /);
    assertStringIncludes(daemon.log[0] ?? "", ` data_dir=${daemon.dataDir} socket=${daemon.socket} `);
    assert(!daemon.log.join("").includes("\u001b"));
  }));

Deno.test("--log-format json writes JSON lines", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, ["--log-format", "json"]);
    await daemon.logged("ready");
    const first = JSON.parse(daemon.log[0] ?? "");
    assertEquals([first.level, first.target, first.message], ["info", "zlayer_overlayd", "starting"]);
    assertEquals(first.fields.data_dir, daemon.dataDir);
  }));

Deno.test("RUST_LOG filters by level and target", () =>
  withTempDir(async (dir) => {
    {
      await using daemon = await DaemonProcess.start(dir, [], { env: { RUST_LOG: "error" } });
      assertEquals(daemon.log, []);
    }
    await using daemon = await DaemonProcess.start(dir, [], {
      env: { RUST_LOG: "off,zlayer_overlayd::ipc=debug" },
    });
    await daemon.logged("listening");
    for (const line of daemon.log) assertStringIncludes(line, " zlayer_overlayd::ipc: ");
  }));

Deno.test("a reader of the log that goes away costs nothing", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], { readLog: false });
    await daemon.closeStdout();
    using client = await daemon.connect();
    await client.unregisterDns("100");
    await client.status();
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
  }));

Deno.test("a log that nobody reads neither blocks nor grows without bound", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], { readLog: false });
    using client = await daemon.connect();
    // 200 MiB of records each, of which the pipe takes 64 KiB and the queue 1 MiB in all. The heap takes a while to
    // find its size, longer on a busy machine; a log that were kept would grow by 200 MiB every time.
    const logMuch = async (): Promise<number> => {
      for (let i = 0; i < 10; i++) await client.unregisterDns("20000");
      await client.status();
      return await residentBytes(daemon.pid);
    };
    let before = await logMuch();
    let growth = Infinity;
    for (let round = 0; round < 6 && growth >= 64 * 1024 * 1024; round++) {
      const after = await logMuch();
      [growth, before] = [after - before, after];
    }
    assertLess(growth, 64 * 1024 * 1024);
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
  }));

Deno.test("closed standard streams are no trouble", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], {
      shell: { before: "exec", after: "<&- >&- 2>&-" },
    });
    await daemon.assertAnswers();
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
  }));

Deno.test("nothing is shelled out to: the daemon runs with an empty PATH", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], { env: { PATH: "" }, stdout: "null" });
    await daemon.assertAnswers();
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
  }));

async function residentBytes(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(status)?.[1]) * 1024;
}
