/** Bytes that a broken or malicious client might send, made from a seed. */

import { encodeFrame, MAX_FRAME_BYTES } from "../../ipc/frame.ts";
import { requestFrame, REQUESTS } from "./ipc_examples.ts";
import type { SeededRandom } from "./seeded_random.ts";

/** A piece of hostile stream. */
export interface HostileBytes {
  readonly kind: string;
  readonly bytes: Uint8Array;
  /** Whether the framing is intact after it, so that the connection has to live. */
  readonly framed: boolean;
}

type Generator = (random: SeededRandom) => Omit<HostileBytes, "kind">;

/** Requests without `shutdown`, which a server is right to obey. */
const HARMLESS = REQUESTS.filter((request) => !request.includes("shutdown"));

function validBody(random: SeededRandom): string {
  return requestFrame(random.pick(HARMLESS), random.u32());
}

function framed(body: string): Omit<HostileBytes, "kind"> {
  return { bytes: encodeFrame(body), framed: true };
}

function flipBits(bytes: Uint8Array, from: number, random: SeededRandom): Uint8Array {
  for (let flips = 1 + random.below(8); flips > 0; flips--) {
    bytes[from + random.below(bytes.length - from)]! ^= 1 << random.below(8);
  }
  return bytes;
}

function header(length: number): Uint8Array {
  return Uint8Array.of(length, length >>> 8, length >>> 16, length >>> 24);
}

const ODD_VALUES = [
  ...[
    "null",
    "true",
    "-1",
    "1.5",
    "1e400",
    "-0",
    "18446744073709551616",
    "9".repeat(5000),
    '""',
    '"\\ud800"',
  ],
  ...[
    "[]",
    "{}",
    '{"__proto__":{"op":"status"}}',
    '{"scope":"global"}',
    '"\\u0000"',
    '"10.0.0.1"',
    "4294967296",
  ],
];

const GENERATORS: Record<string, Generator> = {
  "random body": (random) => {
    const body = random.bytes(random.below(300));
    return { bytes: new Uint8Array([...header(body.length), ...body]), framed: true };
  },
  "random stream": (random) => ({ bytes: random.bytes(1 + random.below(300)), framed: false }),
  "bits flipped in the body": (random) => ({
    bytes: flipBits(encodeFrame(validBody(random)), 4, random),
    framed: true,
  }),
  "bits flipped anywhere": (random) => ({
    bytes: flipBits(encodeFrame(validBody(random)), 0, random),
    framed: false,
  }),
  "frame cut short": (random) => {
    const bytes = encodeFrame(validBody(random));
    return { bytes: bytes.subarray(0, random.below(bytes.length)), framed: false };
  },
  "body cut short": (random) => {
    const body = validBody(random);
    return framed(body.slice(0, random.below(body.length)));
  },
  "two bodies spliced": (random) => {
    const [head, tail] = [validBody(random), validBody(random)];
    return framed(head.slice(0, random.below(head.length)) + tail.slice(random.below(tail.length)));
  },
  "a value replaced": (random) => {
    const body = validBody(random);
    const values = [...body.matchAll(/:("[^"]*"|\d+|true|false)/g)];
    const { index, 0: old } = random.pick(values);
    return framed(`${body.slice(0, index)}:${random.pick(ODD_VALUES)}${body.slice(index + old.length)}`);
  },
  "length over the limit": (random) => ({
    bytes: header(MAX_FRAME_BYTES + 1 + random.below(2 ** 32 - MAX_FRAME_BYTES - 1)),
    framed: false,
  }),
  "length 0": () => ({ bytes: header(0), framed: true }),
  "deep nesting": (random) => {
    const depth = 1 + random.below(random.pick([100, 10_000]));
    return framed(requestFrame(random.pick(["[", '{"a":']).repeat(depth)));
  },
  "deep nesting, closed": (random) => {
    const depth = 1 + random.below(random.pick([100, 10_000]));
    return framed(requestFrame("[".repeat(depth) + "]".repeat(depth), "18446744073709551615"));
  },
  "many members": (random) =>
    framed(requestFrame(`{${Array.from({ length: random.below(5000) }, (_, i) => `"k${i}":${i}`).join()}}`)),
  "long string": (random) => {
    const op = random.pick(["x", "é", "🜚", "\\\\", '\\"']).repeat(random.below(50_000));
    return framed(requestFrame(`{"op":"${op}"}`));
  },
};

/** Sent now and then: as large as a frame may be, of the shapes that cost a parser most. */
const LARGE: Record<string, (bytes: number) => string> = {
  "8 MiB nested": (bytes) => requestFrame("[".repeat(bytes)),
  "8 MiB of keys": (bytes) =>
    requestFrame(`{${Array.from({ length: bytes / 12 }, (_, i) => `"k${i}":1`).join()}`),
  "8 MiB of objects": (bytes) => requestFrame(`[${"{},".repeat(bytes / 3)}0]`, "18446744073709551615"),
  "8 MiB of digits": (bytes) => requestFrame(`{"op":"set_local_node_id","node_id":${"9".repeat(bytes)}}`),
  "8 MiB string": (bytes) =>
    requestFrame(`{"op":"teardown_service_overlay","service":"${"x".repeat(bytes)}"}`),
};

/** The next piece; every 500th or so is a large one. */
export function hostileBytes(random: SeededRandom): HostileBytes {
  if (random.below(500) === 0) {
    const kind = random.pick(Object.keys(LARGE));
    return { kind, ...framed(LARGE[kind]!(MAX_FRAME_BYTES - 200)) };
  }
  const kind = random.pick(Object.keys(GENERATORS));
  return { kind, ...GENERATORS[kind]!(random) };
}
