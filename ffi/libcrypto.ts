/**
 * ChaCha20-Poly1305 of OpenSSL 3, in place on memory given by its address.
 *
 * One context for each key and direction is prepared once; a packet costs four calls to encrypt (nonce, text,
 * end, tag) and three to decrypt, since the tag goes in as a parameter together with the nonce. Nothing is
 * allocated for a packet. The tag is asked for by a list of parameters made once: `EVP_CIPHER_CTX_ctrl` makes
 * such a list for every call, which costs 170 ns. Addresses are `bigint`: a number takes Deno's slow call path
 * for 64-bit parameters, which costs 200 ns a call.
 *
 * @see EVP_EncryptInit(3), OSSL_PARAM(3); RFC 8439.
 */

import { FfiError, LibraryError } from "./errors.ts";
import { lazyLibrary } from "./library.ts";
import { cString, PinnedBuffer } from "./memory.ts";

const SYMBOLS = {
  /** `EVP_CIPHER *EVP_CIPHER_fetch(OSSL_LIB_CTX *, const char *algorithm, const char *properties)`, openssl/evp.h */
  EVP_CIPHER_fetch: { parameters: ["pointer", "buffer", "pointer"], result: "pointer" },
  /** `EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void)` */
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  /** `void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *)`; zeroes the key */
  EVP_CIPHER_CTX_free: { parameters: ["pointer"], result: "void" },
  /** `int EVP_EncryptInit_ex2(ctx, const EVP_CIPHER *, const uint8_t *key, const uint8_t *iv, const OSSL_PARAM *)` */
  EVP_EncryptInit_ex2: { parameters: ["pointer", "pointer", "pointer", "pointer", "pointer"], result: "i32" },
  /** `int EVP_EncryptUpdate(ctx, uint8_t *out, int *outl, const uint8_t *in, int inl)` */
  EVP_EncryptUpdate: { parameters: ["pointer", "u64", "pointer", "u64", "i32"], result: "i32" },
  /** `int EVP_EncryptFinal_ex(ctx, uint8_t *out, int *outl)` */
  EVP_EncryptFinal_ex: { parameters: ["pointer", "u64", "pointer"], result: "i32" },
  /** `int EVP_CIPHER_CTX_get_params(ctx, OSSL_PARAM[])` */
  EVP_CIPHER_CTX_get_params: { parameters: ["pointer", "pointer"], result: "i32" },
  /** As `EVP_EncryptInit_ex2` */
  EVP_DecryptInit_ex2: { parameters: ["pointer", "pointer", "pointer", "pointer", "pointer"], result: "i32" },
  /** As `EVP_EncryptUpdate` */
  EVP_DecryptUpdate: { parameters: ["pointer", "u64", "pointer", "u64", "i32"], result: "i32" },
  /** As `EVP_EncryptFinal_ex`; 0 when the tag is wrong */
  EVP_DecryptFinal_ex: { parameters: ["pointer", "u64", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

const LIBRARY = "libcrypto.so.3";
const libcrypto = lazyLibrary([LIBRARY], SYMBOLS);

const KEY_BYTES = 32;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** `sizeof(OSSL_PARAM)`: key, data type, data, data size, return size. */
const PARAM_BYTES = 40;
const OSSL_PARAM_OCTET_STRING = 5;

/** A key of {@linkcode Libcrypto}. */
export class LibcryptoKey {
  /** Zeroed on release. */
  readonly bytes = new PinnedBuffer(KEY_BYTES);
  /** Context for encryption, made at its first use. */
  sealing: Deno.PointerObject | null = null;
  /** Context for decryption, made at its first use. */
  opening: Deno.PointerObject | null = null;
  /** Whether it was given back. */
  released = false;
}

/** OpenSSL's ChaCha20-Poly1305 with WireGuard's nonces: 32 zero bits and a 64-bit counter. */
export class Libcrypto {
  readonly #cipher: Deno.PointerObject;
  readonly #nonce = new PinnedBuffer(NONCE_BYTES);
  readonly #noncePointer = this.#nonce.pointer;
  readonly #nonceView = this.#nonce.view;
  readonly #length = new PinnedBuffer(4);
  readonly #lengthPointer = this.#length.pointer;
  /** The tag to check against, or where to put it, and the end of the list. */
  readonly #params = new PinnedBuffer(2 * PARAM_BYTES);
  readonly #paramsPointer = this.#params.pointer;
  readonly #paramsView = this.#params.view;
  readonly #tagName = new PinnedBuffer(4);
  /** An address goes in as two words and comes out as one `bigint`, which compiled code need not allocate. */
  readonly #words = new Uint32Array(2);
  readonly #address = new BigUint64Array(this.#words.buffer);
  // Each of these is called from one place only, which keeps the call site fast.
  readonly #sealInit: Symbols["EVP_EncryptInit_ex2"];
  readonly #sealUpdate: Symbols["EVP_EncryptUpdate"];
  readonly #sealFinal: Symbols["EVP_EncryptFinal_ex"];
  readonly #sealTag: Symbols["EVP_CIPHER_CTX_get_params"];
  readonly #openInit: Symbols["EVP_DecryptInit_ex2"];
  readonly #openUpdate: Symbols["EVP_DecryptUpdate"];
  readonly #openFinal: Symbols["EVP_DecryptFinal_ex"];

  private constructor(symbols: Symbols) {
    this.#sealInit = symbols.EVP_EncryptInit_ex2;
    this.#sealUpdate = symbols.EVP_EncryptUpdate;
    this.#sealFinal = symbols.EVP_EncryptFinal_ex;
    this.#sealTag = symbols.EVP_CIPHER_CTX_get_params;
    this.#openInit = symbols.EVP_DecryptInit_ex2;
    this.#openUpdate = symbols.EVP_DecryptUpdate;
    this.#openFinal = symbols.EVP_DecryptFinal_ex;
    const cipher = symbols.EVP_CIPHER_fetch(null, cString("ChaCha20-Poly1305"), null);
    if (cipher === null) throw new LibraryError(`ChaCha20-Poly1305 of ${LIBRARY}`);
    this.#cipher = cipher;
    this.#tagName.bytes.set(cString("tag"));
    this.#paramsView.setBigUint64(0, BigInt(this.#tagName.address), true);
    this.#paramsView.setUint32(8, OSSL_PARAM_OCTET_STRING, true);
    this.#paramsView.setBigUint64(24, BigInt(TAG_BYTES), true);
  }

  /** Opens the library. @throws {LibraryError} If it is not there, or cannot do this cipher. */
  static open(): Libcrypto {
    return new Libcrypto(libcrypto());
  }

  /** Prepares a key; the 32 bytes are copied. @throws {RangeError} If there are not 32. */
  importKey(bytes: Uint8Array): LibcryptoKey {
    if (bytes.length !== KEY_BYTES) throw new RangeError(`an AEAD key has 32 bytes, got ${bytes.length}`);
    const key = new LibcryptoKey();
    key.bytes.bytes.set(bytes);
    return key;
  }

  /** Zeroes a key; twice is fine. */
  releaseKey(key: { readonly released: boolean }): void {
    const own = ours(key);
    own.bytes.bytes.fill(0);
    const { EVP_CIPHER_CTX_free } = libcrypto();
    if (own.sealing !== null) EVP_CIPHER_CTX_free(own.sealing);
    if (own.opening !== null) EVP_CIPHER_CTX_free(own.opening);
    own.sealing = own.opening = null;
    own.released = true;
  }

  /** Encrypts all but the last 16 bytes of an array in place; these take the tag. */
  seal(key: { readonly released: boolean }, high: number, low: number, text: Uint8Array): void {
    this.sealAt(ours(key), high, low, addressOf(text), text.length);
  }

  /** Checks the tag, which is the last 16 bytes of an array, and decrypts the others in place. */
  open(key: { readonly released: boolean }, high: number, low: number, text: Uint8Array): boolean {
    const own = ours(key);
    return text.length >= TAG_BYTES && this.openAt(own, high, low, addressOf(text), text.length);
  }

  /**
   * As {@linkcode Libcrypto.seal}, on pinned memory.
   *
   * @param address Of the text.
   * @param length Of text and tag, at least 16.
   */
  sealAt(key: LibcryptoKey, high: number, low: number, address: number, length: number): void {
    const context = key.sealing ?? this.#prepare(key, "sealing");
    this.#nonceView.setUint32(4, low, true);
    this.#nonceView.setUint32(8, high, true);
    const textBytes = length - TAG_BYTES;
    this.#words[0] = address;
    this.#words[1] = address / 2 ** 32;
    const text = this.#address[0]!;
    this.#nameTag(address + textBytes);
    let ok = this.#sealInit(context, null, null, this.#noncePointer, null);
    if (textBytes > 0) ok &= this.#sealUpdate(context, text, this.#lengthPointer, text, textBytes);
    ok &= this.#sealFinal(context, text, this.#lengthPointer);
    ok &= this.#sealTag(context, this.#paramsPointer);
    if (ok !== 1) throw new FfiError("encrypt packet", `${LIBRARY} failed to encrypt a packet`);
  }

  /** As {@linkcode Libcrypto.open}, on pinned memory. */
  openAt(key: LibcryptoKey, high: number, low: number, address: number, length: number): boolean {
    const context = key.opening ?? this.#prepare(key, "opening");
    this.#nonceView.setUint32(4, low, true);
    this.#nonceView.setUint32(8, high, true);
    const textBytes = length - TAG_BYTES;
    this.#words[0] = address;
    this.#words[1] = address / 2 ** 32;
    const text = this.#address[0]!;
    this.#nameTag(address + textBytes);
    let ok = this.#openInit(context, null, null, this.#noncePointer, this.#paramsPointer);
    if (textBytes > 0) ok &= this.#openUpdate(context, text, this.#lengthPointer, text, textBytes);
    return (ok & this.#openFinal(context, text, this.#lengthPointer)) === 1;
  }

  #nameTag(address: number): void {
    this.#paramsView.setUint32(16, address, true);
    this.#paramsView.setUint32(20, address / 2 ** 32, true);
  }

  #prepare(key: LibcryptoKey, direction: "sealing" | "opening"): Deno.PointerObject {
    if (key.released) throw new TypeError("the AEAD key was released");
    const symbols = libcrypto();
    const context = symbols.EVP_CIPHER_CTX_new();
    if (context === null) throw new FfiError("prepare key", `${LIBRARY} has no memory for a key`);
    const init = direction === "sealing" ? symbols.EVP_EncryptInit_ex2 : symbols.EVP_DecryptInit_ex2;
    if (init(context, this.#cipher, key.bytes.pointer, null, null) !== 1) {
      symbols.EVP_CIPHER_CTX_free(context);
      throw new FfiError("prepare key", `${LIBRARY} refused a key`);
    }
    key[direction] = context;
    return context;
  }
}

function ours(key: { readonly released: boolean }): LibcryptoKey {
  if (key instanceof LibcryptoKey) return key;
  throw new TypeError("the AEAD key is another provider's");
}

function addressOf(bytes: Uint8Array): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>)));
}
