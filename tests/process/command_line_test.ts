import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { VERSION } from "../../core/version.ts";
import { DaemonProcess, runProgram, withTempDir } from "./support/daemon_process.ts";

Deno.test("usage errors exit 2, say so on stderr and start nothing [daemon 14] [daemon 15]", async () => {
  for (
    const args of [["--bogus"], ["--data-dir"], ["--socket=/a", "--socket=/b"], ["garbage"], ["call", "{"]]
  ) {
    const { code, stdout, stderr } = await runProgram(args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, /^error: .+\nTry 'zlayer-overlayd/);
  }
});

Deno.test("--version and --help print to stdout and exit 0 [daemon 16]", async () => {
  assertEquals(await runProgram(["--version"]), {
    code: 0,
    signal: null,
    stdout: `zlayer-overlayd ${VERSION}\n`,
    stderr: "",
  });
  const help = await runProgram(["status", "--help"]);
  assertEquals([help.code, help.stderr], [0, ""]);
  assertStringIncludes(help.stdout, "Usage: zlayer-overlayd status [FLAGS]");
});

Deno.test("--service is accepted and runs normally off Windows [daemon 18]", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, ["--service"]);
    await daemon.assertAnswers();
  }));

Deno.test("operator commands end with the documented exit codes", () =>
  withTempDir(async (dir) => {
    const missing = join(dir, "none.sock");
    const gone = await runProgram(["status", "--socket", missing]);
    assertEquals([gone.code, gone.stdout], [3, ""]);
    assertStringIncludes(gone.stderr, `not running at ${missing}`);

    await using daemon = await DaemonProcess.start(dir);
    const at = ["--data-dir", daemon.dataDir];
    const status = await runProgram(["status", "--json", ...at]);
    assertEquals([status.code, status.stderr], [0, ""]);
    const view = JSON.parse(status.stdout);
    assertEquals([view.schema, view.daemon.socket], [1, daemon.socket]);
    assertStringIncludes((await runProgram([...at, "status"])).stdout, "Services: 0");

    const id = '{"op":"set_local_node_id","node_id":18446744073709551615}';
    assertEquals((await runProgram(["call", id, ...at])).stdout, '{"result":"ok"}\n');
    const refused = await runProgram(["call", '{"op":"no_such_op"}', ...at]);
    assertEquals([refused.code, JSON.parse(refused.stdout).result], [1, "err"]);
    const attach = await runProgram(["attach", "--pid", "1", "--service", "web", ...at]);
    assertEquals([attach.code, attach.stdout], [0, "10.200.0.6\n"]);
    const added = await runProgram(["service", "add", "web", "--mode", "shared", ...at]);
    assertEquals([added.code, added.stdout], [0, "zl-web shared\n"]);
  }));

Deno.test("a command whose reader has gone ends all the same", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir);
    const { code, stderr } = await runProgram(["status", "--socket", daemon.socket], {
      shell: { after: "| true" },
    });
    assertEquals([code, stderr], [0, ""]);
  }));
