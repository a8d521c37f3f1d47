import { assertEquals } from "@std/assert";
import { DeadlineHeap, type HeapEntry } from "../../../core/wireguard/deadline_heap.ts";
import { seededTest } from "../../support/seeded_random.ts";

Deno.test("DeadlineHeap has no deadline while nothing is set", () => {
  const heap = new DeadlineHeap<string>();
  assertEquals([heap.deadline, heap.first], [Infinity, undefined]);
  const entry = heap.add("a");
  assertEquals([heap.deadline, heap.first?.value], [Infinity, "a"]);
  heap.set(entry, 5);
  assertEquals(heap.deadline, 5);
});

Deno.test("DeadlineHeap: an entry that was removed stays out", () => {
  const heap = new DeadlineHeap<string>();
  const [a, b] = [heap.add("a"), heap.add("b")];
  heap.set(a, 1);
  heap.set(b, 2);
  heap.remove(a);
  heap.remove(a);
  heap.set(a, 0);
  assertEquals([heap.deadline, heap.first?.value], [2, "b"]);
  heap.remove(b);
  assertEquals(heap.deadline, Infinity);
});

seededTest("DeadlineHeap gives what is left in order, whatever was removed", (random) => {
  for (let round = 0; round < 300; round++) {
    const heap = new DeadlineHeap<number>();
    const entries = Array.from({ length: 40 }, (_, i) => {
      const entry = heap.add(i);
      heap.set(entry, random.below(100));
      return entry;
    });
    for (let i = 0; i < 20; i++) heap.remove(entries.splice(random.below(entries.length), 1)[0]!);
    const want = entries.map(({ deadline }) => deadline).sort((a, b) => a - b);
    const got: number[] = [];
    for (let first = heap.first; first; first = heap.first) {
      got.push(first.deadline);
      heap.remove(first);
    }
    assertEquals(got, want);
  }
});

seededTest("DeadlineHeap agrees with a sorted list", (random) => {
  const heap = new DeadlineHeap<number>();
  const live = new Map<number, { entry: HeapEntry<number>; deadline: number }>();
  for (let i = 0; i < 5_000; i++) {
    const ids = [...live.keys()];
    const action = random.below(10);
    if (action < 2 || ids.length === 0) {
      live.set(i, { entry: heap.add(i), deadline: Infinity });
    } else if (action < 3) {
      const id = random.pick(ids);
      heap.remove(live.get(id)!.entry);
      live.delete(id);
    } else {
      const item = live.get(random.pick(ids))!;
      item.deadline = random.below(10) === 0 ? Infinity : random.below(1_000);
      heap.set(item.entry, item.deadline);
    }
    const want = Math.min(Infinity, ...[...live.values()].map(({ deadline }) => deadline));
    assertEquals(heap.deadline, want, `step ${i}`);
  }
});
