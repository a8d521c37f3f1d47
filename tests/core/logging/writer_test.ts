import { assert, assertEquals } from "@std/assert";
import { BoundedWriter, type ByteSink } from "../../../core/logging/writer.ts";

/** A stream that takes at most `step` bytes a time, and only while it is open. */
class SlowSink implements ByteSink {
  text = "";
  writes = 0;
  #gate = Promise.withResolvers<void>();

  constructor(readonly step: number, open: boolean) {
    if (open) this.open();
  }

  open(): void {
    this.#gate.resolve();
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.writes++;
    await this.#gate.promise;
    const part = bytes.subarray(0, this.step);
    this.text += new TextDecoder().decode(part);
    return part.length;
  }
}

Deno.test("BoundedWriter keeps order over partial writes", async () => {
  const sink = new SlowSink(3, true);
  const writer = new BoundedWriter(sink);
  for (let i = 0; i < 50; i++) writer.write(`line ${i}\n`);
  assert(await writer.flush(5_000));
  assertEquals(sink.text, Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join(""));
});

Deno.test("BoundedWriter gathers what is logged in one turn into one write", async () => {
  const sink = new SlowSink(1_000_000, true);
  const writer = new BoundedWriter(sink);
  for (let i = 0; i < 50; i++) writer.write(`line ${i}\n`);
  await writer.flush(5_000);
  assertEquals(sink.writes, 1);
});

Deno.test("BoundedWriter drops and counts when the stream is full, and goes on when it is read", async () => {
  const sink = new SlowSink(1_000, false);
  const writer = new BoundedWriter(sink, { limitBytes: 100 });
  for (let i = 0; i < 1_000; i++) writer.write("0123456789\n");
  assertEquals(writer.dropped, 1_000 - 9);
  assertEquals(await writer.flush(1), false);
  sink.open();
  assert(await writer.flush(5_000));
  assert(writer.hasRoom);
  assertEquals(writer.takeDropped(), 991);
  writer.write("last\n");
  assert(await writer.flush(5_000));
  assertEquals(sink.text, "0123456789\n".repeat(9) + "last\n");
  assertEquals(writer.dropped, 0);
});

Deno.test("BoundedWriter gives a broken stream up", async () => {
  const sink: ByteSink = { write: () => Promise.reject(new Deno.errors.BrokenPipe("gone")) };
  const writer = new BoundedWriter(sink);
  writer.write("a\n");
  writer.write("b\n");
  assertEquals(await writer.flush(5_000), false);
  writer.write("c\n");
  assertEquals(writer.dropped, 3);
  assertEquals(writer.hasRoom, false);
});
