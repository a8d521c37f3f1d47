/** Deletion waits for readers, readers for a deletion, and nobody for other objects. */
import { assertEquals } from "@std/assert";
import { OpenHandles } from "../../../../core/backend/windows/open_handles.ts";
import { guid, tick } from "../../../support/container_rig.ts";

Deno.test("OpenHandles: a deletion waits for the last handle of that object, and not for others", async () => {
  const handles = new OpenHandles();
  handles.add(guid(1));
  await handles.enter(guid(1));
  handles.add(guid(2));
  const steps: string[] = [];
  const deleted = (n: number): Promise<void> =>
    handles.alone(guid(n), () => Promise.resolve(void steps.push(`deleted ${n}`)));
  const first = deleted(1);
  await deleted(3);
  handles.remove(guid(1));
  await tick();
  assertEquals(steps, ["deleted 3"]);
  handles.remove(guid(1));
  await first;
  assertEquals(steps, ["deleted 3", "deleted 1"]);
  handles.remove(guid(2));
  await deleted(2);
});

Deno.test("OpenHandles: nothing is opened or deleted again while it is being deleted, also if that fails", async () => {
  const handles = new OpenHandles();
  const { promise, reject } = Promise.withResolvers<void>();
  const steps: string[] = [];
  const failing = handles.alone(guid(1), () => promise).catch(() => void steps.push("failed"));
  const opened = handles.enter(guid(1)).then(() => void steps.push("opened"));
  const again = handles.alone(guid(1), () => Promise.resolve(void steps.push("deleted")));
  await handles.enter(guid(2));
  await tick();
  assertEquals(steps, []);
  reject(new Error("refused"));
  await failing;
  await opened;
  await tick();
  handles.remove(guid(1));
  await again;
  assertEquals(steps.filter((step) => step !== "failed"), ["opened", "deleted"]);
});
