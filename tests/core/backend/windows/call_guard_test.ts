/** Deadlines and the breaker: a call that hangs fails for its caller, new ones fail at once, recovery comes by itself. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CallGuard } from "../../../../core/backend/windows/call_guard.ts";
import { type HcnChannel, libraryChannel, NoServiceError } from "../../../../core/backend/windows/channel.ts";
import { DeadlineError, UnavailableError, UnsupportedError } from "../../../../core/errors.ts";
import type { HcnCall } from "../../../../ffi/computenetwork.ts";
import { guid, tick } from "../../../support/container_rig.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { RecordingLog } from "../../../support/engine_rig.ts";
import { FakeHcnLibrary } from "../../../support/fake_hcn/library.ts";
import { FakeHns } from "../../../support/fake_hcn/service.ts";

const LIST: HcnCall = { fn: "HcnEnumerateNetworks" };
const CREATE: HcnCall = {
  fn: "HcnCreateNamespace",
  id: guid(1),
  text: '{"Type":"Host","SchemaVersion":{"Major":2,"Minor":0}}',
};

class GuardRig {
  readonly clock = new FakeClock();
  readonly hns = new FakeHns(() => this.clock.monotonicMs());
  readonly library = new FakeHcnLibrary(this.hns);
  /** Channels opened, and which of them are closed. */
  readonly channels: { isClosed: boolean }[] = [];
  recoveries = 0;
  readonly guard = new CallGuard({ open: () => this.#open(), clock: this.clock, log: new RecordingLog() });

  constructor() {
    this.guard.onRecovered(() => this.recoveries++);
  }

  /** A call that hangs until the result is called. */
  hang(name: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.library.next(name, { until: promise });
    return resolve;
  }

  async pass(ms: number): Promise<void> {
    await tick();
    this.clock.advance(ms);
    await tick();
  }

  #open(): HcnChannel {
    const inner = libraryChannel(this.library);
    const state = { isClosed: false };
    this.channels.push(state);
    return { call: (call) => inner.call(call), close: () => void (state.isClosed = true) };
  }
}

Deno.test("a call that hangs fails after 15 s, and new ones at once, with the reason", async () => {
  const rig = new GuardRig();
  const release = rig.hang("EnumerateNetworks");
  const hanging = assertRejects(() => rig.guard.call(LIST), UnavailableError, "HcnEnumerateNetworks");
  await rig.pass(14_999);
  assertEquals(rig.guard.trouble, undefined);
  await rig.pass(1);
  await hanging;
  assertStringIncludes(rig.guard.trouble!, "HcnEnumerateNetworks has not come back for 15 s");
  const before = rig.library.calls.length;
  await assertRejects(() => rig.guard.call(LIST), UnavailableError, "does not answer");
  assertEquals(rig.library.calls.length, before, "nothing was called");
  release();
  await tick();
  assertEquals([rig.guard.trouble, rig.recoveries], [undefined, 1]);
  await rig.guard.call(LIST);
  assertEquals(rig.library.problems(), []);
});

Deno.test("that there is no service is known from the last call, and no trouble: the next call is made", async () => {
  const answers: Error[] = [new NoServiceError("none"), new UnsupportedError("broken")];
  const channel: HcnChannel = {
    call: () => {
      const error = answers.shift();
      return error ? Promise.reject(error) : Promise.resolve({ hresult: 0, record: "", text: "[]" });
    },
    close: () => {},
  };
  const guard = new CallGuard({ open: () => channel, clock: new FakeClock(), log: new RecordingLog() });
  assertEquals(guard.absence, undefined);
  await assertRejects(() => guard.call(LIST), NoServiceError);
  assertEquals([guard.absence, guard.trouble], ["none", undefined]);
  await assertRejects(() => guard.call(LIST), UnsupportedError, "broken");
  assertEquals(guard.absence, "none", "that answers nothing");
  await guard.call(LIST);
  assertEquals(guard.absence, undefined);
});

Deno.test("a probe on a fresh channel ends the trouble; the old one is closed when it owes nothing", async () => {
  const rig = new GuardRig();
  const release = rig.hang("EnumerateNetworks");
  const hanging = assertRejects(() => rig.guard.call(LIST), UnavailableError);
  await rig.pass(15_000);
  await hanging;
  await rig.pass(1_000);
  assertEquals([rig.guard.trouble, rig.recoveries], [undefined, 1]);
  assertEquals(rig.channels.map(({ isClosed }) => isClosed), [false, false]);
  release();
  await tick();
  assertEquals(rig.channels.map(({ isClosed }) => isClosed), [true, false]);
  assertEquals(rig.library.problems(), []);
});

Deno.test("probes that hang too come ever more rarely, and end at a limit", async () => {
  const rig = new GuardRig();
  const releases = Array.from({ length: 20 }, () => rig.hang("EnumerateNetworks"));
  const hanging = assertRejects(() => rig.guard.call(LIST), UnavailableError);
  await rig.pass(15_000);
  await hanging;
  for (let i = 0; i < 90; i++) await rig.pass(10_000);
  assert(rig.guard.trouble !== undefined);
  assertEquals(rig.library.calls.length, 16, "no more threads than that are given up");
  releases.shift()!();
  await tick();
  assertEquals(rig.guard.trouble, undefined);
  for (const release of releases) release();
  await tick();
  rig.library.taken();
});

Deno.test("after a probe that is not answered in 5 s there is twice the pause, up to a minute", async () => {
  const rig = new GuardRig();
  const releases = Array.from({ length: 9 }, () => rig.hang("EnumerateNetworks"));
  const startedAt: number[] = [];
  const start = rig.clock.monotonicMs();
  rig.library.onCall = (_call, _index, when) => {
    if (when === "before") startedAt.push((rig.clock.monotonicMs() - start) / 1000);
  };
  const hanging = assertRejects(() => rig.guard.call(LIST), UnavailableError);
  for (let second = 0; second < 240; second++) await rig.pass(1_000);
  await hanging;
  assertEquals(startedAt, [0, 16, 23, 32, 45, 66, 103, 168, 233]);
  for (const release of releases) release();
  await rig.pass(0);
});

Deno.test("what a late call made is given back: its handle closed, and itself deleted", async (t) => {
  for (const isDeadline of [false, true]) {
    await t.step(isDeadline ? "its own time was up" : "the caller's time was up", async () => {
      const rig = new GuardRig();
      const release = rig.hang("CreateNamespace");
      const limits = isDeadline ? {} : { giveUpAtMs: rig.clock.monotonicMs() + 2_000 };
      const kind = isDeadline ? UnavailableError : DeadlineError;
      const hanging = assertRejects(() => rig.guard.call(CREATE, limits), kind);
      await rig.pass(isDeadline ? 15_000 : 2_000);
      await hanging;
      assertEquals(rig.guard.trouble !== undefined, isDeadline, "an impatient caller is no trouble");
      release();
      await rig.pass(0);
      assertEquals(rig.hns.namespaces.has(guid(1)), false);
      assertEquals(rig.library.problems(), []);
    });
  }
});

Deno.test("a call that is slower than its caller trips the breaker when its own time is up", async () => {
  const rig = new GuardRig();
  const release = rig.hang("EnumerateNetworks");
  const limits = { giveUpAtMs: rig.clock.monotonicMs() + 1_000 };
  const hanging = assertRejects(() => rig.guard.call(LIST, limits), DeadlineError);
  await rig.pass(1_000);
  await hanging;
  await rig.pass(14_000);
  assert(rig.guard.trouble !== undefined);
  release();
  await tick();
  assertEquals(rig.guard.trouble, undefined);
});

Deno.test("a close that is refused is made later, and not while a call that hangs uses the handle", async () => {
  const rig = new GuardRig();
  const made = await rig.guard.call(CREATE), other = await rig.guard.call({ ...CREATE, id: guid(2) });
  const release = rig.hang("QueryNamespaceProperties");
  const query: HcnCall = { fn: "HcnQueryNamespaceProperties", handle: made.handle! };
  const hanging = assertRejects(() => rig.guard.call(query), UnavailableError);
  await rig.pass(15_000);
  await hanging;
  const close = (handle: bigint): HcnCall => ({ fn: "HcnCloseNamespace", handle });
  assertEquals((await rig.guard.call(close(made.handle!))).hresult, 0);
  assertEquals((await rig.guard.call(close(other.handle!))).hresult, 0);
  await rig.pass(1_000);
  assertEquals(rig.guard.trouble, undefined, "the probe was answered");
  assertEquals([
    rig.library.memory.isOpen("Namespace", guid(1)),
    rig.library.memory.isOpen("Namespace", guid(2)),
  ], [
    true,
    false,
  ]);
  release();
  await rig.pass(0);
  assertEquals(rig.library.problems(), []);
});

Deno.test("a close that is refused while the refused ones are made is not forgotten", async () => {
  const rig = new GuardRig();
  const made = await rig.guard.call(CREATE), other = await rig.guard.call({ ...CREATE, id: guid(2) });
  const release = rig.hang("EnumerateNetworks");
  const hanging = assertRejects(() => rig.guard.call(LIST), UnavailableError);
  await rig.pass(15_000);
  await hanging;
  const closed = rig.hang("CloseNamespace");
  await rig.guard.call({ fn: "HcnCloseNamespace", id: guid(1), handle: made.handle! });
  release();
  await rig.pass(0);
  assert(rig.guard.trouble !== undefined, "not over before the first is closed");
  await rig.guard.call({ fn: "HcnCloseNamespace", id: guid(2), handle: other.handle! });
  closed();
  await rig.pass(0);
  assertEquals(rig.guard.trouble, undefined);
  assertEquals(rig.library.problems(), []);
});

Deno.test("a broken channel is replaced", async () => {
  const hns = new FakeHns(() => 0);
  const library = new FakeHcnLibrary(hns);
  let opened = 0;
  const broken: HcnChannel = {
    call: () => Promise.reject(new UnavailableError("worker died")),
    close(): void {},
  };
  const guard = new CallGuard({
    open: () => opened++ === 0 ? broken : libraryChannel(library),
    clock: new FakeClock(),
    log: new RecordingLog(),
  });
  await assertRejects(() => guard.call(LIST), UnavailableError, "worker died");
  await guard.call(LIST);
  assertEquals([opened, guard.trouble], [2, undefined]);
});

Deno.test("when the channel of a call that hangs breaks, the next call decides whether there is trouble", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  const clock = new FakeClock(), library = new FakeHcnLibrary(new FakeHns(() => 0));
  let opened = 0;
  const guard = new CallGuard({
    open: () => opened++ === 0 ? { call: () => promise, close(): void {} } : libraryChannel(library),
    clock,
    log: new RecordingLog(),
  });
  const hanging = assertRejects(() => guard.call(LIST), UnavailableError, "has not come back");
  clock.advance(15_000);
  await hanging;
  reject(new UnavailableError("worker died"));
  await tick();
  assertEquals(guard.trouble, undefined);
  await guard.call(LIST);
  assertEquals([opened, clock.pendingTimers], [2, 0]);
});

Deno.test("a closed guard refuses, and leaves no timer", async () => {
  const rig = new GuardRig();
  await rig.guard.call(LIST);
  rig.guard.close();
  assertEquals(rig.channels, [{ isClosed: true }]);
  assertEquals(rig.clock.pendingTimers, 0);
  await assertRejects(() => rig.guard.call(LIST), UnavailableError, "closed");
});

Deno.test("no handle is closed while a call uses it that its caller had no time for, and its object not deleted", async () => {
  const rig = new GuardRig();
  const { handle } = await rig.guard.call(CREATE);
  const release = rig.hang("QueryNamespaceProperties");
  const id = guid(1), giveUpAtMs = rig.clock.monotonicMs() + 2_000;
  const query: HcnCall = { fn: "HcnQueryNamespaceProperties", id, handle: handle! };
  const hanging = assertRejects(() => rig.guard.call(query, { giveUpAtMs }), DeadlineError);
  await rig.pass(2_000);
  await hanging;
  await rig.guard.call({ fn: "HcnCloseNamespace", id, handle: handle! });
  assert(rig.library.memory.isOpen("Namespace", id), "it is in use");
  const remove: HcnCall = { fn: "HcnDeleteNamespace", id };
  await assertRejects(() => rig.guard.call(remove), UnavailableError, "has to wait until HcnQueryNamespace");
  assertEquals(rig.guard.trouble, undefined);
  release();
  await rig.pass(0);
  assert(!rig.library.memory.isOpen("Namespace", id), "nobody uses it any more");
  assertEquals((await rig.guard.call(remove)).hresult, 0);
  assertEquals(rig.library.problems(), []);
});

Deno.test("nothing is deleted while it may still be made", async () => {
  const rig = new GuardRig();
  const release = rig.hang("CreateNamespace");
  const limits = { giveUpAtMs: rig.clock.monotonicMs() + 2_000 };
  const hanging = assertRejects(() => rig.guard.call(CREATE, limits), DeadlineError);
  await rig.pass(2_000);
  await hanging;
  const remove: HcnCall = { fn: "HcnDeleteNamespace", id: guid(1) };
  await assertRejects(() => rig.guard.call(remove), UnavailableError, "HcnCreateNamespace");
  // Giving it back takes its time too: nobody is to come across it half-way.
  const returned = rig.hang("DeleteNamespace");
  release();
  await rig.pass(0);
  await assertRejects(() => rig.guard.call(remove), UnavailableError, "HcnCreateNamespace");
  returned();
  await rig.pass(0);
  assertEquals(rig.hns.namespaces.has(guid(1)), false);
  await rig.guard.call(remove);
  assertEquals(rig.library.problems(), []);
});

Deno.test("a crowd of calls to a slow service waits here, four at a time, and is no trouble", async () => {
  const rig = new GuardRig();
  const releases = Array.from({ length: 12 }, () => rig.hang("EnumerateNetworks"));
  const done = Promise.all(releases.map(() => rig.guard.call(LIST)));
  for (let i = 0; i < 12; i += 4) {
    await rig.pass(14_000);
    assertEquals(rig.library.calls.length, i + 4);
    for (const release of releases.slice(i, i + 4)) release();
  }
  await done;
  assertEquals([rig.guard.trouble, rig.clock.pendingTimers], [undefined, 0]);
});

Deno.test("calls that wait are refused with those that hang, or when the guard closes; a close does not wait", async () => {
  const rig = new GuardRig();
  const { handle } = await rig.guard.call(CREATE);
  const releases = Array.from({ length: 4 }, () => rig.hang("EnumerateNetworks"));
  const hanging = releases.map(() => assertRejects(() => rig.guard.call(LIST), UnavailableError));
  const waiting = assertRejects(() => rig.guard.call(LIST), UnavailableError, "does not answer");
  await rig.guard.call({ fn: "HcnCloseNamespace", handle: handle! });
  await rig.pass(15_000);
  await Promise.all([...hanging, waiting]);
  for (const release of releases) release();
  await tick();
  assertEquals(rig.guard.trouble, undefined);

  const again = Array.from({ length: 4 }, () => rig.hang("EnumerateNetworks"));
  for (const _ of again) void rig.guard.call(LIST).catch(() => {});
  const closed = assertRejects(() => rig.guard.call(LIST), UnavailableError, "closed");
  const late = assertRejects(
    () => rig.guard.call(LIST, { giveUpAtMs: rig.clock.monotonicMs() }),
    DeadlineError,
  );
  await rig.pass(0);
  await late;
  rig.guard.close();
  await closed;
  for (const release of again) release();
  await tick();
});

Deno.test("a deletion that had to wait is not made any more when its object may still be made", async () => {
  const rig = new GuardRig();
  const releases = Array.from({ length: 3 }, () => rig.hang("EnumerateNetworks"));
  const listed = releases.map(() => rig.guard.call(LIST));
  const create = rig.hang("CreateNamespace");
  const giveUpAtMs = rig.clock.monotonicMs() + 1_000;
  const late = assertRejects(() => rig.guard.call(CREATE, { giveUpAtMs }), DeadlineError);
  const deletion = assertRejects(
    () => rig.guard.call({ fn: "HcnDeleteNamespace", id: CREATE.id! }),
    UnavailableError,
    "has to wait until HcnCreateNamespace is back",
  );
  await rig.pass(1_000);
  await Promise.all([late, deletion]);
  for (const release of [...releases, create]) release();
  await Promise.all(listed);
  await tick();
  assertEquals([rig.hns.namespaces.has(guid(1)), rig.library.problems()], [false, []]);
});
