/** The fake HNS: planted mistakes are seen, and the script of failures, hangs and deaths is obeyed. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { waitFor } from "../../support/wait_for.ts";
import { FakeLibrary } from "../support/fake_library.ts";
import { guidBytes, HcnCalls, wide } from "../support/hcn_calls.ts";
import {
  DEFAULT_NAMESPACE_ID,
  modifyDocument,
  NAMESPACE_DOCUMENT,
  NAMESPACE_ID,
  NETWORK_ID,
  networkDocument,
} from "../support/hcn_examples.ts";

/** Runs a test against a fresh HNS; what it plants is its own business. */
function plantedTest(name: string, run: (hcn: HcnCalls, fake: FakeLibrary) => Promise<void>): void {
  Deno.test(`fake HNS: ${name}`, async () => {
    using fake = new FakeLibrary("computenetwork.dll");
    using hcn = new HcnCalls();
    await run(hcn, fake);
    fake.reset();
    fake.assertClean();
  });
}

async function namespaceHandle(hcn: HcnCalls): Promise<Deno.PointerValue> {
  const made = await hcn.call("HcnCreateNamespace", { id: NAMESPACE_ID, document: NAMESPACE_DOCUMENT });
  assertEquals(made.hr, 0, made.record);
  return made.handle;
}

plantedTest("a string that is not freed counts as kept", async (hcn, fake) => {
  hcn.keepStrings = true;
  await hcn.call("HcnEnumerateNetworks");
  await hcn.call("HcnOpenNetwork", { id: NETWORK_ID });
  const { stringsHandedOut, stringsFreed, stringsKept } = fake.counters();
  assertEquals([stringsHandedOut, stringsFreed, stringsKept], [2, 0, 2]);
});

plantedTest(
  "a string that is freed twice is a violation, and is wiped after the first time",
  async (hcn, fake) => {
    const out = new BigUint64Array(1);
    assertEquals(await hcn.raw("HcnEnumerateNetworks", null, out, null), 0);
    const pointer = Deno.UnsafePointer.create(out[0] ?? 0n);
    assert(pointer !== null);
    hcn.free(pointer);
    assertEquals(new Deno.UnsafePointerView(pointer).getUint16(0), 0xdddd);
    assertEquals(fake.violations(), []);
    hcn.free(pointer);
    assertEquals(fake.violations(), ["CoTaskMemFree: a string was freed twice"]);
  },
);

plantedTest("memory of others is none of its business", async (hcn, fake) => {
  await hcn.call("HcnEnumerateNetworks");
  const ole32 = Deno.dlopen(
    "ole32.dll",
    { CoTaskMemAlloc: { parameters: ["usize"], result: "pointer" } } as const,
  );
  hcn.free(ole32.symbols.CoTaskMemAlloc(100n));
  ole32.close();
  fake.assertClean();
});

plantedTest(
  "a handle that stays open counts; one closed twice, used after that, or of another kind is a violation",
  async (hcn, fake) => {
    const handle = await namespaceHandle(hcn);
    assertEquals(fake.counters().handlesOpen, 1);
    assertEquals((await hcn.call("HcnCloseNetwork", { handle })).hr, 0x80070057);
    assertEquals((await hcn.call("HcnCloseNamespace", { handle })).hr, 0);
    assertEquals((await hcn.call("HcnCloseNamespace", { handle })).hr, 0x80070057);
    assertEquals((await hcn.call("HcnQueryNamespaceProperties", { handle })).hr, 0x80070057);
    assertEquals((await hcn.call("HcnCloseNamespace")).hr, 0x80070057);
    assertEquals(fake.counters().handlesOpen, 0);
    assertEquals(fake.violations().map((text) => text.replace(/[0-9A-F]{16}/, "NULL")), [
      "HcnCloseNetwork: got a namespace handle",
      "HcnCloseNamespace: the namespace handle was closed before",
      "HcnQueryNamespaceProperties: the namespace handle was closed before",
      "HcnCloseNamespace: NULL is no handle",
    ]);
  },
);

plantedTest("deleting what one holds a handle to is a violation, and HNS does it", async (hcn, fake) => {
  const handle = await namespaceHandle(hcn);
  assertEquals((await hcn.call("HcnDeleteNamespace", { id: NAMESPACE_ID })).hr, 0);
  assertEquals(fake.violations(), ["HcnDeleteNamespace: 1 handles of it are open"]);
  assertEquals((await hcn.call("HcnQueryNamespaceProperties", { handle })).hr, 0x80070490);
  assertEquals((await hcn.call("HcnCloseNamespace", { handle })).hr, 0);
});

plantedTest("the host's own namespace is not to be touched", async (hcn, fake) => {
  const { handle } = await hcn.call("HcnOpenNamespace", { id: DEFAULT_NAMESPACE_ID });
  await hcn.call("HcnModifyNamespace", { handle, document: modifyDocument("Add") });
  await hcn.call("HcnCloseNamespace", { handle });
  assertEquals((await hcn.call("HcnDeleteNamespace", { id: DEFAULT_NAMESPACE_ID })).hr, 0x80070057);
  assertEquals(fake.violations(), [
    "HcnModifyNamespace: of the host's own namespace",
    "HcnDeleteNamespace: of the host's own namespace",
  ]);
});

plantedTest("bad pointers, missing NULs and dirty out-parameters are violations", async (hcn, fake) => {
  const out = new BigUint64Array([7n]);
  const record = new BigUint64Array(1);
  const nowhere = Deno.UnsafePointer.create(0x1000n);
  assert(nowhere !== null);
  const wild = new Uint8Array(new Deno.UnsafePointerView(nowhere).getArrayBuffer(16));
  assertEquals(await hcn.raw("HcnEnumerateNetworks", null, out, record), 0);
  assertEquals((await hcn.raw("HcnOpenNetwork", wild, new BigUint64Array(1), record)) >>> 0, 0x80004003);
  assertEquals((await hcn.raw("HcnOpenNetwork", guidBytes(NETWORK_ID), null, record)) >>> 0, 0x80004003);
  await hcn.raw("HcnEnumerateNetworks", Uint16Array.of(0xd800, 0), new BigUint64Array(1), null);
  assertEquals(fake.violations(), [
    "HcnEnumerateNetworks: string was not zero before the call",
    "HcnOpenNetwork: Id cannot be read",
    "HcnOpenNetwork: handle cannot be written",
    "HcnEnumerateNetworks: Query is not UTF-16",
  ]);
});

plantedTest(
  "a call can fail with any code and record, once, from the n-th time on, or always",
  async (hcn, fake) => {
    const rule = { function: "HcnEnumerateNetworks", action: "fail", code: 0x800706ba } as const;
    fake.script({ ...rule, call: 2, times: 2, record: "text" });
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await hcn.call("HcnEnumerateNetworks"));
    assertEquals(answers.map(({ hr }) => hr), [0, 0x800706ba, 0x800706ba, 0]);
    assertEquals(answers.map(({ record }) => record), ["", "text", "text", ""]);
    fake.script({ ...rule, function: "*", times: 0 });
    assertEquals((await hcn.call("HcnEnumerateNetworks")).hr, 0x800706ba);
    assertEquals((await hcn.call("HcnEnumerateEndpoints")).hr, 0x800706ba);
    fake.request("unscript");
    assertEquals((await hcn.call("HcnEnumerateEndpoints")).hr, 0);
  },
);

plantedTest("a failure after the work leaves the work done and gives no handle", async (hcn, fake) => {
  fake.script({ function: "HcnCreateNetwork", action: "fail", when: "after", code: 0x800706be });
  const made = await hcn.call("HcnCreateNetwork", { id: NETWORK_ID, document: networkDocument() });
  assertEquals([made.hr, made.handle], [0x800706be, null]);
  assertEquals(fake.request("state").networks.length, 1);
  fake.assertClean();
});

plantedTest("a success can carry a record, or lack its handle", async (hcn, fake) => {
  fake.script({ function: "HcnCreateNamespace", action: "fail", when: "after", code: 0, record: "careful" });
  const made = await hcn.call("HcnCreateNamespace", { id: NAMESPACE_ID, document: NAMESPACE_DOCUMENT });
  assertEquals([made.hr, made.record], [0, "careful"]);
  assertNotEquals(made.handle, null);
  await hcn.call("HcnCloseNamespace", { handle: made.handle });
  fake.script({ function: "HcnOpenNamespace", action: "fail", code: 0 });
  const opened = await hcn.call("HcnOpenNamespace", { id: NAMESPACE_ID });
  assertEquals([opened.hr, opened.handle], [0, null]);
  fake.assertClean();
});

plantedTest("a call hangs until released; others go on", async (hcn, fake) => {
  fake.script({ function: "HcnEnumerateNetworks", action: "hang" });
  const hung = hcn.call("HcnEnumerateNetworks");
  await waitFor("a hanging call", () => fake.counters().hanging === 1);
  assertEquals((await hcn.call("HcnEnumerateNetworks")).text, "[]");
  assertEquals(fake.log().map(({ result }) => result), [null, "0x00000000"]);
  fake.request("release");
  assertEquals((await hung).text, "[]");
  fake.assertClean();
});

plantedTest("concurrent calls keep the books straight", async (hcn, fake) => {
  const ids = Array.from({ length: 200 }, () => crypto.randomUUID());
  await Promise.all(ids.map(async (id) => {
    const { handle } = await hcn.call("HcnCreateNamespace", { id, document: NAMESPACE_DOCUMENT });
    await hcn.call("HcnQueryNamespaceProperties", { handle });
    await hcn.call("HcnCloseNamespace", { handle });
  }));
  assertEquals(fake.request("state").namespaces.length, 201);
  assertEquals(fake.counters().handlesOpened, 200);
  fake.assertClean();
});

/** Runs a program that makes one namespace in a process of its own. */
async function inChild(env: Record<string, string>): Promise<{ code: number; out: string }> {
  const program = new URL("../support/make_namespace.ts", import.meta.url).pathname.replace(/^\//, "");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--cached-only", "--no-check", "--frozen", program],
    env,
  });
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout) + text.decode(stderr) };
}

Deno.test("fake HNS: it outlives processes when it is told where, and kills them when told when", async () => {
  const directory = Deno.makeTempDirSync();
  const log = `${directory}\\log.txt`;
  const shared = { FAKE_HNS_STATE: `${directory}\\hns.json` };
  assertEquals(await inChild(shared), { code: 0, out: "0x0 namespaces 2\n" });
  const kill = { op: "script", function: "HcnCreateNamespace", action: "kill", code: 42 };
  const killed = (when: string): Promise<{ code: number; out: string }> =>
    inChild({ ...shared, FAKE_LOG: log, FAKE_SCRIPT: JSON.stringify([{ ...kill, when }]) });
  assertEquals(await killed("before"), { code: 42, out: "" });
  assertEquals(await killed("after"), { code: 42, out: "" });
  assertEquals(await inChild(shared), { code: 0, out: "0x0 namespaces 4\n" });
  const lines = Deno.readTextFileSync(log).trim().split("\n").map((line) => JSON.parse(line).function);
  assertEquals(lines, ["HcnCreateNamespace", "HcnCreateNamespace"]);
  assertStringIncludes(Deno.readTextFileSync(shared.FAKE_HNS_STATE), DEFAULT_NAMESPACE_ID);
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("wide() ends in NUL and keeps surrogate pairs", () => {
  assertEquals([...wide("aé😀")], [0x61, 0xe9, 0xd83d, 0xde00, 0]);
});
