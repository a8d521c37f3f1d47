import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type DaemonDeps, startDaemon, stopLimitMs } from "../../core/daemon.ts";
import type { Log } from "../../core/log.ts";
import type { OverlayService } from "../../core/service.ts";

const SERVICE = {} as OverlayService;

/** Parts that write down what happens to them; `fail` names steps that throw. */
function parts(fail: readonly string[] = [], overrides: Partial<DaemonDeps> = {}): {
  deps: DaemonDeps;
  events: string[];
  requestShutdown: () => void;
} {
  const events: string[] = [];
  const step = (name: string): Promise<void> => {
    events.push(name);
    return fail.includes(name) ? Promise.reject(new Error(`${name} failed`)) : Promise.resolve();
  };
  const record = (message: string): void => void events.push(`log ${message}`);
  const log: Log = { debug: record, info: record, warn: record, error: record };
  let onShutdown = (): void => {};
  const deps: DaemonDeps = {
    lock: async () => {
      await step("lock");
      return { [Symbol.dispose]: () => void events.push("unlock") };
    },
    openEngine: async () => {
      await step("open engine");
      return { service: SERVICE, cleanup: () => step("cleanup"), close: () => step("close engine") };
    },
    serve: async (service, shutdown) => {
      assertEquals(service, SERVICE);
      onShutdown = shutdown;
      await step("serve");
      return { close: (graceMs) => step(`close server ${graceMs}`) };
    },
    log,
    onStopping: () => {},
    cleanupOnExit: false,
    graceMs: 4000,
    ...overrides,
  };
  return { deps, events, requestShutdown: () => onShutdown() };
}

Deno.test("startDaemon() claims the directory, adopts, then listens; stop() undoes it in reverse", async () => {
  const { deps, events } = parts();
  const daemon = await startDaemon(deps);
  assertEquals(events, ["lock", "open engine", "serve"]);
  events.length = 0;
  await daemon.stop("SIGTERM");
  await daemon.finished;
  assertEquals(events, ["log stopping", "close server 4000", "close engine", "unlock", "log stopped"]);
});

Deno.test("startDaemon() removes the data plane at the end only when told", async () => {
  const { deps, events } = parts([], { cleanupOnExit: true });
  await (await startDaemon(deps)).stop("SIGTERM");
  assertEquals(events.slice(4, 7), ["close server 4000", "cleanup", "close engine"]);
});

Deno.test("startDaemon() closes what it opened when a later step fails", async (t) => {
  const cases: { fail: string; want: string[] }[] = [
    { fail: "lock", want: ["lock"] },
    { fail: "open engine", want: ["lock", "open engine", "unlock"] },
    { fail: "serve", want: ["lock", "open engine", "serve", "close engine", "unlock"] },
  ];
  for (const { fail, want } of cases) {
    await t.step(fail, async () => {
      const { deps, events } = parts([fail]);
      const error = await assertRejects(() => startDaemon(deps), Error);
      assertStringIncludes(error.message, `${fail} failed`);
      assertEquals(events, want);
    });
  }
});

Deno.test("stop() goes through all steps though one fails, and runs once", async () => {
  const { deps, events } = parts(["close server 4000", "cleanup", "close engine"], { cleanupOnExit: true });
  const daemon = await startDaemon(deps);
  events.length = 0;
  await Promise.all([daemon.stop("SIGTERM"), daemon.stop("again")]);
  assertEquals(events, [
    "log stopping",
    "close server 4000",
    "log cannot close the server",
    "cleanup",
    "log cannot remove the data plane",
    "close engine",
    "log cannot close the engine",
    "unlock",
    "log stopped",
  ]);
});

Deno.test("a shutdown request that comes while the daemon still starts stops it all the same", async () => {
  const made = parts();
  const inner = made.deps.serve;
  const daemon = await startDaemon({
    ...made.deps,
    serve: async (service, onShutdown) => {
      onShutdown();
      return await inner(service, onShutdown);
    },
  });
  await daemon.finished;
  assertEquals(made.events.slice(2), [
    "log stopping",
    "serve",
    "close server 4000",
    "close engine",
    "unlock",
    "log stopped",
  ]);
});

Deno.test("a shutdown request stops the daemon [daemon 30]", async () => {
  const { deps, events, requestShutdown } = parts();
  const daemon = await startDaemon(deps);
  requestShutdown();
  await daemon.finished;
  assertEquals(events.at(-1), "log stopped");
});

Deno.test("a stop is cut off before whoever waits for it gives up", () => {
  const limits = [{ service: false }, { service: true }, { service: false, cleanupOnExit: true }]
    .map((how) => stopLimitMs({ cleanupOnExit: false, ...how }));
  // The caller waits 5 s; a service has asked for 15 s, in which Windows removes its adapters.
  assertEquals(limits, [4900, 14_500, 60_000]);
});
