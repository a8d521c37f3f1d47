/** Deletion waits for readers, and for them only. */
import { assertEquals } from "@std/assert";
import { OpenHandles } from "../../../../core/backend/windows/open_handles.ts";

Deno.test("none() resolves when the last handle of that object is closed, others aside", async () => {
  const handles = new OpenHandles();
  await handles.none("a");
  handles.add("a");
  handles.add("a");
  handles.add("b");
  const order: string[] = [];
  const waiting = handles.none("a").then(() => order.push("none"));
  handles.remove("a");
  await Promise.resolve();
  order.push("one left");
  handles.remove("a");
  await waiting;
  assertEquals(order, ["one left", "none"]);
});
