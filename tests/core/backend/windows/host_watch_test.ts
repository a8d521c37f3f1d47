import { assertEquals } from "@std/assert";
import { watchHost } from "../../../../core/backend/windows/host_watch.ts";
import { SILENT_LOG } from "../../../../core/log.ts";
import { waitFor } from "../../../support/wait_for.ts";

/** A signal that is set from here. */
class Signal implements Disposable {
  isSet = false;
  looks = 0;
  isOpen = true;

  take(): boolean {
    this.looks++;
    const was = this.isSet;
    this.isSet = false;
    return was;
  }

  [Symbol.dispose](): void {
    this.isOpen = false;
  }
}

/** A log that keeps the words of warnings. */
function keeping(): { log: typeof SILENT_LOG; warnings: string[] } {
  const warnings: string[] = [];
  return { log: { ...SILENT_LOG, warn: (message: string) => void warnings.push(message) }, warnings };
}

Deno.test("devices are looked at when something has changed, and only then; what strayed is told of", async () => {
  const signal = new Signal();
  const told: string[] = [];
  let seen = 0;
  const stop = watchHost({
    openSignal: () => signal,
    strayed: () => (seen++, ["zl-1-g", "zl-2-d"]),
    onStrayed: (name) => told.push(name),
    log: SILENT_LOG,
  });
  await waitFor("a look at the signal", () => signal.looks > 0);
  assertEquals([seen, told], [0, []]);
  signal.isSet = true;
  await waitFor("the news", () => told.length > 0);
  assertEquals([seen, told], [1, ["zl-1-g", "zl-2-d"]]);
  stop();
  assertEquals(signal.isOpen, false);
});

Deno.test("a look that fails is a warning, and the next change is looked at", async () => {
  const signal = new Signal();
  const told: string[] = [];
  const { log, warnings } = keeping();
  const stop = watchHost({
    openSignal: () => signal,
    strayed(): string[] {
      if (warnings.length === 0) throw new Error("no tables");
      return ["zl-1-g"];
    },
    onStrayed: (name) => told.push(name),
    log,
  });
  signal.isSet = true;
  await waitFor("the warning", () => warnings.length > 0);
  signal.isSet = true;
  await waitFor("the news", () => told.length > 0);
  assertEquals(warnings, ["cannot look at addresses and routes"]);
  stop();
});

Deno.test("a system that refuses to tell of changes is a warning", () => {
  const { log, warnings } = keeping();
  const openSignal = (): Signal => {
    throw new Error("no");
  };
  watchHost({ openSignal, strayed: () => [], onStrayed: () => {}, log })();
  assertEquals(warnings, ["changes to addresses and routes by others are noticed late"]);
});
