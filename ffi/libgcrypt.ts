/**
 * ChaCha20-Poly1305 of libgcrypt, in place on memory given by its address.
 *
 * Where OpenSSL looks up its parameters by name for every packet, libgcrypt takes them by place: a packet of 80
 * bytes costs half as much. One handle for each key; a packet costs three calls (nonce, text, tag). Addresses
 * are `bigint` for the reason given in `libcrypto.ts`.
 *
 * @see gcrypt.h; libgcrypt manual §6; RFC 8439.
 */

import { FfiError, LibraryError } from "./errors.ts";
import { lazyLibrary } from "./library.ts";
import { PinnedBuffer } from "./memory.ts";

const SYMBOLS = {
  /** `const char *gcry_check_version(const char *)`; initializes the library */
  gcry_check_version: { parameters: ["pointer"], result: "pointer" },
  /** `gcry_error_t gcry_cipher_open(gcry_cipher_hd_t *, int algorithm, int mode, unsigned int flags)` */
  gcry_cipher_open: { parameters: ["pointer", "i32", "i32", "u32"], result: "u32" },
  /** `void gcry_cipher_close(gcry_cipher_hd_t)`; zeroes the key */
  gcry_cipher_close: { parameters: ["pointer"], result: "void" },
  /** `gcry_error_t gcry_cipher_setkey(gcry_cipher_hd_t, const void *, size_t)` */
  gcry_cipher_setkey: { parameters: ["pointer", "buffer", "usize"], result: "u32" },
  /** `gcry_error_t gcry_cipher_setiv(gcry_cipher_hd_t, const void *, size_t)` */
  gcry_cipher_setiv: { parameters: ["pointer", "pointer", "usize"], result: "u32" },
  /** `gcry_error_t gcry_cipher_encrypt(gcry_cipher_hd_t, void *out, size_t, const void *in, size_t)`; in place without `in` */
  gcry_cipher_encrypt: { parameters: ["pointer", "u64", "usize", "pointer", "usize"], result: "u32" },
  /** As `gcry_cipher_encrypt` */
  gcry_cipher_decrypt: { parameters: ["pointer", "u64", "usize", "pointer", "usize"], result: "u32" },
  /** `gcry_error_t gcry_cipher_gettag(gcry_cipher_hd_t, void *, size_t)` */
  gcry_cipher_gettag: { parameters: ["pointer", "u64", "usize"], result: "u32" },
  /** `gcry_error_t gcry_cipher_checktag(gcry_cipher_hd_t, const void *, size_t)`; compares in constant time */
  gcry_cipher_checktag: { parameters: ["pointer", "u64", "usize"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

const LIBRARY = "libgcrypt.so.20";
const libgcrypt = lazyLibrary([LIBRARY], SYMBOLS);

const GCRY_CIPHER_CHACHA20 = 316;
const GCRY_CIPHER_MODE_POLY1305 = 10;
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** A key of {@linkcode Libgcrypt}. */
export class LibgcryptKey {
  /** Undefined once it is released. */
  handle: Deno.PointerObject | undefined;

  constructor(handle: Deno.PointerObject) {
    this.handle = handle;
  }

  /** Whether it was given back. */
  get released(): boolean {
    return this.handle === undefined;
  }
}

/** libgcrypt's ChaCha20-Poly1305 with WireGuard's nonces: 32 zero bits and a 64-bit counter. */
export class Libgcrypt {
  readonly #nonce = new PinnedBuffer(NONCE_BYTES);
  readonly #noncePointer = this.#nonce.pointer;
  readonly #nonceView = this.#nonce.view;
  /** Numbers go in as words and come out as `bigint`, which compiled code need not allocate: text, tag, length. */
  readonly #words = new Uint32Array(6);
  readonly #numbers = new BigUint64Array(this.#words.buffer);
  // Each of these is called from one place only, which keeps the call site fast.
  readonly #sealNonce: Symbols["gcry_cipher_setiv"];
  readonly #sealText: Symbols["gcry_cipher_encrypt"];
  readonly #sealTag: Symbols["gcry_cipher_gettag"];
  readonly #openNonce: Symbols["gcry_cipher_setiv"];
  readonly #openText: Symbols["gcry_cipher_decrypt"];
  readonly #openTag: Symbols["gcry_cipher_checktag"];

  private constructor(symbols: Symbols) {
    symbols.gcry_check_version(null);
    this.#sealNonce = symbols.gcry_cipher_setiv;
    this.#sealText = symbols.gcry_cipher_encrypt;
    this.#sealTag = symbols.gcry_cipher_gettag;
    this.#openNonce = symbols.gcry_cipher_setiv;
    this.#openText = symbols.gcry_cipher_decrypt;
    this.#openTag = symbols.gcry_cipher_checktag;
  }

  /** Opens the library. @throws {LibraryError} If it is not there. */
  static open(): Libgcrypt {
    return new Libgcrypt(libgcrypt());
  }

  /**
   * Prepares a key; the 32 bytes are copied.
   *
   * @throws {RangeError} If there are not 32.
   * @throws {LibraryError} If the library cannot do this cipher, or may not, as in FIPS mode.
   */
  importKey(bytes: Uint8Array): LibgcryptKey {
    if (bytes.length !== KEY_BYTES) throw new RangeError(`an AEAD key has 32 bytes, got ${bytes.length}`);
    const symbols = libgcrypt();
    const out = new PinnedBuffer(8);
    const failed = symbols.gcry_cipher_open(out.pointer, GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305, 0);
    const handle = Deno.UnsafePointer.create(out.view.getBigUint64(0, true));
    if (failed !== 0 || handle === null) throw new LibraryError(`ChaCha20-Poly1305 of ${LIBRARY}`);
    const key = Uint8Array.from(bytes);
    const refused = symbols.gcry_cipher_setkey(handle, key, BigInt(KEY_BYTES));
    key.fill(0);
    if (refused === 0) return new LibgcryptKey(handle);
    symbols.gcry_cipher_close(handle);
    throw new FfiError("prepare key", `${LIBRARY} refused a key`);
  }

  /** Zeroes a key; twice is fine. */
  releaseKey(key: { readonly released: boolean }): void {
    const own = ours(key);
    if (own.handle !== undefined) libgcrypt().gcry_cipher_close(own.handle);
    own.handle = undefined;
  }

  /** Encrypts all but the last 16 bytes of an array in place; these take the tag. */
  seal(key: { readonly released: boolean }, high: number, low: number, text: Uint8Array): void {
    this.sealAt(ours(key), high, low, addressOf(text), text.length);
  }

  /** Checks the tag, which is the last 16 bytes of an array, and decrypts the others in place. */
  open(key: { readonly released: boolean }, high: number, low: number, text: Uint8Array): boolean {
    const own = ours(key);
    handleOf(own);
    return text.length >= TAG_BYTES && this.openAt(own, high, low, addressOf(text), text.length);
  }

  /** As {@linkcode Libgcrypt.seal}, on pinned memory. @param length Of text and tag, at least 16. */
  sealAt(key: LibgcryptKey, high: number, low: number, address: number, length: number): void {
    const handle = key.handle ?? handleOf(key);
    const textBytes = length - TAG_BYTES;
    this.#put(high, low, address, textBytes);
    let failed = this.#sealNonce(handle, this.#noncePointer, 12n);
    if (textBytes > 0) {
      failed |= this.#sealText(handle, this.#numbers[0]!, this.#numbers[2]!, null, 0n);
    }
    failed |= this.#sealTag(handle, this.#numbers[1]!, 16n);
    if (failed !== 0) throw new FfiError("encrypt packet", `${LIBRARY} failed to encrypt a packet`);
  }

  /** As {@linkcode Libgcrypt.open}, on pinned memory. */
  openAt(key: LibgcryptKey, high: number, low: number, address: number, length: number): boolean {
    const handle = key.handle ?? handleOf(key);
    const textBytes = length - TAG_BYTES;
    this.#put(high, low, address, textBytes);
    let failed = this.#openNonce(handle, this.#noncePointer, 12n);
    if (textBytes > 0) {
      failed |= this.#openText(handle, this.#numbers[0]!, this.#numbers[2]!, null, 0n);
    }
    return (failed | this.#openTag(handle, this.#numbers[1]!, 16n)) === 0;
  }

  #put(high: number, low: number, address: number, textBytes: number): void {
    this.#nonceView.setUint32(4, low, true);
    this.#nonceView.setUint32(8, high, true);
    const words = this.#words;
    const tag = address + textBytes;
    words[0] = address;
    words[1] = address / 2 ** 32;
    words[2] = tag;
    words[3] = tag / 2 ** 32;
    words[4] = textBytes;
  }
}

function handleOf(key: LibgcryptKey): Deno.PointerObject {
  if (key.handle === undefined) throw new TypeError("the AEAD key was released");
  return key.handle;
}

function ours(key: { readonly released: boolean }): LibgcryptKey {
  if (key instanceof LibgcryptKey) return key;
  throw new TypeError("the AEAD key is another provider's");
}

function addressOf(bytes: Uint8Array): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>)));
}
