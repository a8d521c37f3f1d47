/**
 * SipHash-1-3 with the all-zero key: the hash behind the names of our interfaces.
 *
 * One round per word and three at the end, 64-bit result; the same function as the default hasher of Rust's
 * standard library, whose output the caller's tools already know. It is a naming hash here, not a defence
 * against chosen input.
 *
 * @see Aumasson, Bernstein: SipHash (2012), §2.
 */

const MASK_64 = (1n << 64n) - 1n;

interface State {
  v0: bigint;
  v1: bigint;
  v2: bigint;
  v3: bigint;
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK_64;
}

function round(s: State): void {
  s.v0 = (s.v0 + s.v1) & MASK_64;
  s.v1 = rotateLeft(s.v1, 13n) ^ s.v0;
  s.v0 = rotateLeft(s.v0, 32n);
  s.v2 = (s.v2 + s.v3) & MASK_64;
  s.v3 = rotateLeft(s.v3, 16n) ^ s.v2;
  s.v0 = (s.v0 + s.v3) & MASK_64;
  s.v3 = rotateLeft(s.v3, 21n) ^ s.v0;
  s.v2 = (s.v2 + s.v1) & MASK_64;
  s.v1 = rotateLeft(s.v1, 17n) ^ s.v2;
  s.v2 = rotateLeft(s.v2, 32n);
}

function absorb(s: State, word: bigint): void {
  s.v3 ^= word;
  round(s);
  s.v0 ^= word;
}

/**
 * Hashes bytes under the key k0 = k1 = 0.
 *
 * @param data Any length.
 * @returns 0 to 2^64-1.
 */
export function sipHash13(data: Uint8Array): bigint {
  // "somepseudorandomlygeneratedbytes", as the paper spells the start values.
  const s: State = {
    v0: 0x736f6d6570736575n,
    v1: 0x646f72616e646f6dn,
    v2: 0x6c7967656e657261n,
    v3: 0x7465646279746573n,
  };
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const tail = data.length - (data.length % 8);
  for (let at = 0; at < tail; at += 8) absorb(s, view.getBigUint64(at, true));
  let last = BigInt(data.length & 0xff) << 56n;
  for (let at = tail; at < data.length; at++) last |= BigInt(data[at]!) << BigInt(8 * (at - tail));
  absorb(s, last);
  s.v2 ^= 0xffn;
  round(s);
  round(s);
  round(s);
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
