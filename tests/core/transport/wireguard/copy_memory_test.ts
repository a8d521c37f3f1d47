/** Copying and summing in one go: by WebAssembly, by JavaScript, and by neither in one go. */
import { assert, assertEquals } from "@std/assert";
import { fold } from "../../../../core/transport/wireguard/checksum.ts";
import { openCopyMemory, openPlain, openWasm } from "../../../../core/transport/wireguard/copy_memory.ts";
import { seededTest } from "../../../support/seeded_random.ts";

const LENGTH = 200_000;

/** Byte by byte. */
function naiveSum(bytes: Uint8Array): number {
  return fold(bytes.reduce((sum, byte, i) => sum + (byte << (i % 2 === 0 ? 8 : 0)), 0));
}

for (const [name, open] of [["WebAssembly", openWasm], ["JavaScript", openPlain]] as const) {
  seededTest(`${name}: copySum() moves what it says, nothing else, and sums it`, (random) => {
    const { bytes, copySum } = open(LENGTH);
    bytes.set(random.bytes(70_000));
    const lengths = [...Array.from({ length: 200 }, (_, i) => i), 1368, 1369, 1420, 65_535, 65_536];
    for (const length of lengths) {
      const source = random.below(100);
      const target = 100_000 + random.below(100);
      const before = bytes.slice(target - 64, target + length + 64);
      const sum = copySum(target, source, length);
      const want = bytes.slice(source, source + length);
      // Zero has two forms in ones' complement.
      assertEquals(sum % 0xffff, naiveSum(want) % 0xffff, `sum of ${length}`);
      assert(sum <= 0xffff);
      before.set(want, 64);
      assertEquals(bytes.slice(target - 64, target + length + 64), before, `${length} bytes`);
    }
  });

  Deno.test(`${name}: 64 KiB of ones overflow nothing`, () => {
    const { bytes, copySum } = open(LENGTH);
    bytes.fill(0xff, 0, 65_536);
    assertEquals(copySum(100_000, 0, 65_536), 0xffff);
  });
}

Deno.test("openCopyMemory() does without WebAssembly where that has no vectors or no room", () => {
  const { Memory, Module } = WebAssembly;
  const refusals = [
    () =>
      WebAssembly.Memory = function (): void {
        throw new RangeError("no room");
      } as unknown as typeof Memory,
    () =>
      WebAssembly.Module = function (): void {
        throw new WebAssembly.CompileError("no vectors");
      } as unknown as typeof Module,
  ];
  for (const refuse of refusals) {
    try {
      refuse();
      const { bytes, copySum } = openCopyMemory(100);
      bytes[0] = 1;
      assertEquals([copySum(50, 0, 2), bytes[50], bytes.length], [0x100, 1, 100]);
    } finally {
      WebAssembly.Memory = Memory;
      WebAssembly.Module = Module;
    }
  }
  assert(openCopyMemory(100).bytes.length >= 100);
});
