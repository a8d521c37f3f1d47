import { assertEquals } from "@std/assert";
import { handleSignals } from "../../core/signals.ts";

/** What signals come to on a system; the listeners are called by hand. */
function listening(
  os: string,
  terminal: boolean,
): { names: string[]; send: (...signals: string[]) => string[] } {
  const listeners = new Map<string, () => void>();
  const events: string[] = [];
  handleSignals(
    {
      stop: (signal) => void events.push(`stop ${signal}`),
      force: (signal) => void events.push(`force ${signal}`),
    },
    { os, terminal, listen: (signal, onSignal) => void listeners.set(signal, onSignal) },
  );
  return {
    names: [...listeners.keys()],
    send(...signals): string[] {
      for (const signal of signals) listeners.get(signal)!();
      return events.splice(0);
    },
  };
}

Deno.test("handleSignals() stops at the first signal, whichever, and ends at once at the second", () => {
  assertEquals(listening("linux", false).send("SIGTERM", "SIGINT"), ["stop SIGTERM", "force SIGINT"]);
  assertEquals(listening("windows", true).send("SIGBREAK", "SIGINT"), ["stop SIGBREAK", "force SIGINT"]);
});

Deno.test("handleSignals() listens for what the system has: Ctrl-C and Ctrl-Break on Windows", () => {
  assertEquals(listening("windows", true).names, ["SIGINT", "SIGBREAK"]);
  assertEquals(listening("linux", true).names, ["SIGINT", "SIGTERM", "SIGHUP"]);
});

Deno.test("handleSignals() takes SIGHUP for a stop on a terminal only", () => {
  assertEquals(listening("linux", true).send("SIGHUP"), ["stop SIGHUP"]);
  assertEquals(listening("linux", false).send("SIGHUP", "SIGTERM"), ["stop SIGTERM"]);
});
