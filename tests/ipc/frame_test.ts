import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import {
  encodeFrame,
  FrameDecoder,
  FrameEncoder,
  FrameLengthError,
  MAX_FRAME_BYTES,
} from "../../ipc/frame.ts";
import { withSeed } from "../support/seeded_random.ts";

const STATUS = '{"frame":"request","id":7,"request":{"op":"status"}}';

function bodies(decoder: FrameDecoder): string[] {
  const found: string[] = [];
  for (let body = decoder.next(); body; body = decoder.next()) found.push(new TextDecoder().decode(body));
  return found;
}

function header(length: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

Deno.test("encodeFrame() writes the length as u32 little-endian and then UTF-8", () => {
  assertEquals([...encodeFrame("hé")], [
    ...[0x03, 0x00, 0x00, 0x00], // bytes of the body
    ...[0x68, 0xc3, 0xa9],
  ]);
  assertEquals([...encodeFrame("")], [0, 0, 0, 0]);
  assertEquals([...encodeFrame("x".repeat(0x1234)).subarray(0, 5)], [0x34, 0x12, 0x00, 0x00, 0x78]);
});

Deno.test("[ipc 4] FrameDecoder takes a frame one byte at a time", () => {
  const decoder = new FrameDecoder();
  const frame = encodeFrame(STATUS);
  for (const [i, byte] of frame.entries()) {
    assertEquals(decoder.next(), undefined, `after ${i} bytes`);
    decoder.push(Uint8Array.of(byte));
  }
  assertEquals(bodies(decoder), [STATUS]);
  assertEquals(decoder.bufferedBytes, 0);
});

Deno.test("[ipc 4] FrameDecoder finds two frames in one read, and one cut in the middle of the next", () => {
  const decoder = new FrameDecoder();
  const third = encodeFrame("{}");
  decoder.push(concat(encodeFrame(STATUS), encodeFrame("[1]"), third.subarray(0, 5)));
  assertEquals(bodies(decoder), [STATUS, "[1]"]);
  assertEquals(decoder.bufferedBytes, 5);
  decoder.push(third.subarray(5));
  assertEquals(bodies(decoder), ["{}"]);
});

Deno.test("FrameDecoder.hasNext tells whether next() has a body", () => {
  const decoder = new FrameDecoder();
  for (const byte of encodeFrame("ab")) {
    assertEquals([decoder.hasNext, decoder.next()], [false, undefined]);
    decoder.push(Uint8Array.of(byte));
  }
  assertEquals(decoder.hasNext, true);
  decoder.next();
  decoder.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  assertEquals(decoder.hasNext, false, "a length over the limit is next()'s to refuse");
});

Deno.test("[ipc 4] FrameDecoder gives an empty body for length 0", () => {
  const decoder = new FrameDecoder();
  decoder.push(concat(header(0), encodeFrame("{}")));
  assertEquals(bodies(decoder), ["", "{}"]);
});

Deno.test("[ipc 4] FrameDecoder accepts a body of 8388608 bytes", () => {
  assertEquals(MAX_FRAME_BYTES, 8_388_608);
  const decoder = new FrameDecoder();
  decoder.push(header(MAX_FRAME_BYTES));
  for (let i = 0; i < 128; i++) decoder.push(new Uint8Array(65536));
  assertEquals(decoder.next()?.length, MAX_FRAME_BYTES);
});

Deno.test("[ipc 4] FrameDecoder refuses a length of 8388609 on the prefix alone and allocates nothing", () => {
  for (const length of [MAX_FRAME_BYTES + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    const decoder = new FrameDecoder();
    decoder.push(header(length));
    const error = assertThrows(() => decoder.next(), FrameLengthError, "8388608");
    assertEquals(error.length, length);
    assertLess(decoder.capacityBytes, 1024);
  }
});

Deno.test("FrameDecoder holds memory for what arrived, not for what was announced", () => {
  const decoder = new FrameDecoder();
  decoder.push(header(MAX_FRAME_BYTES));
  for (let i = 0; i < 1000; i++) {
    decoder.push(new Uint8Array(10));
    assertEquals(decoder.next(), undefined);
  }
  assertLess(decoder.capacityBytes, 32 * 1024);
});

Deno.test("FrameDecoder gives the memory of a large frame back", () => {
  const decoder = new FrameDecoder();
  decoder.push(encodeFrame("x".repeat(1_000_000)));
  assertEquals(decoder.next()?.length, 1_000_000);
  decoder.reserve(4096);
  assertLess(decoder.capacityBytes, 16 * 1024 + 1);
});

/** @returns How many bytes the work copies from one place to another by the methods of `Uint8Array`. */
function bytesMoved(work: () => void): number {
  const { set, copyWithin } = Uint8Array.prototype;
  let moved = 0;
  Uint8Array.prototype.set = function (source, offset): void {
    moved += source.length;
    set.call(this, source, offset);
  };
  Uint8Array.prototype.copyWithin = function (target, start, end): typeof this {
    moved += (end ?? this.length) - start;
    return copyWithin.call(this, target, start, end) as typeof this;
  };
  try {
    work();
  } finally {
    // Both are inherited: what shadows them goes.
    for (const name of ["set", "copyWithin"]) Reflect.deleteProperty(Uint8Array.prototype, name);
  }
  return moved;
}

Deno.test("FrameDecoder moves each byte a bounded number of times", () => {
  // Quadratic copying would move 64 GB here: 8 MiB that arrive 512 bytes at a time.
  const decoder = new FrameDecoder();
  decoder.push(header(MAX_FRAME_BYTES));
  const moved = bytesMoved(() => {
    for (let i = 0; i < MAX_FRAME_BYTES / 512; i++) {
      decoder.push(new Uint8Array(512));
      decoder.next();
    }
  });
  // Once on the way in, and once again each time that the room doubles.
  assertGreater(moved, MAX_FRAME_BYTES - 1);
  assertLess(moved, 4 * MAX_FRAME_BYTES);
});

Deno.test("FrameDecoder.commit() refuses more than was reserved", () => {
  const decoder = new FrameDecoder();
  const room = decoder.reserve(16);
  assertThrows(() => decoder.commit(room.length + 1), RangeError, "cannot commit");
});

Deno.test("FrameDecoder gives the same bodies for every way to cut a stream", () =>
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const sent = Array.from({ length: 1 + random.below(20) }, () => {
        const length = random.pick([0, 1, 3, 60, 500, 5000, 40_000]);
        return "x".repeat(random.below(length + 1));
      });
      const stream = concat(...sent.map(encodeFrame));
      const decoder = new FrameDecoder();
      const received: string[] = [];
      for (let at = 0; at < stream.length;) {
        const length = Math.min(stream.length - at, 1 + random.below(random.pick([2, 100, 10_000, 70_000])));
        decoder.push(stream.subarray(at, at + length));
        at += length;
        if (random.below(3) > 0) received.push(...bodies(decoder));
      }
      received.push(...bodies(decoder));
      assertEquals(received, sent);
      assertEquals(decoder.bufferedBytes, 0);
    }
  }));

Deno.test("FrameEncoder gathers frames until they are taken", () => {
  const encoder = new FrameEncoder();
  encoder.append("{}");
  encoder.append("ж".repeat(3000)); // two bytes a character: needs the second try
  encoder.append("[]");
  assertEquals(encoder.byteLength, 6 + 6004 + 6);
  const decoder = new FrameDecoder();
  decoder.push(encoder.take());
  assertEquals(bodies(decoder), ["{}", "ж".repeat(3000), "[]"]);
  assertEquals(encoder.byteLength, 0);
  assertEquals(encoder.take().length, 0);
});

Deno.test("FrameEncoder does not write into bytes it gave away", () => {
  const encoder = new FrameEncoder();
  encoder.append("first");
  const first = encoder.take();
  encoder.append("other");
  assertEquals(new TextDecoder().decode(first.subarray(4)), "first");
});

Deno.test("FrameEncoder refuses a body over the limit and keeps what it had", () => {
  const encoder = new FrameEncoder();
  encoder.append("{}");
  assertThrows(() => encoder.append("x".repeat(MAX_FRAME_BYTES + 1)), FrameLengthError);
  assertThrows(() => encoder.append("ж".repeat(MAX_FRAME_BYTES / 2 + 1)), FrameLengthError);
  assertEquals(encoder.byteLength, 6);
  encoder.append("x".repeat(MAX_FRAME_BYTES));
  assert(encoder.take().length === 6 + 4 + MAX_FRAME_BYTES);
});
