/** The control pipe of a device, as `wg.exe` and others use it, in `deno.exe`. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { pipeLibraries } from "../../core/transport/named_pipe.ts";
import { listenUapiPipe, UAPI_PIPE_PREFIX } from "../../core/transport/wireguard/uapi_pipe.ts";
import { hex } from "../../core/wireguard/bytes.ts";
import { CompletionPort } from "../../ffi/windows/completion_port.ts";
import { advapi32 } from "../../ffi/windows/advapi32.ts";
import { KERNEL32, kernel32 } from "../../ffi/windows/kernel32.ts";
import { ntdll } from "../../ffi/windows/ntdll.ts";
import { openPipe } from "../../ffi/windows/pipe_client.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { RecordingLog } from "../support/engine_rig.ts";
import { waitFor } from "../support/wait_for.ts";
import { DeviceRig, node, packetTo, specOf } from "./support/device_rig.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";
import { hex as packetHex } from "./support/wintun_calls.ts";

const [A, B] = [node(1), node(2)];

/** What a server answers to requests of one connection. */
async function ask(name: string, ...requests: readonly string[]): Promise<string[]> {
  const pipe = await openPipe(name, pipeLibraries());
  const answers: string[] = [];
  try {
    for (const request of requests) {
      await pipe.write(new TextEncoder().encode(request));
      let text = "";
      const buffer = new Uint8Array(1024);
      while (!text.endsWith("\n\n")) {
        const count = await pipe.read(buffer);
        assert(count !== null, "the server left");
        text += new TextDecoder().decode(buffer.subarray(0, count));
      }
      answers.push(text);
    }
    return answers;
  } finally {
    pipe.close();
  }
}

async function settled(): Promise<void> {
  await waitFor("all operations to end", () => pipeLibraries().port.pendingCount === 0);
}

Deno.test("the pipe of a device is where wg.exe looks; it reads and changes the device and goes with it", async () => {
  assertEquals(UAPI_PIPE_PREFIX, "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\WireGuard\\");
  const log = new RecordingLog();
  await using rig = new DeviceRig({ log });
  await rig.devices.ensure(specOf(A, [B]));
  await rig.devices.ensure(specOf(B, []));
  const name = `${UAPI_PIPE_PREFIX}${A.name}`;
  const [read, again] = await ask(name, "get=1\n\n", "get=1\n\n");
  assertEquals(read!.split("\n").slice(0, 5), [
    `private_key=${read!.slice(12, 76)}`,
    `listen_port=${A.port}`,
    `public_key=${hex(B.publicKey)}`,
    "protocol_version=1",
    `endpoint=127.0.0.1:${B.port}`,
  ]);
  assert(again!.includes("allowed_ip=10.200.2.0/24\n") && again!.endsWith("errno=0\n\n"), again);
  const peerOfB = `public_key=${
    hex(A.publicKey)
  }\nendpoint=127.0.0.1:${A.port}\nallowed_ip=10.200.1.0/24\n\n`;
  assertEquals(await ask(`${UAPI_PIPE_PREFIX}${B.name}`, `set=1\n${peerOfB}`, "set=1\nnonsense\n\n"), [
    "errno=0\n\n",
    "errno=22\n\n",
  ]);
  // A has tried in vain before B knew it, and waits.
  rig.inject(B, packetTo(B.ip, A.ip, 1));
  assertEquals(await rig.take(1), [packetHex(packetTo(B.ip, A.ip, 1))]);
  assertEquals(
    await ask(name, `set=1\nlisten_port=${B.port}\n\n`),
    ["errno=98\n\n"],
    "the port is another's",
  );
  await rig.devices.remove(A.name, specOf(A, []).tag);
  await assertRejects(() => openPipe(name, pipeLibraries()), Win32Error, "2 ERROR_FILE_NOT_FOUND");
  await rig.devices.ensure(specOf(A, []));
  assert(
    (await ask(name, "get=1\n\n"))[0]!.startsWith("private_key="),
    "and it is there again with the device",
  );
  assertEquals(log.records.filter(({ message }) => message.includes("control pipe")), []);
  await rig.devices[Symbol.asyncDispose]();
  await settled();
});

Deno.test("a client that leaves in mid-request, and one that stays, hinder neither others nor the end", async () => {
  await using rig = new DeviceRig();
  await rig.devices.ensure(specOf(A, []));
  const name = `${UAPI_PIPE_PREFIX}${A.name}`;
  const [leaving, staying] = [await openPipe(name, pipeLibraries()), await openPipe(name, pipeLibraries())];
  await leaving.write(new TextEncoder().encode("get="));
  leaving.close();
  assertEquals((await Promise.all(Array.from({ length: 40 }, () => ask(name, "get=1\n\n")))).length, 40);
  await rig.devices[Symbol.asyncDispose]();
  assertEquals(await staying.read(new Uint8Array(8)), null);
  staying.close();
  await settled();
});

Deno.test("a device whose pipe cannot be made works without, says so once, and has it when it can", async () => {
  const log = new RecordingLog();
  // No name of a pipe; Windows refuses a name of another, or that owner, in the same place.
  const tools = { log, uapiPrefix: "C:\\nowhere\\" };
  await using rig = new DeviceRig(tools);
  for (let i = 0; i < 3; i++) await rig.devices.ensure(specOf(A, []));
  assertEquals((await rig.devices.read(A.name)).listenPort, A.port);
  const warnings = log.records.filter(({ message }) => message.startsWith("no WireGuard control pipe"));
  assertEquals(warnings.map(({ fields }) => fields?.interface), [A.name]);
  rig.tools.uapiPrefix = UAPI_PIPE_PREFIX;
  await rig.devices.ensure(specOf(A, []));
  assert((await ask(`${UAPI_PIPE_PREFIX}${A.name}`, "get=1\n\n"))[0]!.endsWith("errno=0\n\n"));
  await rig.devices[Symbol.asyncDispose]();
  await settled();
});

Deno.test("the pipe is claimed as the first of its name, owned by SYSTEM, for SYSTEM and Administrators", async () => {
  using fake = new FakeLibrary("pipe_fake.dll");
  const { CreateNamedPipeW, CloseHandle } = KERNEL32;
  const library = Deno.dlopen(fakePath("pipe_fake.dll"), { CreateNamedPipeW, CloseHandle });
  const kernel = { ...kernel32(), ...library.symbols };
  const libraries = {
    kernel32: kernel,
    advapi32: advapi32(),
    port: new CompletionPort({ kernel32: kernel, ntdll: ntdll() }),
  };
  const device = { read: () => Promise.resolve({}), write: () => Promise.resolve() };
  const listen = (): Disposable => listenUapiPipe("zt-claim", device, { log: new RecordingLog(), libraries });
  const server = listen();
  const [first] = fake.log();
  assertEquals([first!.name, first!.openMode, first!.inherit], [
    "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\WireGuard\\zt-claim",
    0x4008_0003,
    false,
  ]);
  // No write up, no read up, no execute up; high.
  assertEquals([first!.sddl, first!.label], ["O:SYD:P(A;;GA;;;SY)(A;;GA;;;BA)", "0x7 0x3000"]);
  const refused = assertThrows(listen, Win32Error);
  assertEquals(refused.code, 5);
  server[Symbol.dispose]();
  fake.script({ function: "CreateNamedPipeW", action: "fail", code: 1307 });
  assertThrows(listen, Win32Error, "1307 ERROR_INVALID_OWNER");
  const next = listen();
  next[Symbol.dispose]();
  await waitFor("all operations to end", () => libraries.port.pendingCount === 0);
  fake.assertClean();
  library.close();
});
