/** Packets of a Wintun session against rings in this process; the library itself is tested in the Windows rig. */
import { assertEquals, assertThrows } from "@std/assert";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { type WintunCalls, WintunPort } from "../../ffi/wintun_port.ts";

const SESSION = 0x5e55_0001n;

/** What a session has to say next: a packet, or the last error. */
type Next = readonly number[] | number;

/** The functions over lists. */
class FakeRings {
  readonly log: string[] = [];
  readonly #memory = new PinnedBuffer(70_000);
  readonly #buffers = new Map<bigint, PinnedBuffer>();
  #lastError = 0;

  constructor(readonly receives: Next[], readonly allocations: Next[] = []) {}

  /** Reads to 100, behind 12 bytes for a header. */
  port(): WintunPort {
    return new WintunPort(this.calls, SESSION, this.#memory, { readOffset: 100, headerBytes: 12 });
  }

  /** What was read, header included. */
  read(port: WintunPort): number[] {
    return [...this.#memory.bytes.subarray(100, 100 + port.read())];
  }

  /** Writes as a coalescer does: a header that is no part of the packet, and the packet. */
  write(port: WintunPort, packet: Uint8Array): boolean {
    this.#memory.bytes.set(packet, 300);
    port.begin();
    port.add(0, 12);
    port.add(300, packet.length);
    return port.write();
  }

  /** Memory of ours, or a packet of the ring. */
  #at(address: number | bigint): Uint8Array {
    const at = Number(address) - this.#memory.address;
    if (at >= 0 && at < this.#memory.bytes.length) return this.#memory.bytes.subarray(at);
    return this.#buffers.get(BigInt(address))!.bytes;
  }

  get calls(): WintunCalls {
    return {
      wintun: {
        WintunReceivePacket: (session, size) => {
          assertEquals(session, SESSION);
          const next = this.receives.shift() ?? 259;
          this.log.push(`receive ${typeof next === "number" ? next : "packet"}`);
          if (typeof next === "number") return this.#fail(next);
          new Uint32Array(Deno.UnsafePointerView.getArrayBuffer(size!, 4))[0] = next.length;
          return this.#keep(next);
        },
        WintunReleaseReceivePacket: (session, packet) => {
          assertEquals(session, SESSION);
          // What was not copied before is lost, as in a real ring.
          this.#buffers.get(packet)!.bytes.fill(0xdd);
          this.log.push("release");
        },
        WintunAllocateSendPacket: (session, size) => {
          assertEquals(session, SESSION);
          const next = this.allocations.shift() ?? [];
          if (typeof next !== "number") return this.#keep(new Array(size).fill(0xcd));
          this.log.push(`allocate ${next}`);
          return this.#fail(next);
        },
        WintunSendPacket: (session, packet) => {
          assertEquals(session, SESSION);
          this.log.push(`send ${this.#buffers.get(packet)!.bytes.join(" ")}`);
        },
      },
      kernel32: {
        GetLastError: () => this.#lastError,
        RtlMoveMemory: (to, from, size) => this.#at(to).set(this.#at(from).subarray(0, Number(size))),
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
  const port = rings.port();
  const header = new Array(12).fill(0);
  assertEquals(rings.read(port), [...header, 0x45, 1, 2]);
  assertEquals(rings.read(port), [...header, 0x45, 3]);
  assertEquals(rings.read(port), []);
  const one = ["receive packet", "release"];
  assertEquals(rings.log, [...one, ...one, "receive 259"]);
});

Deno.test("[windows T86] an empty ring waits for its event; any other reason is not waited for for long", () => {
  const port = new FakeRings([259, 122, 0, 259]).port();
  const drained = Array.from({ length: 4 }, () => [port.read(), port.isDrained]);
  assertEquals(drained, [[0, true], [0, false], [0, false], [0, true]]);
});

Deno.test("[windows T86] an adapter that is gone and a ring that is damaged end the loop", () => {
  const rings = new FakeRings([38, 13], [38]);
  const port = rings.port();
  const [gone, damaged] = [1, 2].map(() => assertThrows(() => port.read(), Win32Error));
  assertEquals([gone!.code, damaged!.code], [38, 13]);
  assertEquals(assertThrows(() => rings.write(port, Uint8Array.of(0x45)), Win32Error).code, 38);
});

Deno.test("[windows T87] a packet that finds the ring full is dropped and counted; every allocation is sent", () => {
  const rings = new FakeRings([], [111, [], 111]);
  const port = rings.port();
  const taken = [1, 2, 3, 4].map((last) => rings.write(port, Uint8Array.of(0x45, last)));
  assertEquals(taken, [false, true, false, true]);
  assertEquals(rings.log, ["allocate 111", "send 69 2", "allocate 111", "send 69 4"]);
  assertEquals(port.full, 2);
});

Deno.test("[windows T87] nothing is allocated for what is no packet", () => {
  const rings = new FakeRings([]);
  const port = rings.port();
  for (const size of [0, 65_536]) assertEquals(rings.write(port, new Uint8Array(size)), true);
  assertEquals([rings.log, port.full], [[], 0]);
  assertEquals(rings.write(port, new Uint8Array(65_535).fill(1)), true);
  assertEquals(rings.log.length, 1, "the largest there is");
});

Deno.test("a Wintun ring takes packets as they are on a wire", () => {
  const port = new FakeRings([]).port();
  assertEquals([port.takesLarge, port.takesUdpTrains], [false, false]);
});
