/** The fake of what Wine lets through with pipes: the first-instance flag, and arguments on record. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { FakeLibrary, fakePath } from "../support/fake_library.ts";
import { wide } from "../support/hcn_calls.ts";

const SYMBOLS = {
  CreateNamedPipeW: {
    parameters: ["buffer", "u32", "u32", "u32", "u32", "u32", "u32", "buffer"],
    result: "pointer",
  },
  CloseHandle: { parameters: ["pointer"], result: "i32" },
  GetLastError: { parameters: [], result: "u32" },
  ReadFile: { parameters: ["pointer", "pointer", "u32", "pointer", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const ADVAPI32 = {
  ConvertStringSecurityDescriptorToSecurityDescriptorW: {
    parameters: ["buffer", "u32", "buffer", "buffer"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

const FIRST = 0x80000;
const DUPLEX = 3 | 0x40000000;
const INVALID_HANDLE = 0xffffffffffffffffn;

/** Makes one instance; the error is 0 when there is a pipe. */
type CreatePipe = (
  openMode: number,
  options?: { pipeMode?: number; security?: Uint8Array<ArrayBuffer> },
) => { pipe: Deno.PointerValue; error: number };

function pipes(library: Deno.DynamicLibrary<typeof SYMBOLS>, name: string): CreatePipe {
  return (openMode, options = {}) => {
    const pipe = library.symbols.CreateNamedPipeW(
      ...[wide(name), openMode, options.pipeMode ?? 8, 255] as const,
      ...[65536, 65536, 0, options.security ?? null] as const,
    );
    const error = library.symbols.GetLastError();
    return Deno.UnsafePointer.value(pipe) === INVALID_HANDLE ? { pipe: null, error } : { pipe, error: 0 };
  };
}

Deno.test("fake pipes: a second first instance is refused while one lives, and later ones must agree", () => {
  using fake = new FakeLibrary("pipe_fake.dll");
  const library = Deno.dlopen(fakePath("pipe_fake.dll"), SYMBOLS);
  const create = pipes(library, "\\\\.\\pipe\\zt-first");
  const first = create(DUPLEX | FIRST);
  assertEquals(first.error, 0);
  assertEquals(create(DUPLEX | FIRST).error, 5);
  assertEquals(create(DUPLEX, { pipeMode: 0 }).error, 5);
  const second = create(DUPLEX);
  assertEquals(second.error, 0);
  assertEquals(fake.counters().pipesOpen, 2);
  library.symbols.CloseHandle(first.pipe);
  assertEquals(create(DUPLEX | FIRST).error, 5);
  library.symbols.CloseHandle(second.pipe);
  const again = create(DUPLEX | FIRST);
  assertEquals(again.error, 0);
  library.symbols.CloseHandle(again.pipe);
  fake.assertClean();
  library.close();
});

Deno.test("fake pipes: a pipe of another process is seen", async () => {
  const name = "\\\\.\\pipe\\zt-other";
  const library = Deno.dlopen(fakePath("pipe_fake.dll"), SYMBOLS);
  const create = pipes(library, name);
  const program = new URL("../support/hold_pipe.ts", import.meta.url).pathname.replace(/^\//, "");
  const args = ["run", "-A", "--cached-only", "--no-check", "--frozen", program, name];
  await using child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" }).spawn();
  const reader = child.stdout.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value).trim(), "held");
  assertEquals(create(DUPLEX | FIRST).error, 5);
  await child.stdin.close();
  await reader.cancel();
  await child.status;
  const mine = create(DUPLEX | FIRST);
  assertEquals(mine.error, 0);
  library.symbols.CloseHandle(mine.pipe);
  library.close();
});

Deno.test("fake pipes: arguments and descriptor are on record; bad ones are violations", () => {
  using fake = new FakeLibrary("pipe_fake.dll");
  const library = Deno.dlopen(fakePath("pipe_fake.dll"), SYMBOLS);
  const advapi32 = Deno.dlopen("advapi32.dll", ADVAPI32);
  const create = pipes(library, "\\\\.\\pipe\\zt-record");
  const descriptor = new BigUint64Array(1);
  const convert = advapi32.symbols.ConvertStringSecurityDescriptorToSecurityDescriptorW;
  assertNotEquals(convert(wide("D:P(A;;GA;;;SY)(A;;GA;;;BA)"), 1, descriptor, null), 0);
  const security = new Uint8Array(24);
  const view = new DataView(security.buffer);
  view.setUint32(0, 24, true);
  view.setBigUint64(8, descriptor[0] ?? 0n, true);
  for (const length of [24, 23]) {
    view.setUint32(0, length, true);
    library.symbols.CloseHandle(create(DUPLEX | FIRST, { security }).pipe);
  }
  library.symbols.CloseHandle(create(DUPLEX).pipe);
  const [first, , last] = fake.log();
  assertEquals(first?.sddl, "D:P(A;;GA;;;SY)(A;;GA;;;BA)");
  assertEquals([first?.openMode, first?.pipeMode, first?.maxInstances], [DUPLEX | FIRST, 8, 255]);
  assertEquals([first?.outBuffer, first?.inBuffer, first?.timeout, first?.inherit], [65536, 65536, 0, false]);
  assertEquals(last?.sddl, null);
  assertEquals(fake.violations(), ["CreateNamedPipeW: nLength is wrong"]);
  fake.reset();
  advapi32.close();
  library.close();
});
