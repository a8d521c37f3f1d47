/** Events, against functions that check every byte they are given. */
import { assertEquals, assertThrows } from "@std/assert";
import { type EventLogSymbols, writeEvent } from "../../../ffi/windows/event_log.ts";
import { decodeWide, readWide } from "../../../ffi/windows/wide_string.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";

/** A log that takes events, or fails at one of the calls. */
function logThat(fails: "never" | "register" | "report" = "never"): {
  symbols: EventLogSymbols;
  events: unknown[];
} {
  const events: unknown[] = [];
  const symbols: EventLogSymbols = {
    RegisterEventSourceW: (server, source) => {
      assertEquals(server, null);
      events.push(decodeWide((index) => (source as Uint16Array)[index]!));
      return fails === "register" ? 0n : 77n;
    },
    ReportEventW: (handle, type, category, id, user, count, bytes, strings, data) => {
      assertEquals([handle, category, user, count, bytes, data], [77n, 0, null, 1, 0, null]);
      const text = readWide(Deno.UnsafePointer.create((strings as BigUint64Array)[0]!));
      events.push([type, id, text]);
      return fails === "report" ? 0 : 1;
    },
    DeregisterEventSource: (handle) => events.push(`closed ${handle}`) && 1,
    GetLastError: () => 1722,
  };
  return { symbols, events };
}

Deno.test("writeEvent() reports one text under the source, and lets go of it", () => {
  const { symbols, events } = logThat();
  writeEvent("zt", { type: "information", id: 1, text: "für später" }, symbols);
  writeEvent("zt", { type: "error", id: 3, text: "" }, symbols);
  assertEquals(events, ["zt", [4, 1, "für später"], "closed 77", "zt", [1, 3, ""], "closed 77"]);
});

Deno.test("writeEvent() cuts what is too long, and leaves out what C would end at", () => {
  const { symbols, events } = logThat();
  writeEvent("zt", { type: "error", id: 3, text: `a\0b${"x".repeat(40_000)}` }, symbols);
  const [, , text] = events[1] as [number, number, string];
  assertEquals([text.slice(0, 3), text.length], ["abx", 30_999]);
});

Deno.test("writeEvent() tells what failed, and keeps no handle", () => {
  const register = logThat("register"), report = logThat("report");
  const event = { type: "error", id: 3, text: "x" } as const;
  assertThrows(
    () => writeEvent("zt", event, register.symbols),
    Win32Error,
    "RegisterEventSourceW: error 1722",
  );
  assertThrows(() => writeEvent("zt", event, report.symbols), Win32Error, "ReportEventW: error 1722");
  assertEquals([register.events.length, report.events.at(-1)], [1, "closed 77"]);
});
