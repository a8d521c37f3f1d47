/** Signatures, against functions that check every byte they are given; in the Windows rig against Wine's. */
import { assertEquals } from "@std/assert";
import { PinnedBuffer } from "../../../ffi/memory.ts";
import { type Signature, type TrustSymbols, verifySignature } from "../../../ffi/windows/authenticode.ts";
import { encodeWide, readWide } from "../../../ffi/windows/wide_string.ts";
import { toHex } from "../../support/golden.ts";

const FILE = { path: "C:\\x\\wintun.dll", handle: 77n };
const STATE = 0xabcdn;
/** WINTRUST_ACTION_GENERIC_VERIFY_V2 as softpub.h has it. */
const ACTION = "6b c5 aa 00 44 cd d0 11 8c c2 00 c0 4f c2 95 ee";

/** wintrust and crypt32 with one answer. */
class FakeTrust {
  readonly actions: number[] = [];
  readonly #certificate = new PinnedBuffer(16);

  /** @param signer `undefined`: nobody is found in the state. */
  constructor(readonly result: number, readonly signer?: string) {
    this.#certificate.view.setUint32(0, 16, true);
    this.#certificate.view.setBigUint64(8, 0xce27n, true);
  }

  get symbols(): TrustSymbols {
    const some = Deno.UnsafePointer.create(1n);
    return {
      WinVerifyTrust: (window, action, data) => {
        assertEquals([window, toHex(action as Uint8Array)], [0xffff_ffff_ffff_ffffn, ACTION]);
        this.#verify(new DataView(Deno.UnsafePointerView.getArrayBuffer(data!, 88)));
        return this.result;
      },
      WTHelperProvDataFromStateData: (state) => {
        assertEquals(state, STATE);
        return this.signer === undefined ? null : some;
      },
      WTHelperGetProvSignerFromChain: (_data, index, counter, counterIndex) => {
        assertEquals([index, counter, counterIndex], [0, 0, 0]);
        return some;
      },
      WTHelperGetProvCertFromChain: (_signer, index) => {
        assertEquals(index, 0);
        return this.#certificate.pointer;
      },
      CertGetNameStringW: (certificate, type, flags, para, out, count) => {
        assertEquals([certificate, type, flags, para], [0xce27n, 4, 0, null]);
        const name = encodeWide(this.signer!).subarray(0, count);
        (out as Uint16Array).set(name);
        return name.length;
      },
    };
  }

  /** Whatever is not used is zero. */
  #verify(data: DataView<ArrayBuffer>): void {
    const action = data.getUint32(48, true);
    this.actions.push(action);
    assertEquals([0, 24, 28, 32, 72].map((at) => data.getUint32(at, true)), [88, 2, 0, 1, 0x1010]);
    const info = new DataView(
      Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(data.getBigUint64(40, true))!, 32),
    );
    assertEquals([info.getUint32(0, true), info.getUint32(4, true), info.getBigUint64(24, true)], [
      32,
      0,
      0n,
    ]);
    assertEquals(readWide(Deno.UnsafePointer.create(info.getBigUint64(8, true))), FILE.path);
    assertEquals(info.getBigUint64(16, true), FILE.handle);
    for (const at of [4, 8, 12, 16, 20, 36, 52, 64, 68, 76, 80, 84]) {
      assertEquals(data.getUint32(at, true), 0);
    }
    assertEquals(data.getBigUint64(56, true), action === 1 ? 0n : STATE);
    data.setBigUint64(56, STATE, true);
  }
}

Deno.test("verifySignature() gives the signer, or says what is wrong; the state is closed each time", async (t) => {
  const rows: { name: string; fake: FakeTrust; want: Signature }[] = [
    {
      name: "valid",
      fake: new FakeTrust(0, "WireGuard LLC"),
      want: { valid: true, signer: "WireGuard LLC" },
    },
    { name: "nobody", fake: new FakeTrust(0), want: { valid: false, why: "its signer has no name" } },
    {
      name: "a name that is cut",
      fake: new FakeTrust(0, "x".repeat(400)),
      want: { valid: true, signer: "x".repeat(255) },
    },
    ...([
      [0x800b_0100, "it is not signed (800b0100)"],
      [0x8009_6010, "it was changed after it was signed (80096010)"],
      [0x800b_0109, "this host does not know the root of the signer's certificate (800b0109)"],
      [0x8007_0057, "its signature is not valid (80070057)"],
    ] as const).map(([code, why]) => ({
      name: code.toString(16),
      fake: new FakeTrust(code | 0, "WireGuard LLC"),
      want: { valid: false, why } as const,
    })),
  ];
  for (const { name, fake, want } of rows) {
    await t.step(name, () => {
      assertEquals(verifySignature(FILE, fake.symbols), want);
      assertEquals(fake.actions, [1, 2]);
    });
  }
});
