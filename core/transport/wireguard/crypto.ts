/**
 * Which library encrypts packets: the first of libgcrypt, libcrypto, `node:crypto` and noble that passes a
 * self-test with a known answer, comparisons with noble, and forgeries.
 *
 * libgcrypt comes first for what it costs on x86-64, against OpenSSL 3.0: a third less to decrypt 1,420 bytes,
 * half as much for small packets. See docs/wireguard-performance.md.
 */

import { Libcrypto, type LibcryptoKey } from "../../../ffi/libcrypto.ts";
import { LibcryptoX25519 } from "../../../ffi/libcrypto_x25519.ts";
import { Libgcrypt, type LibgcryptKey } from "../../../ffi/libgcrypt.ts";
import type { PinnedBuffer } from "../../../ffi/memory.ts";
import type {
  AeadKey,
  CryptoProvider,
  HandshakeCrypto,
  PacketCrypto,
} from "../../wireguard/crypto_provider.ts";
import { NOBLE_HANDSHAKE, nobleProvider } from "../../wireguard/noble_provider.ts";
import { nodeProvider } from "./node_provider.ts";

/** The cipher on one pinned memory, by offsets into it. */
export interface ArenaCipher {
  /** Encrypts `length - 16` bytes in place and puts the tag behind them. */
  seal(key: AeadKey, counterHigh: number, counterLow: number, offset: number, length: number): void;
  /** Checks the tag, the last 16 bytes, and decrypts in place. @returns Whether it was right. */
  open(key: AeadKey, counterHigh: number, counterLow: number, offset: number, length: number): boolean;
}

/** A provider and what it needs to be fast. */
export interface PacketProvider extends CryptoProvider {
  /** Its cipher on a memory that stays where it is. */
  cipherOf(arena: PinnedBuffer): ArenaCipher;
  /** Handshake messages that it computes in a second on a good part of one core. */
  readonly handshakesPerSecond: number;
}

/** A handshake costs some 3 ms by noble, a sixth of that where OpenSSL multiplies. */
const NOBLE_HANDSHAKES_PER_SECOND = 100, LIBCRYPTO_HANDSHAKES_PER_SECOND = 500;

/** Candidates, the fastest first; each may throw when its library is not there. */
const CANDIDATES: readonly (() => PacketProvider)[] = [
  libgcryptProvider,
  libcryptoProvider,
  () => withSubarrays(nodeProvider()),
  () => withSubarrays(nobleProvider()),
];

/** Picks the first provider that works. Noble always does. */
export function choosePacketProvider(
  candidates: readonly (() => PacketProvider)[] = CANDIDATES,
): PacketProvider {
  for (const make of candidates) {
    try {
      const provider = make();
      if (passesSelfTest(provider.packet)) return provider;
    } catch {
      // Its library is absent or refuses this cipher; the next one is slower and does the same.
    }
  }
  return withSubarrays(nobleProvider());
}

/** OpenSSL 3. @throws {LibraryError} If it is not there. */
export function libcryptoProvider(): PacketProvider {
  const library = Libcrypto.open();
  return {
    name: "libcrypto",
    ...libcryptoHandshake(),
    packet: library,
    cipherOf: (arena) => new LibcryptoArena(library, arena.address),
  };
}

/** X25519, nine tenths of a handshake, by OpenSSL if it does that right; the rest by noble. */
function libcryptoHandshake(): Pick<PacketProvider, "handshake" | "handshakesPerSecond"> {
  const noble = { handshake: NOBLE_HANDSHAKE, handshakesPerSecond: NOBLE_HANDSHAKES_PER_SECOND };
  try {
    const curve = LibcryptoX25519.open();
    const handshake: HandshakeCrypto = {
      ...NOBLE_HANDSHAKE,
      x25519PublicKey: (privateKey) => curve.publicKey(privateKey),
      x25519: (privateKey, publicKey) => curve.sharedSecret(privateKey, publicKey),
    };
    if (!agrees(handshake)) return noble;
    return { handshake, handshakesPerSecond: LIBCRYPTO_HANDSHAKES_PER_SECOND };
  } catch {
    return noble;
  }
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

/** libgcrypt for packets; handshakes as of libcrypto. @throws {LibraryError} If it is not there. */
export function libgcryptProvider(): PacketProvider {
  const library = Libgcrypt.open();
  return {
    name: "libgcrypt",
    ...libcryptoHandshake(),
    packet: library,
    cipherOf: (arena) => new LibgcryptArena(library, arena.address),
  };
}

class LibgcryptArena implements ArenaCipher {
  readonly #library: Libgcrypt;
  readonly #base: number;

  constructor(library: Libgcrypt, base: number) {
    this.#library = library;
    this.#base = base;
  }

  seal(key: AeadKey, high: number, low: number, offset: number, length: number): void {
    this.#library.sealAt(key as LibgcryptKey, high, low, this.#base + offset, length);
  }

  open(key: AeadKey, high: number, low: number, offset: number, length: number): boolean {
    return this.#library.openAt(key as LibgcryptKey, high, low, this.#base + offset, length);
  }
}

class LibcryptoArena implements ArenaCipher {
  readonly #library: Libcrypto;
  readonly #base: number;

  constructor(library: Libcrypto, base: number) {
    this.#library = library;
    this.#base = base;
  }

  seal(key: AeadKey, high: number, low: number, offset: number, length: number): void {
    this.#library.sealAt(key as LibcryptoKey, high, low, this.#base + offset, length);
  }

  open(key: AeadKey, high: number, low: number, offset: number, length: number): boolean {
    return this.#library.openAt(key as LibcryptoKey, high, low, this.#base + offset, length);
  }
}

/** For libraries that work on arrays. */
export function withSubarrays(provider: CryptoProvider): PacketProvider {
  const { packet } = provider;
  return {
    ...provider,
    handshakesPerSecond: NOBLE_HANDSHAKES_PER_SECOND,
    cipherOf: ({ bytes }) => ({
      seal: (key, high, low, offset, length) =>
        packet.seal(key, high, low, bytes.subarray(offset, offset + length)),
      open: (key, high, low, offset, length) =>
        packet.open(key, high, low, bytes.subarray(offset, offset + length)),
    }),
  };
}

/** Key 0x80 to 0x9f, counter 0, no text: the tag alone. Computed with Python `cryptography` 48 (OpenSSL 3). */
const TAG_OF_NOTHING = [
  ...[0x3a, 0xe5, 0xd3, 0xf2, 0xa3, 0x76, 0xd3, 0x17],
  ...[0xea, 0xea, 0x5a, 0xef, 0x02, 0x15, 0xba, 0x54],
];
/** Lengths around blocks of the cipher and of whole packets, and counters that differ in both halves. */
const SAMPLES = [
  { bytes: 1, high: 0, low: 1 },
  { bytes: 64, high: 0, low: 2 },
  { bytes: 1421, high: 1, low: 2 },
  { bytes: 1420, high: 0x0102_0304, low: 0xf506_0708 },
];

function passesSelfTest(packet: PacketCrypto): boolean {
  const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);
  const own = packet.importKey(key);
  try {
    const nothing = new Uint8Array(16);
    packet.seal(own, 0, 0, nothing);
    if (!nothing.every((byte, i) => byte === TAG_OF_NOTHING[i])) return false;
    return SAMPLES.every(({ bytes, high, low }) => {
      const text = new Uint8Array(bytes + 16).fill(0x5a, 0, bytes);
      const want = nobleSealed(key, { text, high, low });
      packet.seal(own, high, low, text);
      if (!text.every((byte, i) => byte === want[i])) return false;
      const forgeries = [0, bytes - 1, bytes, bytes + 15].map((at) => withBitFlipped(text, at));
      if (forgeries.some((forged) => packet.open(own, high, low, forged))) return false;
      return packet.open(own, high, low, text) && text.subarray(0, bytes).every((byte) => byte === 0x5a);
    });
  } finally {
    packet.releaseKey(own);
  }
}

function nobleSealed(
  key: Uint8Array,
  { text, high, low }: { readonly text: Uint8Array; readonly high: number; readonly low: number },
): Uint8Array {
  const { packet } = nobleProvider();
  const handle = packet.importKey(key);
  const sealed = Uint8Array.from(text);
  packet.seal(handle, high, low, sealed);
  packet.releaseKey(handle);
  return sealed;
}

function withBitFlipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= 1;
  return copy;
}
