import { assertEquals } from "@std/assert";
import { ServiceLifecycle, type ServiceReport } from "../../../core/windows_service/lifecycle.ts";

const STOPPED = 1;
const START_PENDING = 2;
const STOP_PENDING = 3;
const RUNNING = 4;

/** A lifecycle that is written down. */
class Recorded {
  readonly reports: ServiceReport[] = [];
  readonly stops: string[] = [];
  readonly lifecycle = new ServiceLifecycle({
    report: (report) => this.reports.push(report),
    requestStop: (reason) => this.stops.push(reason),
  });

  get states(): number[] {
    return this.reports.map(({ state }) => state);
  }
}

Deno.test("[windows T89] ServiceLifecycle reports START_PENDING, RUNNING, STOP_PENDING, STOPPED, with hints", () => {
  const { lifecycle, reports } = new Recorded();
  lifecycle.starting();
  lifecycle.tick();
  lifecycle.running();
  lifecycle.tick();
  lifecycle.stopping();
  lifecycle.tick();
  lifecycle.tick();
  lifecycle.stopped(0);
  lifecycle.tick();
  const pending = { accepted: 0, exitCode: 0 };
  const settled = { exitCode: 0, checkPoint: 0, waitHintMs: 0 };
  assertEquals(reports, [
    { ...pending, state: START_PENDING, checkPoint: 1, waitHintMs: 10_000 },
    { ...pending, state: START_PENDING, checkPoint: 2, waitHintMs: 10_000 },
    { ...settled, state: RUNNING, accepted: 0x105 }, // STOP, SHUTDOWN, PRESHUTDOWN
    { ...pending, state: STOP_PENDING, checkPoint: 1, waitHintMs: 15_000 },
    { ...pending, state: STOP_PENDING, checkPoint: 2, waitHintMs: 15_000 },
    { ...pending, state: STOP_PENDING, checkPoint: 3, waitHintMs: 15_000 },
    { ...settled, state: STOPPED, accepted: 0 },
  ]);
});

Deno.test("[windows T89] a service that failed is STOPPED with exit code 1, whatever state it was in", () => {
  for (const steps of [[], ["running"], ["running", "stopping"]] as const) {
    const { lifecycle, reports } = new Recorded();
    lifecycle.starting();
    for (const step of steps) lifecycle[step]();
    lifecycle.stopped(1);
    assertEquals(reports.at(-1), { state: STOPPED, accepted: 0, exitCode: 1, checkPoint: 0, waitHintMs: 0 });
  }
});

Deno.test("ServiceLifecycle never goes back", () => {
  const recorded = new Recorded();
  const { lifecycle } = recorded;
  lifecycle.running(); // before anything
  lifecycle.starting();
  lifecycle.starting();
  lifecycle.stopping(); // before it ran
  lifecycle.running();
  lifecycle.stopping();
  lifecycle.stopped(0);
  lifecycle.stopped(1);
  lifecycle.stopping();
  lifecycle.running();
  lifecycle.starting();
  assertEquals(recorded.states, [START_PENDING, STOP_PENDING, STOPPED]);
});

Deno.test("[windows T90] the handler answers every control, and STOP and SHUTDOWN stop once", async (t) => {
  const rows = [
    { name: "STOP", codes: [1], want: [0], stops: ["service stop"] },
    { name: "SHUTDOWN", codes: [5], want: [0], stops: ["system shutdown"] },
    { name: "PRESHUTDOWN", codes: [15], want: [0], stops: ["system shutdown"] },
    { name: "all of them", codes: [1, 5, 15, 1], want: [0, 0, 0, 0], stops: ["service stop"] },
    { name: "INTERROGATE", codes: [4], want: [0], stops: [] },
    { name: "others", codes: [0x80, 2, 3, 0, 0xffff_ffff], want: [120, 120, 120, 120, 120], stops: [] },
  ];
  for (const { name, codes, want, stops } of rows) {
    await t.step(name, () => {
      const recorded = new Recorded();
      recorded.lifecycle.starting();
      recorded.lifecycle.running();
      assertEquals(codes.map((code) => recorded.lifecycle.control(code)), want);
      assertEquals(recorded.stops, stops);
      assertEquals(recorded.states, [START_PENDING, RUNNING, ...stops.length > 0 ? [STOP_PENDING] : []]);
    });
  }
});

Deno.test("a control after a stop that something else began still asks for one, and changes no state", () => {
  const recorded = new Recorded();
  recorded.lifecycle.starting();
  recorded.lifecycle.running();
  recorded.lifecycle.stopping();
  assertEquals(recorded.lifecycle.control(1), 0);
  assertEquals(recorded.stops, ["service stop"]);
  assertEquals(recorded.states, [START_PENDING, RUNNING, STOP_PENDING]);
});
