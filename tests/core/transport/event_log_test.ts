import { assertEquals } from "@std/assert";
import { eventLog } from "../../../core/transport/event_log.ts";

Deno.test("eventLog() numbers what happens to a service, and calls a failure an error", () => {
  const written: unknown[] = [];
  const events = eventLog("zt", (source, event) => void written.push([source, event]));
  events.started("a");
  events.stopped("b");
  events.failed("c");
  assertEquals(written, [
    ["zt", { type: "information", id: 1, text: "a" }],
    ["zt", { type: "information", id: 2, text: "b" }],
    ["zt", { type: "error", id: 3, text: "c" }],
  ]);
});

Deno.test("eventLog() lets a log that takes nothing stop nobody", () => {
  const events = eventLog("zt", () => {
    throw new TypeError("off");
  });
  events.failed("c");
});
