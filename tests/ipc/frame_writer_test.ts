import { assertEquals, assertThrows } from "@std/assert";
import { FrameDecoder, FrameLengthError, MAX_FRAME_BYTES } from "../../ipc/frame.ts";
import { FrameWriter } from "../../ipc/frame_writer.ts";

/** A stream whose writes wait until the test takes some bytes. */
class SlowStream {
  readonly writes: string[][] = [];
  readonly #decoder = new FrameDecoder();
  #pending: { readonly bytes: Uint8Array; readonly resolve: (length: number) => void } | undefined;
  fails = false;

  write(bytes: Uint8Array): Promise<number> {
    if (this.fails) return Promise.reject(new Deno.errors.BrokenPipe("gone"));
    return new Promise((resolve) => this.#pending = { bytes, resolve });
  }

  /** Takes up to so many bytes of the write that waits. */
  async take(most = Infinity): Promise<void> {
    await turn();
    const { bytes, resolve } = this.#pending!;
    const taken = bytes.subarray(0, Math.min(most, bytes.length));
    this.#pending = undefined;
    this.#decoder.push(taken);
    const frames: string[] = [];
    for (let body = this.#decoder.next(); body; body = this.#decoder.next()) {
      frames.push(new TextDecoder().decode(body));
    }
    this.writes.push(frames);
    resolve(taken.length);
    await turn();
  }

  get idle(): boolean {
    return this.#pending === undefined;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("FrameWriter sends what is queued in one turn, and what comes during a write, in one write each", async () => {
  const stream = new SlowStream();
  const writer = new FrameWriter(stream);
  ["a", "b", "c"].forEach((body) => writer.send(body));
  await turn();
  ["d", "e"].forEach((body) => writer.send(body));
  await stream.take();
  await stream.take();
  assertEquals(stream.writes, [["a", "b", "c"], ["d", "e"]]);
  assertEquals(writer.queuedBytes, 0);
  assertEquals(stream.idle, true);
});

Deno.test("FrameWriter puts frames that others follow into one write, though each write is done at once", async () => {
  const writes: number[] = [];
  const writer = new FrameWriter({
    write: (bytes) => {
      writes.push(bytes.length);
      return Promise.resolve(bytes.length);
    },
  });
  for (let i = 0; i < 10; i++) {
    writer.send("0123456789", i < 9);
    for (let hop = 0; hop < 20; hop++) await null; // what answering a request takes
  }
  await writer.drained(0);
  assertEquals(writes, [140]);
  writer.send("0123456789");
  for (let hop = 0; hop < 20; hop++) await null;
  assertEquals(writes, [140, 14], "with nothing to follow it goes out in this turn");
});

Deno.test("FrameWriter goes on after a write that took only a part", async () => {
  const stream = new SlowStream();
  const writer = new FrameWriter(stream);
  writer.send("hello");
  writer.send("world");
  await stream.take(3);
  assertEquals(writer.queuedBytes, 15);
  await stream.take(7);
  await stream.take();
  assertEquals(stream.writes, [[], ["hello"], ["world"]]);
});

Deno.test("FrameWriter.drained() resolves when few enough bytes are left", async () => {
  const stream = new SlowStream();
  const writer = new FrameWriter(stream);
  await writer.drained(0);
  writer.send("0123456789");
  const seen: string[] = [];
  const waits = [
    writer.drained(14).then(() => seen.push("14")),
    writer.drained(10).then(() => seen.push("10")),
    writer.drained(0).then(() => seen.push("0")),
  ];
  await stream.take(2);
  assertEquals(seen, ["14"]);
  await stream.take(2);
  assertEquals(seen, ["14", "10"]);
  await stream.take();
  await Promise.all(waits);
});

Deno.test("FrameWriter asks for lesser frames only when nothing else waits", async () => {
  const stream = new SlowStream();
  const events = ["event 1", "event 2", "event 3"];
  const writer = new FrameWriter(stream, () => events.shift());
  writer.send("response 1");
  writer.wake();
  await turn();
  writer.send("response 2");
  await stream.take();
  await stream.take();
  await stream.take();
  assertEquals(stream.writes, [["response 1"], ["response 2"], ["event 1", "event 2", "event 3"]]);
});

Deno.test("FrameWriter stops at a broken stream and lets nobody wait", async () => {
  const stream = new SlowStream();
  const writer = new FrameWriter(stream);
  writer.send("a");
  await turn();
  writer.send("b");
  const drained = writer.drained(0);
  stream.fails = true;
  await stream.take();
  await drained;
  assertEquals(writer.failure?.error instanceof Deno.errors.BrokenPipe, true);
  writer.send("c");
  writer.wake();
  assertEquals(writer.queuedBytes, 0);
  await writer.drained(0);
});

Deno.test("FrameWriter.send() refuses a body over the limit and goes on", async () => {
  const stream = new SlowStream();
  const writer = new FrameWriter(stream);
  assertThrows(() => writer.send("x".repeat(MAX_FRAME_BYTES + 1)), FrameLengthError);
  writer.send("a");
  await stream.take();
  assertEquals(stream.writes, [["a"]]);
});
