/** Packets of a Wintun session against rings in this process; the library itself is tested in the Windows rig. */
import { assertEquals, assertThrows } from "@std/assert";
import { LibraryError } from "../../ffi/errors.ts";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { checkCapacity, Wintun, type WintunCalls, WintunPort } from "../../ffi/wintun.ts";

Deno.test("[windows T85] rings have a power of two from 128 KiB to 64 MiB", () => {
  for (const capacity of [0x2_0000, 0x40_0000, 0x400_0000]) checkCapacity(capacity);
  for (const capacity of [0x1_0000, 3 << 20, 128 << 20, 0, -0x2_0000, 0x2_0000 + 0.5]) {
    assertThrows(() => checkCapacity(capacity), RangeError, "a power of two from 0x20000 to 0x4000000");
  }
});

Deno.test("Wintun.open() names all places, and where to get the library", () => {
  const places = ["/nowhere/wintun.dll", "/nowhere/else/wintun.dll"];
  const error = assertThrows(() => Wintun.open(places), LibraryError);
  for (const text of [...places, "https://www.wintun.net"]) {
    assertEquals(error.message.includes(text), true, error.message);
  }
});

/** What a session has to say next: a packet, or the last error. */
type Next = readonly number[] | number;

/** The functions over lists. */
class FakeRings {
  readonly log: string[] = [];
  readonly #buffers = new Map<bigint, PinnedBuffer>();
  #lastError = 0;

  constructor(readonly receives: Next[], readonly allocations: Next[] = []) {}

  get calls(): WintunCalls {
    return {
      wintun: {
        WintunReceivePacket: (_session, size) => {
          const next = this.receives.shift() ?? 259;
          this.log.push(`receive ${typeof next === "number" ? next : "packet"}`);
          if (typeof next === "number") return this.#fail(next);
          new Uint32Array(Deno.UnsafePointerView.getArrayBuffer(size!, 4))[0] = next.length;
          return this.#keep(next);
        },
        WintunReleaseReceivePacket: (_session, packet) => {
          // What was not copied before is lost, as in a real ring.
          this.#buffers.get(packet)!.bytes.fill(0xdd);
          this.log.push("release");
        },
        WintunAllocateSendPacket: (_session, size) => {
          const next = this.allocations.shift() ?? [];
          if (typeof next !== "number") return this.#keep(new Array(size).fill(0xcd));
          this.log.push(`allocate ${next}`);
          return this.#fail(next);
        },
        WintunSendPacket: (_session, packet) =>
          void this.log.push(`send ${this.#buffers.get(packet)!.bytes.join(" ")}`),
      },
      kernel32: {
        GetLastError: () => this.#lastError,
        copyOut: (to, from, size) => {
          const out = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(to!, Number(size)));
          out.set(this.#buffers.get(from)!.bytes.subarray(0, Number(size)));
        },
        copyIn: (to, from, size) =>
          this.#buffers.get(to)!.bytes.set((from as Uint8Array).subarray(0, Number(size))),
      },
    };
  }

  #fail(code: number): bigint {
    this.#lastError = code;
    return 0n;
  }

  #keep(bytes: readonly number[]): bigint {
    const buffer = new PinnedBuffer(bytes.length);
    buffer.bytes.set(bytes);
    this.#buffers.set(BigInt(buffer.address), buffer);
    return BigInt(buffer.address);
  }
}

Deno.test("[windows T86] a received packet is copied, then released once", () => {
  const rings = new FakeRings([[0x45, 1, 2], [0x45, 3]]);
  const port = new WintunPort(rings.calls, 1n);
  assertEquals(port.read()?.slice(), Uint8Array.of(0x45, 1, 2));
  assertEquals(port.read()?.slice(), Uint8Array.of(0x45, 3));
  assertEquals(port.read(), undefined);
  const one = ["receive packet", "release"];
  assertEquals(rings.log, [...one, ...one, "receive 259"]);
});

Deno.test("[windows T86] an empty ring waits for its event; any other reason is not waited for for long", () => {
  const port = new WintunPort(new FakeRings([259, 122, 0, 259]).calls, 1n);
  const drained = Array.from({ length: 4 }, () => [port.read(), port.isDrained]);
  assertEquals(drained, [[undefined, true], [undefined, false], [undefined, false], [undefined, true]]);
});

Deno.test("[windows T86] an adapter that is gone and a ring that is damaged end the loop", () => {
  const port = new WintunPort(new FakeRings([38, 13], [38]).calls, 1n);
  const [gone, damaged] = [1, 2].map(() => assertThrows(() => port.read(), Win32Error));
  assertEquals([gone!.code, damaged!.code], [38, 13]);
  assertEquals(assertThrows(() => port.write(Uint8Array.of(0x45)), Win32Error).code, 38);
});

Deno.test("[windows T87] a packet that finds the ring full is dropped and counted; every allocation is sent", () => {
  const rings = new FakeRings([], [111, [], 111]);
  const port = new WintunPort(rings.calls, 1n);
  for (const last of [1, 2, 3, 4]) port.write(Uint8Array.of(0x45, last));
  assertEquals(rings.log, ["allocate 111", "send 69 2", "allocate 111", "send 69 4"]);
  assertEquals(port.full, 2);
});

Deno.test("[windows T87] nothing is allocated for what is no packet", () => {
  const rings = new FakeRings([]);
  const port = new WintunPort(rings.calls, 1n);
  for (const size of [0, 65_536]) port.write(new Uint8Array(size));
  assertEquals(rings.log, []);
});
