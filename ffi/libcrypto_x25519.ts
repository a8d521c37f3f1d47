/**
 * X25519 of OpenSSL 3: some ten times as fast as JavaScript, and in constant time by construction.
 *
 * @see EVP_PKEY_new_raw_private_key(3), EVP_PKEY_derive(3); RFC 7748.
 */

import { FfiError } from "./errors.ts";
import { lazyLibrary } from "./library.ts";

const SYMBOLS = {
  /** `EVP_PKEY *EVP_PKEY_new_raw_private_key(int type, ENGINE *, const uint8_t *key, size_t length)`, openssl/evp.h */
  EVP_PKEY_new_raw_private_key: { parameters: ["i32", "pointer", "buffer", "usize"], result: "pointer" },
  /** `EVP_PKEY *EVP_PKEY_new_raw_public_key(int type, ENGINE *, const uint8_t *key, size_t length)` */
  EVP_PKEY_new_raw_public_key: { parameters: ["i32", "pointer", "buffer", "usize"], result: "pointer" },
  /** `int EVP_PKEY_get_raw_public_key(const EVP_PKEY *, uint8_t *key, size_t *length)` */
  EVP_PKEY_get_raw_public_key: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  /** `void EVP_PKEY_free(EVP_PKEY *)`; zeroes a private key */
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" },
  /** `EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *, ENGINE *)` */
  EVP_PKEY_CTX_new: { parameters: ["pointer", "pointer"], result: "pointer" },
  /** `void EVP_PKEY_CTX_free(EVP_PKEY_CTX *)` */
  EVP_PKEY_CTX_free: { parameters: ["pointer"], result: "void" },
  /** `int EVP_PKEY_derive_init(EVP_PKEY_CTX *)` */
  EVP_PKEY_derive_init: { parameters: ["pointer"], result: "i32" },
  /** `int EVP_PKEY_derive_set_peer(EVP_PKEY_CTX *, EVP_PKEY *peer)` */
  EVP_PKEY_derive_set_peer: { parameters: ["pointer", "pointer"], result: "i32" },
  /** `int EVP_PKEY_derive(EVP_PKEY_CTX *, uint8_t *secret, size_t *length)`; fails where all of it would be zero */
  EVP_PKEY_derive: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const LIBRARY = "libcrypto.so.3";
const libcrypto = lazyLibrary([LIBRARY], SYMBOLS);

const KEY_BYTES = 32;
/** `EVP_PKEY_X25519`, openssl/obj_mac.h `NID_X25519` */
const EVP_PKEY_X25519 = 1034;

/** Scalar multiplication. Holds nothing open between calls. */
export class LibcryptoX25519 {
  /** Opens the library. @throws {LibraryError} If it is not there, or too old. */
  static open(): LibcryptoX25519 {
    libcrypto();
    return new LibcryptoX25519();
  }

  /** The public key, 32 bytes, of a private key of 32 bytes. */
  publicKey(privateKey: Uint8Array): Uint8Array {
    const symbols = libcrypto();
    const own = this.#import("EVP_PKEY_new_raw_private_key", privateKey);
    try {
      const key = new Uint8Array(KEY_BYTES);
      const ok = symbols.EVP_PKEY_get_raw_public_key(own, key, lengthOf(key));
      if (ok !== 1) throw failure("derive a public key");
      return key;
    } finally {
      symbols.EVP_PKEY_free(own);
    }
  }

  /** The shared secret, 32 bytes; undefined if the public key is of low order, which makes it zero. */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
    const symbols = libcrypto();
    using stack = new DisposableStack();
    const own = this.#import("EVP_PKEY_new_raw_private_key", privateKey);
    stack.defer(() => symbols.EVP_PKEY_free(own));
    const other = this.#import("EVP_PKEY_new_raw_public_key", publicKey);
    stack.defer(() => symbols.EVP_PKEY_free(other));
    const context = symbols.EVP_PKEY_CTX_new(own, null);
    stack.defer(() => symbols.EVP_PKEY_CTX_free(context));
    const isReady = symbols.EVP_PKEY_derive_init(context) === 1 &&
      symbols.EVP_PKEY_derive_set_peer(context, other) === 1;
    if (!isReady) throw failure("prepare a key agreement");
    const secret = new Uint8Array(KEY_BYTES);
    return symbols.EVP_PKEY_derive(context, secret, lengthOf(secret)) === 1 ? secret : undefined;
  }

  #import(
    symbol: "EVP_PKEY_new_raw_private_key" | "EVP_PKEY_new_raw_public_key",
    bytes: Uint8Array,
  ): Deno.PointerObject {
    if (bytes.length !== KEY_BYTES) throw new RangeError(`an X25519 key has 32 bytes, got ${bytes.length}`);
    const key = libcrypto()[symbol](
      EVP_PKEY_X25519,
      null,
      bytes as Uint8Array<ArrayBuffer>,
      BigInt(KEY_BYTES),
    );
    if (key === null) throw failure("take a key");
    return key;
  }
}

/** A `size_t` that says how much room there is. */
function lengthOf(bytes: Uint8Array): BigUint64Array<ArrayBuffer> {
  return BigUint64Array.of(BigInt(bytes.length)) as BigUint64Array<ArrayBuffer>;
}

function failure(what: string): FfiError {
  return new FfiError(what, `${LIBRARY} failed to ${what}`);
}
