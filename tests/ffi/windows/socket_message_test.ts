/** Control data of receipts; that of what is sent is held against Windows' headers in the rig. */
import { assertEquals } from "@std/assert";
import { PinnedBuffer } from "../../../ffi/memory.ts";
import { type ReceiptInfo, SocketMessage } from "../../../ffi/windows/socket_message.ts";
import { seededTest } from "../../support/seeded_random.ts";

function infoOf(addressBytes: 4 | 16): ReceiptInfo {
  return { hasLocal: false, local: new Uint8Array(addressBytes), interfaceIndex: 0, segmentBytes: 0 };
}

/** What a receipt with this control data tells. @param length As the system gives it. */
function read(control: readonly number[], addressBytes: 4 | 16 = 4, length = control.length): ReceiptInfo {
  const message = new SocketMessage(new PinnedBuffer(16));
  message.aimIncoming(0, 16);
  const header = new Deno.UnsafePointerView(message.pointer);
  const at = Deno.UnsafePointer.create(header.getBigUint64(40))!;
  new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(at, 128)).set(control.slice(0, 128));
  new DataView(Deno.UnsafePointerView.getArrayBuffer(message.pointer, 56)).setUint32(32, length, true);
  const info = infoOf(addressBytes);
  message.readControl(info);
  return info;
}

const V4 = [24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0, 192, 0, 2, 7, 9, 0, 0, 0];
const ADDRESS = Array.from({ length: 16 }, (_, i) => i + 1);
const V6 = [36, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 19, 0, 0, 0, ...ADDRESS, 3, 0, 0, 0, 0, 0, 0, 0];
const SIZE = [20, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 3, 0, 0, 0, 0xac, 5, 0, 0, 0, 0, 0, 0];
/** `IP_TOS`, which Wine gives whoever asks for addresses. */
const TOS = [20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];

Deno.test("readControl() finds our address and the size of datagrams, whatever is beside them", () => {
  const both = { hasLocal: true, local: Uint8Array.of(192, 0, 2, 7), interfaceIndex: 9, segmentBytes: 1452 };
  assertEquals(read([...TOS, ...V4, ...SIZE]), both);
  assertEquals(read([...SIZE, ...V4]), both);
  const v6 = { hasLocal: true, local: Uint8Array.from(ADDRESS), interfaceIndex: 3, segmentBytes: 0 };
  assertEquals(read(V6, 16), v6);
  assertEquals(read([]), infoOf(4));
  assertEquals(read(V6), infoOf(4), "of another family");
  assertEquals(read(V4, 16), infoOf(16));
});

Deno.test("readControl() takes nothing of what is cut short", () => {
  for (let length = 0; length < V4.length; length++) {
    assertEquals(read(V4, 4, length), infoOf(4), `${length}`);
  }
  const short = SIZE.with(0, 18);
  assertEquals(read(short), infoOf(4));
});

seededTest("readControl() ends with any bytes", (random) => {
  for (let i = 0; i < 500; i++) {
    const bytes = Array.from(
      { length: random.below(129) },
      () => random.below(4) === 0 ? random.below(256) : 0,
    );
    read(bytes, random.below(2) === 0 ? 4 : 16, random.below(200));
  }
});
