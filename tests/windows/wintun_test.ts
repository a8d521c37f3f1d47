/** The binding of Wintun over the rig's library: who is told what, and what may be done twice. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FfiError } from "../../ffi/errors.ts";
import { Wintun } from "../../ffi/wintun.ts";
import { waitFor } from "../support/wait_for.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";

/** Runs with the library, which has nothing to complain of in the end. */
function wintunTest(name: string, run: (wintun: Wintun, fake: FakeLibrary) => Promise<void>): void {
  Deno.test(name, async () => {
    using fake = new FakeLibrary("wintun.dll");
    await run(Wintun.open([fakePath("wintun.dll")]), fake);
    fake.assertClean();
  });
}

const kind = (): { tunnelType: string; guid: string } => ({
  tunnelType: "ZLayer",
  guid: crypto.randomUUID(),
});

wintunTest("an adapter that Wintun refuses is told of in Wintun's words", async (wintun, fake) => {
  fake.script({ function: "WintunCreateAdapter", action: "fail", code: 5 });
  const error = await assertRejects(() => wintun.create("zl-1-g", kind()), FfiError);
  assertStringIncludes(
    error.message,
    "zl-1-g: WintunCreateAdapter: Failed to create adapter (Code 0x00000005)",
  );
});

wintunTest(
  "adapters are made one at a time, so that Wintun's words are about the right one",
  async (wintun, fake) => {
    fake.script({ function: "WintunCreateAdapter", action: "hang" });
    const first = wintun.create("zl-1-g", kind());
    await waitFor("the first", () => fake.counters().hanging === 1);
    const second = wintun.create("zl-2-g", kind());
    // A turn of the event loop and a call of another kind: whatever wanted to begin has begun.
    await waitFor("the driver", () => wintun.driverVersion !== "");
    assertEquals(fake.calls().filter((call) => call === "WintunCreateAdapter").length, 1);
    fake.request("release");
    for (const adapter of [await first, await second]) await adapter[Symbol.asyncDispose]();
  },
);

wintunTest("session and adapter may be let go of twice, and are let go of once", async (wintun, fake) => {
  const adapter = await wintun.create("zl-1-g", kind());
  const session = adapter.startSession(0x2_0000);
  for (let i = 0; i < 2; i++) session[Symbol.dispose]();
  for (let i = 0; i < 2; i++) await adapter[Symbol.asyncDispose]();
  assertEquals(fake.calls().slice(-2), ["WintunEndSession", "WintunCloseAdapter"]);
});

Deno.test("what Wintun has to say is handed on, with how grave it is", async () => {
  using fake = new FakeLibrary("wintun.dll");
  const said: string[] = [];
  const wintun = Wintun.open([fakePath("wintun.dll")], (level, message) => said.push(`${level} ${message}`));
  fake.script({ function: "WintunCreateAdapter", action: "fail", code: 5 });
  await assertRejects(() => wintun.create("zl-1-g", kind()), FfiError);
  await waitFor("the words", () => said.includes("error Failed to create adapter (Code 0x00000005)"));
});
