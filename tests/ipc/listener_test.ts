import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { AlreadyExistsError, InvalidConfigError, OverlayError, PermissionError } from "../../core/errors.ts";
import { dialEndpoint, listenEndpoint } from "../../ipc/listener.ts";
import { RecordingLog } from "../support/ipc_rig.ts";

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "zt-ipc-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function mode(path: string): string {
  return (Deno.lstatSync(path).mode! & 0o7777).toString(8);
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

Deno.test("listenEndpoint() makes the directories above the socket, and close() removes the socket", () =>
  inDirectory(async (directory) => {
    const path = `${directory}/a/b/s.sock`;
    const listener = await listenEndpoint(path);
    assertEquals(listener.name, path);
    const accepted = listener.accept();
    (await dialEndpoint(path)).close();
    (await accepted).close();
    listener.close();
    listener.close();
    assertEquals(exists(path), false);
  }));

Deno.test("[daemon 22] the socket has mode 0660 whatever the umask, and the umask is left as it was", () =>
  inDirectory(async (directory) => {
    for (const umask of [0o000, 0o022, 0o777]) {
      const before = Deno.umask(umask);
      const path = `${directory}/${umask}.sock`;
      const listener = await listenEndpoint(path).finally(() => assertEquals(Deno.umask(before), umask));
      assertEquals(mode(path), "660");
      listener.close();
    }
  }));

Deno.test("[daemon 22] there is no moment in which the socket has a wider mode", () =>
  inDirectory(async (directory) => {
    const path = `${directory}/s.sock`;
    const before = Deno.umask(0o000);
    const chmodSync = Deno.chmodSync;
    let modeBeforeChmod = "";
    Deno.chmodSync = () => modeBeforeChmod = mode(path);
    const listener = await listenEndpoint(path).finally(() => {
      Deno.chmodSync = chmodSync;
      Deno.umask(before);
    });
    assertEquals(modeBeforeChmod, "660");
    listener.close();
  }));

Deno.test("[daemon 22] the socket gets the group and keeps its owner", () =>
  inDirectory(async (directory) => {
    const uid = Deno.uid()!;
    const groupId = uid === 0 ? 54321 : Deno.gid()!;
    const listener = await listenEndpoint(`${directory}/s.sock`, { groupId });
    const file = Deno.lstatSync(`${directory}/s.sock`);
    assertEquals([file.uid, file.gid], [uid, groupId]);
    listener.close();
  }));

Deno.test("[daemon 22] a group or owner that may not be given is a debug line, not an error", () =>
  inDirectory(async (directory) => {
    // Root may give anything, and the tests may be root's: refuse in its stead.
    const chownSync = Deno.chownSync;
    Deno.chownSync = () => {
      throw new Deno.errors.PermissionDenied("Operation not permitted (os error 1)");
    };
    const log = new RecordingLog();
    const options = { groupId: 54321, ownerUid: 54321, log };
    const listener = await listenEndpoint(`${directory}/s.sock`, options).finally(() =>
      Deno.chownSync = chownSync
    );
    assertEquals(log.lines.map(({ level, message }) => `${level} ${message}`), [
      "debug cannot set the group of the socket",
      "debug cannot set the owner of the socket",
    ]);
    assertEquals(mode(`${directory}/s.sock`), "660");
    listener.close();
  }));

Deno.test("[daemon 19] a socket that nobody listens on is replaced", () =>
  inDirectory(async (directory) => {
    const path = `${directory}/s.sock`;
    await leaveStaleSocket(path);
    const listener = await listenEndpoint(path);
    (await dialEndpoint(path)).close();
    listener.close();
    assertEquals(exists(path), false);
  }));

/** Leaves a socket file as a killed daemon does. */
async function leaveStaleSocket(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path: `${path}.old` });
  await Deno.rename(`${path}.old`, path);
  listener.close();
  assert(Deno.lstatSync(path).isSocket);
}

Deno.test("[daemon 20] a socket that a daemon answers on is left to it", () =>
  inDirectory(async (directory) => {
    const path = `${directory}/s.sock`;
    const first = await listenEndpoint(path);
    await assertRejects(
      () => listenEndpoint(path),
      AlreadyExistsError,
      `cannot listen on ${path}: another daemon answers there`,
    );
    (await first.accept()).close(); // the probe
    const accepted = first.accept();
    (await dialEndpoint(path)).close();
    (await accepted).close();
    first.close();
  }));

Deno.test("[daemon 21] whatever is not a socket is left alone", async (t) => {
  const others: { name: string; make: (path: string) => void }[] = [
    { name: "regular file", make: (path) => Deno.writeTextFileSync(path, "precious") },
    { name: "directory", make: (path) => Deno.mkdirSync(path) },
    { name: "dangling link", make: (path) => Deno.symlinkSync("/nowhere", path) },
  ];
  for (const { name, make } of others) {
    await t.step(name, () =>
      inDirectory(async (directory) => {
        const path = `${directory}/s.sock`;
        make(path);
        const before = Deno.lstatSync(path);
        await assertRejects(() => listenEndpoint(path), AlreadyExistsError, "not a socket");
        assertEquals(Deno.lstatSync(path).ino, before.ino);
        if (before.isFile) assertEquals(Deno.readTextFileSync(path), "precious");
      }));
  }
});

Deno.test(
  "close() leaves a socket that somebody else put at the path",
  { sanitizeResources: false },
  () =>
    inDirectory(async (directory) => {
      const path = `${directory}/s.sock`;
      const log = new RecordingLog();
      const ours = await listenEndpoint(path, { log });
      await Deno.remove(path);
      const theirs = await listenEndpoint(path);
      ours.close();
      assertStringIncludes(log.text(), "replaced by somebody else");
      const accepted = theirs.accept();
      (await dialEndpoint(path)).close();
      (await accepted).close();
      theirs.close();
    }),
);

Deno.test("close() of a socket whose file is gone is quiet", () =>
  inDirectory(async (directory) => {
    const path = `${directory}/s.sock`;
    const listener = await listenEndpoint(path);
    await Deno.remove(path);
    listener.close();
  }));

Deno.test("a path too long for a socket is named with its length and the limit", async () => {
  const path = `/tmp/${"ä".repeat(60)}`;
  for (const use of [listenEndpoint, dialEndpoint]) {
    const error = await assertRejects(
      () => use(path),
      InvalidConfigError,
      "125 bytes is too long, the limit is 10",
    );
    assertStringIncludes(error.message, path);
  }
});

Deno.test({
  name: "the longest path for a socket works",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inDirectory(async (directory) => {
      const path = `${directory}/${"x".repeat(106 - directory.length)}`;
      assertEquals(path.length, 107);
      (await listenEndpoint(path)).close();
    }),
});

Deno.test("[daemon 17] a directory that cannot be made is an error that names the path", () =>
  inDirectory(async (directory) => {
    Deno.writeTextFileSync(`${directory}/file`, "");
    const path = `${directory}/file/sub/s.sock`;
    const error = await assertRejects(() => listenEndpoint(path), OverlayError, `cannot listen on ${path}: `);
    assertMatch(error.message, /not a directory/i);
  }));

Deno.test("a directory that may not be made is a permission error with a remedy", () =>
  inDirectory(async (directory) => {
    const mkdirSync = Deno.mkdirSync;
    Deno.mkdirSync = () => {
      throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
    };
    const listening = listenEndpoint(`${directory}/sub/s.sock`).finally(() => Deno.mkdirSync = mkdirSync);
    await assertRejects(() => listening, PermissionError, "permission denied; run as root or as a member of");
  }));

Deno.test("dialEndpoint() tells a missing daemon in words", () =>
  inDirectory(async (directory) => {
    const path = `${directory}/s.sock`;
    const missing = await assertRejects(() => dialEndpoint(path), OverlayError, "no daemon listens there");
    assertEquals(missing.code, "unavailable");
    await leaveStaleSocket(path);
    const stale = await assertRejects(() => dialEndpoint(path), OverlayError, "no daemon listens there");
    assertEquals(stale.code, "unavailable");
  }));
