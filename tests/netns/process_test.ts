/**
 * The process where it needs root: other users, the group `zlayer`, the system's own socket. Runs in a mount
 * namespace of its own with a fresh `/run`, so that `/var/run/zlayer-overlayd.sock` is nobody else's.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { OverlaydClient } from "../../ipc/client.ts";
import { DaemonProcess, runProgram, withTempDir } from "../process/support/daemon_process.ts";

const SYSTEM_SOCKET = "/var/run/zlayer-overlayd.sock";
/** `nobody`, and a group id that no file of the system has. */
const NOBODY = 65534;
const GROUP_ID = 47110;

/** Root with the capabilities of the systemd unit: files of other users are closed to it as to anyone. */
const WITHOUT_OVERRIDE = "exec setpriv --bounding-set=-all,+net_admin,+sys_admin --inh-caps=-all";

/** A data directory that belongs to `nobody`, who may also go through its parent. */
async function userDataDir(dir: string): Promise<void> {
  await Deno.chmod(dir, 0o755);
  await Deno.mkdir(join(dir, "data"), { mode: 0o755 });
  await Deno.chown(join(dir, "data"), NOBODY, NOBODY);
}

/** Lets `/etc/group` have the group `zlayer`, as far as the program started by this shell text sees. */
async function withGroup(dir: string): Promise<string> {
  const path = join(dir, "group");
  await Deno.writeTextFile(path, `${await Deno.readTextFile("/etc/group")}\nzlayer:x:${GROUP_ID}:\n`);
  return `mount --bind ${path} /etc/group; exec`;
}

Deno.test("with group zlayer the socket is the group's, its owner unchanged [daemon 22]", () =>
  withTempDir(async (dir) => {
    const before = await withGroup(dir);
    await using daemon = await DaemonProcess.start(dir, [], { shell: { before, namespace: "mount" } });
    const { mode, uid, gid } = await Deno.lstat(daemon.socket);
    assertEquals([mode! & 0o777, uid, gid], [0o660, 0, GROUP_ID]);
  }));

Deno.test("root on a user's directory listens where that user looks too, and gives it the socket", () =>
  withTempDir(async (dir) => {
    await userDataDir(dir);
    await using daemon = await DaemonProcess.start(dir);
    for (const path of [daemon.socket, SYSTEM_SOCKET]) {
      const { mode, uid } = await Deno.lstat(path);
      assertEquals([mode! & 0o777, uid], [0o660, NOBODY], path);
      using client = await OverlaydClient.connect(path);
      await client.status();
    }
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
    await assertRejects(() => Deno.lstat(SYSTEM_SOCKET), Deno.errors.NotFound);
  }));

Deno.test("the second socket is left to a live daemon, and not used when --socket is given", () =>
  withTempDir(async (dir) => {
    await userDataDir(dir);
    {
      using _other = Deno.listen({ transport: "unix", path: SYSTEM_SOCKET });
      await using daemon = await DaemonProcess.start(dir);
      assertStringIncludes(
        await daemon.logged("not listening on the second socket"),
        "another daemon answers",
      );
      await daemon.assertAnswers();
    }
    const socket = join(dir, "data", "run", "zlayer-overlayd.sock");
    await using _daemon = await DaemonProcess.start(dir, ["--socket", socket]);
    await assertRejects(() => Deno.lstat(SYSTEM_SOCKET), Deno.errors.NotFound);
  }));

Deno.test("a command without permission exits 4 and names owner and remedy", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir);
    await Deno.chown(daemon.socket, NOBODY, NOBODY);
    const status = ["status", "--socket", daemon.socket];
    const denied = await runProgram(status, { shell: { before: WITHOUT_OVERRIDE } });
    assertEquals([denied.code, denied.stdout], [4, ""]);
    assertStringIncludes(denied.stderr, `not permitted to connect to ${daemon.socket}`);
    assertStringIncludes(denied.stderr, "user 'nobody'");
    await Deno.chown(daemon.dataDir, NOBODY, NOBODY);
    const hidden = await runProgram(status, { shell: { before: WITHOUT_OVERRIDE } });
    assertEquals(hidden.code, 4);
    assertStringIncludes(hidden.stderr, `may not look into ${daemon.dataDir}`);
  }));

Deno.test("a daemon that may not write in a user's directory names the capability it lacks", () =>
  withTempDir(async (dir) => {
    await userDataDir(dir);
    const { code, stderr } = await runProgram(["--data-dir", join(dir, "data")], {
      shell: { before: WITHOUT_OVERRIDE },
    });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "CAP_DAC_OVERRIDE");
  }));
