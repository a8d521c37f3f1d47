/**
 * What a library has to show before packets are entrusted to it: a known answer, the same as noble at several
 * lengths and counters, since a library that ignored the counter would encrypt twice under one nonce, and
 * forgeries refused.
 */

import type { PacketCrypto } from "../../wireguard/crypto_provider.ts";
import { nobleProvider } from "../../wireguard/noble_provider.ts";

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

/** Whether a library does what noble does, and sees forgeries. Takes a few milliseconds. */
export function passesSelfTest(packet: PacketCrypto): boolean {
  const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);
  const own = packet.importKey(key);
  try {
    const nothing = new Uint8Array(16);
    packet.seal(own, 0, 0, nothing);
    if (!nothing.every((byte, i) => byte === TAG_OF_NOTHING[i])) return false;
    // What a keepalive is: a library that wants text to decrypt would end the data path at the first one.
    if (packet.open(own, 0, 0, withBitFlipped(nothing, 15)) || !packet.open(own, 0, 0, nothing)) return false;
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
