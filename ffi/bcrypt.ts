/**
 * ChaCha20-Poly1305 by `bcrypt.dll`, the cryptography of Windows (CNG). Windows 11 and Server 2022 have the cipher;
 * earlier builds, and Wine, do not.
 *
 * Layout of `BCRYPT_AUTHENTICATED_CIPHER_MODE_INFO`, 88 bytes on 64-bit Windows:
 *
 *      0  u32 size                    40  address of the tag
 *      4  u32 version, 1              48  u32 its length
 *      8  address of the nonce        56  state of chained calls, 64 its length: none
 *     16  u32 its length              68  u32 and 72 u64: lengths in chained calls
 *     24  address of associated       80  u32 flags
 *         data, 32 its length: none
 *
 * @see bcrypt.h; `BCryptEncrypt`, which says that text may be encrypted in place.
 */

import { FfiError } from "./errors.ts";
import { lazyLibrary } from "./library.ts";
import { PinnedBuffer } from "./memory.ts";
import { encodeWide } from "./windows/wide_string.ts";

/** The functions, with their C types. */
const BCRYPT = {
  /** `NTSTATUS (BCRYPT_ALG_HANDLE*, LPCWSTR algorithm, LPCWSTR implementation, ULONG flags)` */
  BCryptOpenAlgorithmProvider: { parameters: ["buffer", "buffer", "pointer", "u32"], result: "i32" },
  /** `NTSTATUS (BCRYPT_ALG_HANDLE, ULONG flags)` */
  BCryptCloseAlgorithmProvider: { parameters: ["usize", "u32"], result: "i32" },
  /** `NTSTATUS (BCRYPT_HANDLE, LPCWSTR property, UCHAR*, ULONG, ULONG flags)` */
  BCryptSetProperty: { parameters: ["usize", "buffer", "buffer", "u32", "u32"], result: "i32" },
  /** `NTSTATUS (BCRYPT_ALG_HANDLE, BCRYPT_KEY_HANDLE*, UCHAR* object, ULONG, UCHAR* secret, ULONG, ULONG flags)` */
  BCryptGenerateSymmetricKey: {
    parameters: ["usize", "buffer", "pointer", "u32", "buffer", "u32", "u32"],
    result: "i32",
  },
  /** `NTSTATUS (BCRYPT_KEY_HANDLE)` */
  BCryptDestroyKey: { parameters: ["usize"], result: "i32" },
  /** `NTSTATUS (BCRYPT_KEY_HANDLE, UCHAR* in, ULONG, void* info, UCHAR* iv, ULONG, UCHAR* out, ULONG, ULONG*, ULONG)` */
  BCryptEncrypt: {
    parameters: ["usize", "buffer", "u32", "pointer", "pointer", "u32", "buffer", "u32", "pointer", "u32"],
    result: "i32",
  },
  /** As `BCryptEncrypt`. */
  BCryptDecrypt: {
    parameters: ["usize", "buffer", "u32", "pointer", "pointer", "u32", "buffer", "u32", "pointer", "u32"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type BcryptSymbols = Deno.StaticForeignLibraryInterface<typeof BCRYPT>;

const bcrypt = lazyLibrary(["bcrypt.dll"], BCRYPT);

const CIPHER_MODE_INFO_BYTES = 88;
const CIPHER_MODE_INFO_VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** `STATUS_AUTH_TAG_MISMATCH` */
const STATUS_AUTH_TAG_MISMATCH = 0xc000_a002 | 0;

/** Which cipher, by its names in bcrypt.h; its keys have 32 bytes. */
export interface BcryptCipher {
  readonly algorithm: string;
  /** Left out where the cipher has one mode only. */
  readonly chainingMode?: string;
}

/** `BCRYPT_CHACHA20_POLY1305_ALGORITHM`. */
const CHACHA20_POLY1305: BcryptCipher = { algorithm: "CHACHA20_POLY1305" };

/** A key. */
class BcryptKey {
  released = false;
  constructor(readonly handle: bigint) {}
}

/** The cipher, on arrays, with WireGuard's nonces: 32 zero bits and a 64-bit counter. */
export class BcryptChaCha implements Disposable {
  readonly #symbols: BcryptSymbols;
  #algorithm: bigint;
  readonly #nonce = new PinnedBuffer(NONCE_BYTES);
  readonly #tag = new PinnedBuffer(TAG_BYTES);
  readonly #info = new PinnedBuffer(CIPHER_MODE_INFO_BYTES);
  readonly #length = new PinnedBuffer(4);

  private constructor(symbols: BcryptSymbols, algorithm: bigint) {
    this.#symbols = symbols;
    this.#algorithm = algorithm;
    const { view } = this.#info;
    view.setUint32(0, CIPHER_MODE_INFO_BYTES, true);
    view.setUint32(4, CIPHER_MODE_INFO_VERSION, true);
    view.setBigUint64(8, BigInt(this.#nonce.address), true);
    view.setUint32(16, NONCE_BYTES, true);
    view.setBigUint64(40, BigInt(this.#tag.address), true);
    view.setUint32(48, TAG_BYTES, true);
  }

  /**
   * Opens the library.
   *
   * @throws {LibraryError} If it is not there.
   * @throws {FfiError} If it lacks the cipher.
   */
  static open(
    options: { readonly symbols?: BcryptSymbols; readonly cipher?: BcryptCipher } = {},
  ): BcryptChaCha {
    const symbols = options.symbols ?? bcrypt();
    const { algorithm, chainingMode } = options.cipher ?? CHACHA20_POLY1305;
    const out = new BigUint64Array(1);
    check(symbols.BCryptOpenAlgorithmProvider(out, encodeWide(algorithm), null, 0), `open ${algorithm}`);
    const library = new BcryptChaCha(symbols, out[0]!);
    try {
      if (chainingMode !== undefined) library.#setChainingMode(chainingMode);
      return library;
    } catch (error) {
      library[Symbol.dispose]();
      throw error;
    }
  }

  #setChainingMode(mode: string): void {
    const value = new Uint8Array(encodeWide(mode).buffer);
    const property = encodeWide("ChainingMode");
    check(
      this.#symbols.BCryptSetProperty(this.#algorithm, property, value, value.length, 0),
      `set ${mode}`,
    );
  }

  /** Lets go of the cipher, which would outlive the thread; its keys were released before. Twice is fine. */
  [Symbol.dispose](): void {
    if (this.#algorithm !== 0n) this.#symbols.BCryptCloseAlgorithmProvider(this.#algorithm, 0);
    this.#algorithm = 0n;
  }

  /** Prepares a key; the 32 bytes are copied. @throws {RangeError} If there are not 32. */
  importKey(bytes: Uint8Array): BcryptKey {
    if (bytes.length !== KEY_BYTES) throw new RangeError(`an AEAD key has 32 bytes, got ${bytes.length}`);
    const out = new BigUint64Array(1);
    const secret = Uint8Array.from(bytes);
    const status = this.#symbols.BCryptGenerateSymmetricKey(
      ...[this.#algorithm, out, null, 0] as const,
      ...[secret, KEY_BYTES, 0] as const,
    );
    secret.fill(0);
    check(status, "prepare a key");
    return new BcryptKey(out[0]!);
  }

  /** Zeroes a key; twice is fine. */
  releaseKey(key: { readonly released: boolean }): void {
    if (!(key instanceof BcryptKey)) throw foreignKey();
    if (!key.released) this.#symbols.BCryptDestroyKey(key.handle);
    key.released = true;
  }

  /** Encrypts all but the last 16 bytes in place; these take the tag. */
  seal(key: { readonly released: boolean }, high: number, low: number, text: Uint8Array): void {
    const handle = this.#prepare(key, high, low);
    const end = text.length - TAG_BYTES;
    const part = text.subarray(0, end) as Uint8Array<ArrayBuffer>;
    const { BCryptEncrypt } = this.#symbols;
    const status = BCryptEncrypt(
      ...[handle, part, end, this.#info.pointer, null, 0] as const,
      ...[part, end, this.#length.pointer, 0] as const,
    );
    check(status, "encrypt a packet");
    text.set(this.#tag.bytes, end);
  }

  /** Checks the tag, which is the last 16 bytes, and decrypts the others in place. @returns Whether it was right. */
  open(key: { readonly released: boolean }, high: number, low: number, text: Uint8Array): boolean {
    const handle = this.#prepare(key, high, low);
    if (text.length < TAG_BYTES) return false;
    const end = text.length - TAG_BYTES;
    const part = text.subarray(0, end) as Uint8Array<ArrayBuffer>;
    this.#tag.bytes.set(text.subarray(end));
    const { BCryptDecrypt } = this.#symbols;
    const status = BCryptDecrypt(
      ...[handle, part, end, this.#info.pointer, null, 0] as const,
      ...[part, end, this.#length.pointer, 0] as const,
    );
    if (status === STATUS_AUTH_TAG_MISMATCH) return false;
    check(status, "decrypt a packet");
    return true;
  }

  #prepare(key: { readonly released: boolean }, high: number, low: number): bigint {
    if (!(key instanceof BcryptKey) || key.released) throw foreignKey();
    this.#nonce.view.setUint32(4, low, true);
    this.#nonce.view.setUint32(8, high, true);
    return key.handle;
  }
}

function check(status: number, doing: string): void {
  if (status >= 0) return;
  const code = (status >>> 0).toString(16).padStart(8, "0");
  throw new FfiError(doing, `bcrypt.dll cannot ${doing}: NTSTATUS 0x${code}`);
}

function foreignKey(): TypeError {
  return new TypeError("the AEAD key is another provider's, or was released");
}
