/** The channel through a worker, on a real worker with a fake library in it. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  type ChannelReply,
  NoServiceError,
  WorkerChannel,
} from "../../../../core/backend/windows/channel.ts";
import { UnavailableError, UnsupportedError } from "../../../../core/errors.ts";
import { guid } from "../../../support/container_rig.ts";
import { STUCK_ID } from "../../../support/fake_hcn/worker.ts";

const WORKER = new URL("../../../support/fake_hcn/worker.ts", import.meta.url);

function open(computenetwork = "fake"): WorkerChannel & Disposable {
  const channel = new WorkerChannel({ computenetwork, ole32: "" }, WORKER);
  return Object.assign(channel, { [Symbol.dispose]: () => channel.close() });
}

const NAMESPACE = '{"Type":"Host","SchemaVersion":{"Major":2,"Minor":0}}';

Deno.test("WorkerChannel brings calls and replies across, handles included", async () => {
  using channel = open();
  const made = await channel.call({ fn: "HcnCreateNamespace", id: guid(1), text: NAMESPACE });
  assertEquals([made.hresult, typeof made.handle], [0, "bigint"]);
  const handle = made.handle!;
  const read = await channel.call({
    fn: "HcnQueryNamespaceProperties",
    handle,
    text: NAMESPACE.replace('"Type":"Host",', ""),
  });
  assertEquals(JSON.parse(read.text!).Type, "Host");
  assertEquals((await channel.call({ fn: "HcnCloseNamespace", handle })).hresult, 0);
  const refused = await channel.call({ fn: "HcnOpenNetwork", id: guid(2) });
  assertEquals([refused.hresult, refused.handle], [0x803b0001, 0n]);
});

Deno.test("a call that hangs holds up no other, and ends with the channel", async () => {
  using channel = open();
  const stuck = assertRejects(
    () => channel.call({ fn: "HcnOpenNetwork", id: STUCK_ID }),
    UnavailableError,
    "closed",
  );
  await channel.call({ fn: "HcnEnumerateNetworks" });
  channel.close();
  await stuck;
  await assertRejects(() => channel.call({ fn: "HcnEnumerateNetworks" }), UnavailableError, "closed");
});

Deno.test("a library that is not there is said so [windows T35]", async () => {
  using channel = open("missing");
  await assertRejects(
    () => channel.call({ fn: "HcnEnumerateNetworks" }),
    UnsupportedError,
    "no Host Networking Service",
  );
});

Deno.test("a worker that dies fails its calls", async () => {
  using channel = open("crash");
  await assertRejects(() => channel.call({ fn: "HcnEnumerateNetworks" }), UnavailableError, "worker crashed");
  await assertRejects(() => channel.call({ fn: "HcnEnumerateNetworks" }), UnavailableError, "worker crashed");
});

Deno.test("the program's own worker says that there is no library here [windows T35]", async () => {
  const channel = new WorkerChannel({ computenetwork: "/nonexistent/hcn", ole32: "/nonexistent/ole32" });
  try {
    await assertRejects(
      () => channel.call({ fn: "HcnEnumerateNetworks" }),
      NoServiceError,
      "/nonexistent/hcn",
    );
  } finally {
    channel.close();
  }
});

Deno.test("the worker of a closed channel ends when its last call is back, and not under it", async () => {
  const real = globalThis.Worker;
  const sent: { id?: number }[] = [];
  const worker = {
    onmessage: (_event: { data: ChannelReply }): void => {},
    isTerminated: false,
    postMessage: (request: { id?: number }): void => void sent.push(request),
    terminate: (): void => void (worker.isTerminated = true),
  };
  // deno-lint-ignore no-explicit-any
  (globalThis as any).Worker = function (): unknown {
    return worker;
  };
  try {
    const channel = open();
    const calls = [1, 2].map(() =>
      assertRejects(() => channel.call({ fn: "HcnEnumerateNetworks" }), UnavailableError, "closed")
    );
    channel.close();
    await Promise.all(calls);
    for (const { id } of sent.filter(({ id }) => id !== undefined)) {
      assertEquals(worker.isTerminated, false, "a call still writes into its memory");
      worker.onmessage({ data: { id: id!, ok: true, reply: { hresult: 0, record: "" } } });
    }
    assertEquals(worker.isTerminated, true);
  } finally {
    globalThis.Worker = real;
  }
});
