import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  RESPONSE_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
} from "../../../core/wireguard/constants.ts";
import {
  decodeCookieReply,
  type Decoded,
  decodeInitiation,
  decodeResponse,
  decodeTransport,
  encodeCookieReply,
  encodeInitiation,
  encodeResponse,
  encodeTransportHeader,
  mac1Of,
  mac2Of,
  messageType,
  paddedLength,
  senderOf,
} from "../../../core/wireguard/messages.ts";
import { fromHex, toHex } from "../../support/golden.ts";
import { seededTest } from "../../support/seeded_random.ts";

const repeat = (byte: number, count: number): Uint8Array => new Uint8Array(count).fill(byte);
const hexOf = (byte: number, count: number): string => byte.toString(16).padStart(2, "0").repeat(count);

const INITIATION = {
  sender: 0x8765_4321,
  ephemeral: repeat(0xe1, 32),
  encryptedStatic: repeat(0xe2, 48),
  encryptedTimestamp: repeat(0xe3, 28),
};
const RESPONSE = {
  sender: 0x8765_4321,
  receiver: 0x0123_4567,
  ephemeral: repeat(0xe1, 32),
  encryptedNothing: repeat(0xe2, 16),
};
const COOKIE_REPLY = {
  receiver: 0xffff_fffe,
  nonce: repeat(0xe1, 24),
  encryptedCookie: repeat(0xe2, 32),
};
const TRANSPORT = {
  receiver: 0x8000_0001,
  counterHigh: 0xf0e0_d0c0,
  counterLow: 0xb0a0_9080,
  encryptedPacket: repeat(0xe1, 16),
};

function transport(): Uint8Array {
  const datagram = new Uint8Array(32);
  encodeTransportHeader(datagram, TRANSPORT);
  datagram.set(TRANSPORT.encryptedPacket, 16);
  return datagram;
}

/** Fields in order, as WireGuard paper §5.4 draws them. */
const MESSAGES: {
  name: string;
  type: number;
  bytes: number;
  encoded: () => Uint8Array;
  decode: (datagram: Uint8Array) => Decoded<object>;
  message: object;
  golden: string;
}[] = [
  {
    name: "Initiation",
    type: 1,
    bytes: INITIATION_BYTES,
    encoded: () => encodeInitiation(INITIATION),
    decode: decodeInitiation,
    message: INITIATION,
    golden: `01 000000       # type, reserved
      21436587                # sender
      ${hexOf(0xe1, 32)}      # ephemeral
      ${hexOf(0xe2, 48)}      # static
      ${hexOf(0xe3, 28)}      # timestamp
      ${hexOf(0, 32)}         # mac1, mac2`,
  },
  {
    name: "Response",
    type: 2,
    bytes: RESPONSE_BYTES,
    encoded: () => encodeResponse(RESPONSE),
    decode: decodeResponse,
    message: RESPONSE,
    golden: `02 000000       # type, reserved
      21436587                # sender
      67452301                # receiver
      ${hexOf(0xe1, 32)}      # ephemeral
      ${hexOf(0xe2, 16)}      # empty
      ${hexOf(0, 32)}         # mac1, mac2`,
  },
  {
    name: "CookieReply",
    type: 3,
    bytes: COOKIE_REPLY_BYTES,
    encoded: () => encodeCookieReply(COOKIE_REPLY),
    decode: decodeCookieReply,
    message: COOKIE_REPLY,
    golden: `03 000000       # type, reserved
      feffffff                # receiver
      ${hexOf(0xe1, 24)}      # nonce
      ${hexOf(0xe2, 32)}      # cookie`,
  },
  {
    name: "Transport",
    type: 4,
    bytes: TRANSPORT_OVERHEAD_BYTES,
    encoded: transport,
    decode: decodeTransport,
    message: TRANSPORT,
    golden: `04 000000       # type, reserved
      01000080                # receiver
      8090a0b0c0d0e0f0        # counter
      ${hexOf(0xe1, 16)}      # packet`,
  },
];

for (const { name, type, bytes, encoded, decode, message, golden } of MESSAGES) {
  Deno.test(`encode${name}() and decode${name}() agree with the layout of the paper`, () => {
    assertEquals(toHex(encoded()), toHex(fromHex(golden)));
    assertEquals(encoded().length, bytes);
    assertEquals(messageType(encoded()), type);
    assertEquals(decode(encoded()), { ok: true, message } as Decoded<object>);
  });

  Deno.test(`decode${name}() gives a reason for every prefix and every other type`, () => {
    for (let length = 0; length < bytes; length++) {
      const reason = length < 4 ? "unknownType" : "badLength";
      assertEquals(decode(encoded().subarray(0, length)), { ok: false, reason }, `${length} bytes`);
    }
    for (const other of MESSAGES) {
      if (other.type === type) continue;
      assertEquals(decode(other.encoded()), { ok: false, reason: "unknownType" }, other.name);
    }
    const longer = Uint8Array.of(...encoded(), 0);
    assertEquals(decode(longer).ok, type === 4);
  });

  Deno.test(`decode${name}() wants the reserved bytes to be zero`, () => {
    for (const at of [1, 2, 3]) {
      const datagram = encoded();
      datagram[at] = 1;
      assertEquals(decode(datagram), { ok: false, reason: "unknownType" });
    }
  });
}

Deno.test("mac1Of(), mac2Of() and senderOf() point into the message", () => {
  for (const datagram of [encodeInitiation(INITIATION), encodeResponse(RESPONSE)]) {
    mac1Of(datagram).fill(1);
    mac2Of(datagram).fill(2);
    assertEquals(toHex(datagram.subarray(-32)), toHex(fromHex(hexOf(1, 16) + hexOf(2, 16))));
    assertEquals(senderOf(datagram), 0x8765_4321);
  }
});

Deno.test("encodeInitiation() refuses fields of another length", () => {
  assertThrows(() => encodeInitiation({ ...INITIATION, ephemeral: repeat(0, 31) }), RangeError);
});

Deno.test("paddedLength() goes to the next multiple of 16 but not past the MTU", () => {
  const rows = [
    { packet: 0, mtu: 1420, want: 0 },
    { packet: 1, mtu: 1420, want: 16 },
    { packet: 16, mtu: 1420, want: 16 },
    { packet: 1409, mtu: 1420, want: 1420 },
    { packet: 1420, mtu: 1420, want: 1420 },
    { packet: 1421, mtu: 1420, want: 1424 },
    { packet: 1409, mtu: 0, want: 1424 },
  ];
  for (const { packet, mtu, want } of rows) {
    assertEquals(paddedLength(packet, mtu), want, `${packet} of ${mtu}`);
  }
});

seededTest("decoders never throw and agree with messageType() on random bytes", (random) => {
  const lengths = [0, 1, 3, 4, 31, 32, 33, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1500];
  for (let i = 0; i < 5_000; i++) {
    const datagram = random.bytes(random.pick(lengths));
    // Mostly a type that exists, or nothing would get past the first check.
    if (random.below(4) > 0 && datagram.length >= 4) datagram.set([random.below(6), 0, 0, 0]);
    const type = messageType(datagram);
    for (const { type: own, decode } of MESSAGES) {
      assertEquals(decode(datagram).ok, type === own);
    }
    assert(typeof type === "string" || (type >= 1 && type <= 4));
  }
});
