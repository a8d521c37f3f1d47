/** What every decoder has to stand: cut-short, mutated and random input gives a value or a `CodecError`. */

import { assert } from "@std/assert";
import { CodecError } from "../../ffi/bytes.ts";
import { decodeAttributes, encodeAttributes } from "../../ffi/netlink/attribute.ts";
import { toHex } from "./golden.ts";
import { withSeed } from "./seeded_random.ts";

/** Feeds every prefix of the bytes. */
export function assertPrefixesDecode(bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  for (let length = 0; length <= bytes.length; length++) {
    expectValueOrCodecError(bytes.slice(0, length), decode);
  }
}

/** Feeds mutations of the bytes and random ones. */
export function assertMutationsDecode(bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const mutated = random.oneIn(8) ? random.bytes(random.below(200)) : bytes.slice();
      for (let flips = random.below(6); flips >= 0 && mutated.length > 0; flips--) {
        mutated[random.below(mutated.length)] = random.u32() & 0xff;
      }
      expectValueOrCodecError(mutated, decode);
    }
  });
}

function expectValueOrCodecError(bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  try {
    decode(bytes);
  } catch (error) {
    assert(error instanceof CodecError, `${(error as Error).stack}\nwhile decoding ${toHex(bytes)}`);
  }
}

/** A message's family header and its attributes in the order of their types, as hex: equal for equal meaning. */
export function canonicalAttributes(payload: Uint8Array, headerBytes: number): string[] {
  const attributes = decodeAttributes(payload.slice(headerBytes));
  attributes.sort((a, b) => a.type - b.type);
  return [toHex(payload.slice(0, headerBytes)), ...attributes.map((one) => toHex(encodeAttributes([one])))];
}
