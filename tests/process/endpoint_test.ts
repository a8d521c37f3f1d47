import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { DaemonProcess, runProgram, until, withTempDir } from "./support/daemon_process.ts";

/** A frame with a body, or with another announced length. */
function frame(body: string, length?: number): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(body);
  const framed = new Uint8Array(4 + bytes.length);
  new DataView(framed.buffer).setUint32(0, length ?? bytes.length, true);
  framed.set(bytes, 4);
  return framed;
}

const STATUS = '{"frame":"request","id":7,"request":{"op":"status"}}';

/** Reads one frame's body; `undefined` at the end of the stream. */
async function readFrame(connection: Deno.Conn): Promise<string | undefined> {
  const head = await readExactly(connection, 4);
  if (!head) return undefined;
  const body = await readExactly(connection, new DataView(head.buffer).getUint32(0, true));
  return body && new TextDecoder().decode(body);
}

async function readExactly(
  connection: Deno.Conn,
  count: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = new Uint8Array(count);
  for (let read = 0; read < count;) {
    const got = await connection.read(bytes.subarray(read));
    if (got === null) return undefined;
    read += got;
  }
  return bytes;
}

function assertError(result: { code: number; stdout: string; stderr: string }, ...says: string[]): void {
  assertEquals(result.code, 1, result.stderr);
  const lines = result.stderr.split("\n");
  assertEquals(lines.length, 2, `one line on stderr, got: ${result.stderr}`);
  assertEquals(lines[0]?.startsWith("Error: "), true, result.stderr);
  for (const text of says) assertStringIncludes(result.stderr, text);
}

Deno.test("a socket that cannot be bound is exit 1 and one error line [daemon 17]", () =>
  withTempDir(async (dir) => {
    const result = await runProgram(["--data-dir", join(dir, "data"), "--socket", "/proc/none/x.sock"]);
    assertError(result, "/proc/none/x.sock");
  }));

Deno.test("a data directory that cannot be made is exit 1 and one error line", () =>
  withTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, "file"), "");
    assertError(await runProgram(["--data-dir", join(dir, "file", "data")]), join(dir, "file", "data"));
  }));

Deno.test("a socket that a killed daemon left is replaced [daemon 19] [daemon 31]", () =>
  withTempDir(async (dir) => {
    const first = await DaemonProcess.start(dir);
    await first[Symbol.asyncDispose]();
    assertEquals((await Deno.lstat(first.socket)).isSocket, true);
    await using second = await DaemonProcess.start(dir);
    await second.assertAnswers();
  }));

Deno.test("a second daemon on the data directory is refused and told the holder's pid [daemon 20]", () =>
  withTempDir(async (dir) => {
    await using first = await DaemonProcess.start(dir);
    const other = ["--socket", join(dir, "other.sock")];
    assertError(await runProgram(["--data-dir", first.dataDir, ...other]), first.dataDir, `pid ${first.pid}`);
    await first.assertAnswers();
  }));

Deno.test("a second daemon on the socket is refused, the first still answers [daemon 20]", () =>
  withTempDir(async (dir) => {
    await using first = await DaemonProcess.start(dir);
    const result = await runProgram(["--data-dir", join(dir, "data2"), "--socket", first.socket]);
    assertError(result, first.socket, "another daemon");
    await first.assertAnswers();
  }));

Deno.test("a regular file at the socket's path stays [daemon 21]", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "precious");
    await Deno.writeTextFile(path, "data");
    assertError(await runProgram(["--data-dir", join(dir, "data"), "--socket", path]), path, "not a socket");
    assertEquals(await Deno.readTextFile(path), "data");
  }));

Deno.test("the socket has mode 0660 and the user's id [daemon 22]", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir);
    const { mode, uid } = await Deno.lstat(daemon.socket);
    assertEquals([mode! & 0o777, uid], [0o660, Deno.uid()]);
  }));

Deno.test("100 connections without a byte are health checks [daemon 23]", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir);
    for (let i = 0; i < 100; i++) (await Deno.connect({ transport: "unix", path: daemon.socket })).close();
    await daemon.assertAnswers();
    assertEquals(daemon.log.filter((line) => /WARN|ERROR/.test(line)), []);
  }));

Deno.test("what is not understood is answered or ignored, and the connection lives [daemon 24] [daemon 25]", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir);
    using connection = await Deno.connect({ transport: "unix", path: daemon.socket });
    await connection.write(frame('{"frame":"response","id":1,"response":{"result":"ok"}}'));
    await connection.write(frame(STATUS));
    assertStringIncludes(await readFrame(connection) ?? "", '"id":7,"response":{"result":"status"');
    await connection.write(frame('{"frame":"request","id":3,"request":{'));
    assertStringIncludes(await readFrame(connection) ?? "", '"id":3,"response":{"result":"err"');
    await connection.write(frame(STATUS));
    assertStringIncludes(await readFrame(connection) ?? "", '"id":7,"response":{"result":"status"');
  }));

Deno.test("a length over the limit closes that connection only [daemon 26]", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir);
    using other = await Deno.connect({ transport: "unix", path: daemon.socket });
    using connection = await Deno.connect({ transport: "unix", path: daemon.socket });
    await connection.write(frame("", 8_388_609));
    assertEquals(await readFrame(connection), undefined);
    await other.write(frame(STATUS));
    assertStringIncludes(await readFrame(other) ?? "", '"status"');
  }));

Deno.test("running out of file descriptors while accepting is survived [daemon 27]", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], { shell: { before: "ulimit -n 48; exec" } });
    const connections: Deno.Conn[] = [];
    try {
      for (let i = 0; i < 64; i++) {
        connections.push(await Deno.connect({ transport: "unix", path: daemon.socket }));
      }
      await daemon.logged("accept failed");
    } finally {
      for (const connection of connections) connection.close();
    }
    await until(() => daemon.assertAnswers().then(() => true, () => false), "an answer");
  }));
