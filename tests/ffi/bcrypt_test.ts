/** CNG against functions in this process that check every byte they are given. In the Windows rig, against Wine's. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { BcryptChaCha, type BcryptSymbols } from "../../ffi/bcrypt.ts";
import { FfiError } from "../../ffi/errors.ts";
import { decodeWide } from "../../ffi/windows/wide_string.ts";
import { cryptoProviderContract } from "../contract/crypto_provider_contract.ts";
import { NOBLE_HANDSHAKE } from "../../core/wireguard/noble_provider.ts";

const STATUS_NOT_FOUND = 0xc000_0225 | 0;
const STATUS_AUTH_TAG_MISMATCH = 0xc000_a002 | 0;

/** CNG with one cipher. */
class FakeCng {
  readonly keys = new Map<bigint, Uint8Array>();
  /** The memory that keys were handed over in. */
  readonly secrets: Uint8Array[] = [];
  opened = "";
  /** Handles of the cipher that are not closed. */
  open = 0;

  constructor(readonly has: (algorithm: string) => boolean = () => true) {}

  get symbols(): BcryptSymbols {
    return {
      BCryptOpenAlgorithmProvider: (handle, algorithm, implementation, flags) => {
        assertEquals([implementation, flags], [null, 0]);
        this.opened = decodeWide((index) => (algorithm as Uint16Array)[index]!);
        if (!this.has(this.opened)) return STATUS_NOT_FOUND;
        (handle as BigUint64Array)[0] = 77n;
        this.open++;
        return 0;
      },
      BCryptCloseAlgorithmProvider: (algorithm, flags) => {
        assertEquals([algorithm, flags, this.keys.size], [77n, 0, 0]);
        this.open--;
        return 0;
      },
      BCryptSetProperty: () => STATUS_NOT_FOUND,
      BCryptGenerateSymmetricKey: (algorithm, key, object, objectBytes, secret, secretBytes, flags) => {
        assertEquals([algorithm, object, objectBytes, secretBytes, flags], [77n, null, 0, 32, 0]);
        const handle = BigInt(100 + this.keys.size);
        this.keys.set(handle, Uint8Array.from(secret as Uint8Array));
        this.secrets.push(secret as Uint8Array);
        (key as BigUint64Array)[0] = handle;
        return 0;
      },
      BCryptDestroyKey: (key) => this.keys.delete(key) ? 0 : -1,
      BCryptEncrypt: (key, text, length, info, iv, ivBytes, out, outBytes, _done, flags) => {
        assertEquals([iv, ivBytes, outBytes, flags], [null, 0, length, 0]);
        const { nonce, tag } = readInfo(info);
        const cipher = createCipheriv("chacha20-poly1305", this.keys.get(key)!, nonce, { authTagLength: 16 });
        (out as Uint8Array).set(cipher.update((text as Uint8Array).subarray(0, length)));
        cipher.final();
        tag.set(cipher.getAuthTag());
        return 0;
      },
      BCryptDecrypt: (key, text, length, info, iv, ivBytes, out, outBytes, _done, flags) => {
        assertEquals([iv, ivBytes, outBytes, flags], [null, 0, length, 0]);
        const { nonce, tag } = readInfo(info);
        const cipher = createDecipheriv("chacha20-poly1305", this.keys.get(key)!, nonce, {
          authTagLength: 16,
        });
        cipher.setAuthTag(tag);
        try {
          const plain = cipher.update((text as Uint8Array).subarray(0, length));
          cipher.final();
          (out as Uint8Array).set(plain);
          return 0;
        } catch {
          return STATUS_AUTH_TAG_MISMATCH;
        }
      },
    };
  }
}

/** `BCRYPT_AUTHENTICATED_CIPHER_MODE_INFO`; whatever is not used is zero. */
function readInfo(pointer: Deno.PointerValue): { nonce: Uint8Array; tag: Uint8Array } {
  const view = new DataView(Deno.UnsafePointerView.getArrayBuffer(pointer!, 88));
  const used = new Set([0, 4, 8, 12, 16, 40, 44, 48]);
  assertEquals([0, 4, 16, 48].map((at) => view.getUint32(at, true)), [88, 1, 12, 16]);
  for (let at = 0; at < 88; at += 4) assert(used.has(at) || view.getUint32(at, true) === 0, `byte ${at}`);
  const bytesAt = (at: number, length: number): Uint8Array =>
    new Uint8Array(
      Deno.UnsafePointerView.getArrayBuffer(
        Deno.UnsafePointer.create(view.getBigUint64(at, true))!,
        length,
      ),
    );
  return { nonce: bytesAt(8, 12), tag: bytesAt(40, 16) };
}

cryptoProviderContract(() => ({
  name: "bcrypt over a fake",
  handshake: NOBLE_HANDSHAKE,
  packet: BcryptChaCha.open({ symbols: new FakeCng().symbols }),
}));

Deno.test("BcryptChaCha asks for the cipher by the name of bcrypt.h, and tells when there is none", () => {
  const cng = new FakeCng((algorithm) => algorithm !== "CHACHA20_POLY1305");
  assertThrows(
    () => BcryptChaCha.open({ symbols: cng.symbols }),
    FfiError,
    "bcrypt.dll cannot open CHACHA20_POLY1305: NTSTATUS 0xc0000225",
  );
});

Deno.test("BcryptChaCha destroys each key once", () => {
  const cng = new FakeCng();
  const cipher = BcryptChaCha.open({ symbols: cng.symbols });
  const key = cipher.importKey(new Uint8Array(32).fill(3));
  assertEquals(cng.keys.size, 1);
  for (let i = 0; i < 2; i++) cipher.releaseKey(key);
  assertEquals(cng.keys.size, 0);
});

Deno.test("BcryptChaCha leaves no copy of a key behind", () => {
  const cng = new FakeCng();
  const provider = BcryptChaCha.open({ symbols: cng.symbols });
  const key = new Uint8Array(32).fill(7);
  provider.releaseKey(provider.importKey(key));
  assertEquals(cng.secrets, [new Uint8Array(32)]);
  assertEquals(key, new Uint8Array(32).fill(7), "the caller's own is the caller's");
});

Deno.test("BcryptChaCha lets go of its cipher once, and also where it cannot be set up", () => {
  const cng = new FakeCng();
  const library = BcryptChaCha.open({ symbols: cng.symbols });
  library.releaseKey(library.importKey(new Uint8Array(32)));
  assertEquals(cng.open, 1);
  for (let i = 0; i < 2; i++) library[Symbol.dispose]();
  assertEquals(cng.open, 0);
  const cipher = { algorithm: "AES", chainingMode: "ChainingModeGCM" };
  assertThrows(() => BcryptChaCha.open({ symbols: cng.symbols, cipher }), FfiError, "set ChainingModeGCM");
  assertEquals([cng.opened, cng.open], ["AES", 0]);
});
