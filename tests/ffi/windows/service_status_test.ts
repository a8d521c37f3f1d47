import { assertEquals } from "@std/assert";
import { decodeServiceStatus, encodeServiceStatus } from "../../../ffi/windows/service_status.ts";

/** u32 little-endian, field by field. */
function u32(...fields: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(fields).buffer);
}

Deno.test("[windows T89] encodeServiceStatus() has the bytes of each state", async (t) => {
  const rows = [
    {
      name: "START_PENDING",
      status: { state: 2, accepted: 0, exitCode: 0, checkPoint: 1, waitHintMs: 10_000 },
      want: u32(0x10, 2, 0, 0, 0, 1, 10_000),
    },
    {
      name: "RUNNING",
      status: { state: 4, accepted: 0x105, exitCode: 0, checkPoint: 0, waitHintMs: 0 },
      want: u32(0x10, 4, 0x105, 0, 0, 0, 0),
    },
    {
      name: "STOP_PENDING",
      status: { state: 3, accepted: 0, exitCode: 0, checkPoint: 7, waitHintMs: 15_000 },
      want: u32(0x10, 3, 0, 0, 0, 7, 15_000),
    },
    {
      name: "STOPPED, failed",
      status: { state: 1, accepted: 0, exitCode: 1, checkPoint: 0, waitHintMs: 0 },
      want: u32(0x10, 1, 0, 1, 0, 0, 0),
    },
  ];
  for (const { name, status, want } of rows) {
    await t.step(name, () => {
      const bytes = encodeServiceStatus(status);
      assertEquals([...bytes], [...want]);
      assertEquals(decodeServiceStatus(bytes), status);
    });
  }
});
