/** Who frees what comes out of computenetwork.dll. The library itself runs in the Windows rig. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  callHcn,
  type HcnFunction,
  type HcnLibrary,
  openComputeNetwork,
  outKind,
  systemPaths,
} from "../../ffi/computenetwork.ts";
import { LibraryError } from "../../ffi/errors.ts";
import { FakeHcnLibrary } from "../support/fake_hcn/library.ts";
import { FakeHns } from "../support/fake_hcn/service.ts";

const QUERY = '{"SchemaVersion":{"Major":2,"Minor":0}}';

function fake(): FakeHcnLibrary {
  return new FakeHcnLibrary(new FakeHns(() => 0));
}

Deno.test("callHcn() copies and frees lists and records, whatever the result [windows T14]", async (t) => {
  const rows = [
    {
      name: "a list",
      fault: {},
      want: { hresult: 0, record: "", text: '["{910F7D92-BA2D-4C3F-98AE-7C0AC590D2DC}"]' },
    },
    { name: "an empty list", fault: { text: "" }, want: { hresult: 0, record: "", text: "" } },
    {
      name: "a record beside a success",
      fault: { record: "note", text: "[]" },
      want: { hresult: 0, record: "note", text: "[]" },
    },
    {
      name: "a failure with a record",
      fault: { hresult: 0x803b001b | 0, record: "why" },
      want: { hresult: 0x803b001b, record: "why", text: "" },
    },
    {
      name: "a failure without one",
      fault: { hresult: 0x80070005 | 0 },
      want: { hresult: 0x80070005, record: "", text: "" },
    },
  ];
  for (const { name, fault, want } of rows) {
    await t.step(name, async () => {
      const library = fake();
      library.next("EnumerateNamespaces", fault);
      assertEquals(await callHcn(library, { fn: "HcnEnumerateNamespaces", text: QUERY }), want);
      assertEquals(library.problems(), []);
    });
  }
});

Deno.test("callHcn() frees the record too when the text cannot be read", async () => {
  const freed: bigint[] = [];
  const library: HcnLibrary = {
    invoke: () => Promise.resolve({ hresult: 0, out: 1n, record: 2n }),
    readText(address): string {
      if (address === 1n) throw new RangeError("unreadable");
      return "";
    },
    freeText: (address) => void freed.push(address),
  };
  await assertRejects(() => callHcn(library, { fn: "HcnEnumerateNetworks" }), RangeError);
  assertEquals(freed, [1n, 2n]);
});

Deno.test("the fake notices strings and handles that do not come back, or twice (negative control)", async () => {
  const library = fake();
  const raw = await library.invoke({ fn: "HcnEnumerateNamespaces", text: QUERY });
  const { handle } = await callHcn(library, {
    fn: "HcnOpenNamespace",
    id: "910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc",
  });
  assertEquals(library.problems().length, 2);
  library.freeText(raw.out);
  library.freeText(raw.out);
  await callHcn(library, { fn: "HcnCloseNamespace", handle: handle! });
  await callHcn(library, { fn: "HcnCloseNamespace", handle: handle! });
  assertEquals(library.problems().map((text) => text.replace(/[0-9a-f]{8,}/, "…")), [
    "free of …, which is no live string",
    "Namespace handle … is not open",
    "Namespace handle … is not open",
  ]);
});

Deno.test("outKind() goes by the name", () => {
  const rows: [HcnFunction, string][] = [
    ["HcnEnumerateNetworks", "text"],
    ["HcnQueryEndpointStats", "text"],
    ["HcnQueryNamespaceProperties", "text"],
    ["HcnCreateEndpoint", "handle"],
    ["HcnOpenNamespace", "handle"],
    ["HcnModifyNamespace", "none"],
    ["HcnDeleteNetwork", "none"],
    ["HcnCloseEndpoint", "none"],
  ];
  assertEquals(rows.map(([fn]) => outKind(fn)), rows.map(([, kind]) => kind));
});

Deno.test("the library opens at the first call, by absolute path, and says which it misses [windows T35]", async () => {
  assertEquals(systemPaths("C:\\Windows"), {
    computenetwork: "C:\\Windows\\System32\\computenetwork.dll",
    ole32: "C:\\Windows\\System32\\ole32.dll",
  });
  const library = openComputeNetwork({
    computenetwork: "/nonexistent/hcn.dll",
    ole32: "/nonexistent/ole32.dll",
  });
  const error = await assertRejects(
    () => library.invoke({ fn: "HcnEnumerateNetworks" }),
    LibraryError,
    "/nonexistent/hcn.dll",
  );
  assertEquals(error.isAbsent, true);
});
