/**
 * Which library encrypts packets: the first of libgcrypt, libcrypto, `node:crypto` and noble that passes a
 * self-test with a known answer, comparisons with noble, and forgeries.
 *
 * libgcrypt comes first for what it costs on x86-64, against OpenSSL 3.0: 10 to 30 % less to decrypt 1,420 bytes,
 * half as much for small packets. See docs/wireguard-performance.md.
 */

import { Libcrypto, type LibcryptoKey } from "../../../ffi/libcrypto.ts";
import { Libgcrypt, type LibgcryptKey } from "../../../ffi/libgcrypt.ts";
import type { PinnedBuffer } from "../../../ffi/memory.ts";
import type { AeadKey, CryptoProvider, HandshakeCrypto } from "../../wireguard/crypto_provider.ts";
import { NOBLE_HANDSHAKE, nobleProvider } from "../../wireguard/noble_provider.ts";
import { passesSelfTest } from "./crypto_self_test.ts";
import { nodeProvider } from "./node_provider.ts";
import { type Curve, NODE_CURVE } from "./node_x25519.ts";

/** The cipher on one pinned memory, by offsets into it. */
export interface ArenaCipher {
  /** Encrypts `length - 16` bytes in place and puts the tag behind them. */
  seal(key: AeadKey, counterHigh: number, counterLow: number, offset: number, length: number): void;
  /** Checks the tag, the last 16 bytes, and decrypts in place. @returns Whether it was right. */
  open(key: AeadKey, counterHigh: number, counterLow: number, offset: number, length: number): boolean;
}

/** A provider whose cipher works on memory that stays where it is. */
export interface CipherProvider extends CryptoProvider {
  /** Its cipher on such a memory. */
  cipherOf(arena: PinnedBuffer): ArenaCipher;
  /** Lets go of what would outlive the thread, once all keys are released. */
  readonly close?: () => void;
}

/** What a data path encrypts with. */
export interface PacketProvider extends CipherProvider {
  /** Handshake messages that it computes in a second on a good part of one core. */
  readonly handshakesPerSecond: number;
}

/** A handshake costs some 3 ms by noble, a sixth of that where `node:crypto` multiplies. */
const NOBLE_HANDSHAKES_PER_SECOND = 100, NODE_HANDSHAKES_PER_SECOND = 500;

/** Candidates, the fastest first; each may throw when its library is not there. */
const CANDIDATES: readonly (() => CipherProvider)[] = [
  libgcryptProvider,
  libcryptoProvider,
  () => withSubarrays(nodeProvider()),
  () => withSubarrays(nobleProvider()),
];

/** Picks the first provider that works, and the fastest handshake. Noble always works. */
export function choosePacketProvider(
  candidates: readonly (() => CipherProvider)[] = CANDIDATES,
): PacketProvider {
  return { ...chooseCipher(candidates), ...handshakeBy(NODE_CURVE) };
}

function chooseCipher(candidates: readonly (() => CipherProvider)[]): CipherProvider {
  for (const make of candidates) {
    try {
      const provider = make();
      if (isRight(provider)) return provider;
      provider.close?.();
    } catch {
      // Its library is absent or refuses this cipher; the next one is slower and does the same.
    }
  }
  return withSubarrays(nobleProvider());
}

function isRight({ packet }: CipherProvider): boolean {
  try {
    return passesSelfTest(packet);
  } catch {
    return false; // It failed at what it has to do.
  }
}

/**
 * Initializes the libraries that want that done by one thread before others use them; to be called before the first
 * worker starts. Those that are absent are passed over.
 */
export function initializeLibraries(): void {
  try {
    Libgcrypt.open();
  } catch {
    // The worker takes another one.
  }
}

/** OpenSSL 3. @throws {LibraryError} If it is not there. */
export function libcryptoProvider(): CipherProvider {
  const library = Libcrypto.open();
  return {
    name: "libcrypto",
    handshake: NOBLE_HANDSHAKE,
    packet: library,
    cipherOf: (arena) => new NativeArena<LibcryptoKey>(library, arena.address),
  };
}

/** X25519, nine tenths of a handshake, by this curve if it does that right; the rest by noble. */
export function handshakeBy(curve: Curve): Pick<PacketProvider, "handshake" | "handshakesPerSecond"> {
  const handshake: HandshakeCrypto = {
    ...NOBLE_HANDSHAKE,
    x25519PublicKey: (privateKey) => curve.publicKey(privateKey),
    x25519: (privateKey, publicKey) => curve.sharedSecret(privateKey, publicKey),
  };
  try {
    if (agrees(handshake)) return { handshake, handshakesPerSecond: NODE_HANDSHAKES_PER_SECOND };
  } catch {
    // Not there, as under a policy that forbids this curve.
  }
  return { handshake: NOBLE_HANDSHAKE, handshakesPerSecond: NOBLE_HANDSHAKES_PER_SECOND };
}

/** Whether two sides come to the same secret, and that of noble; and a point of low order is refused. */
function agrees(handshake: HandshakeCrypto): boolean {
  const [a, b] = [1, 2].map((first) => Uint8Array.from({ length: 32 }, (_, i) => first * 77 + i));
  const secrets = [
    handshake.x25519(a!, handshake.x25519PublicKey(b!)),
    handshake.x25519(b!, handshake.x25519PublicKey(a!)),
    NOBLE_HANDSHAKE.x25519(a!, NOBLE_HANDSHAKE.x25519PublicKey(b!)),
  ].map((secret) => secret?.join());
  return secrets[0] !== undefined && secrets.every((secret) => secret === secrets[0]) &&
    handshake.x25519(a!, new Uint8Array(32)) === undefined;
}

/** libgcrypt. @throws {LibraryError} If it is not there. */
export function libgcryptProvider(): CipherProvider {
  const library = Libgcrypt.open();
  return {
    name: "libgcrypt",
    handshake: NOBLE_HANDSHAKE,
    packet: library,
    cipherOf: (arena) => new NativeArena<LibgcryptKey>(library, arena.address),
  };
}

/** For libraries that work on addresses. */
class NativeArena<K extends AeadKey> implements ArenaCipher {
  readonly #library: AddressCipher<K>;
  readonly #base: number;

  constructor(library: AddressCipher<K>, base: number) {
    this.#library = library;
    this.#base = base;
  }

  seal(key: AeadKey, high: number, low: number, offset: number, length: number): void {
    this.#library.sealAt(key as K, high, low, this.#base + offset, length);
  }

  open(key: AeadKey, high: number, low: number, offset: number, length: number): boolean {
    return this.#library.openAt(key as K, high, low, this.#base + offset, length);
  }
}

/** `Libcrypto` or `Libgcrypt`. */
interface AddressCipher<K> {
  sealAt(key: K, high: number, low: number, address: number, length: number): void;
  openAt(key: K, high: number, low: number, address: number, length: number): boolean;
}

/** For libraries that work on arrays. */
export function withSubarrays(provider: CryptoProvider): CipherProvider {
  const { packet } = provider;
  return {
    ...provider,
    cipherOf: ({ bytes }) => ({
      seal: (key, high, low, offset, length) =>
        packet.seal(key, high, low, bytes.subarray(offset, offset + length)),
      open: (key, high, low, offset, length) =>
        packet.open(key, high, low, bytes.subarray(offset, offset + length)),
    }),
  };
}
