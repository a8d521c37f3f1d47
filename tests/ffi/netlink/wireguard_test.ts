import { assert, assertEquals, assertThrows } from "@std/assert";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeGenericMessage } from "../../../ffi/netlink/genetlink.ts";
import {
  decodeDevice,
  encodeDevice,
  mergeDevices,
  splitDevice,
  type WireGuardDevice,
  type WireGuardPeer,
} from "../../../ffi/netlink/wireguard.ts";
import { assertMutationsDecode, assertPrefixesDecode } from "../../support/codec.ts";
import { fromHex, goldenMessage, toHex } from "../../support/golden.ts";
import { type SeededRandom, withSeed } from "../../support/seeded_random.ts";

const PRIVATE_KEY = fromHex(`${"00".repeat(31)} 40`);
const PEER_A = fromHex("ec4366f2aa5e4328cbc097dd41e828196c9555fd7727c9540171f17556042c07");
const PEER_B = fromHex("ad0684385ecd8633feafdbead944fd89174fe6307cd1f70c350739384acc767c");

Deno.test("encodeDevice() configures a device as wg(8) does", () => {
  const golden = decodeGenericMessage(goldenMessage("request_wireguard_set").payload);
  assertEquals([golden.command, golden.version], [nl.WG_CMD_SET_DEVICE, nl.WG_GENL_VERSION]);
  const device: WireGuardDevice = {
    name: "wg0",
    privateKey: PRIVATE_KEY,
    listenPort: 51420,
    peers: [
      {
        publicKey: PEER_A,
        flags: nl.WGPEER_F_REPLACE_ALLOWEDIPS,
        endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 51420 },
        keepaliveSeconds: 25,
        allowedIps: [
          { family: nl.AF_INET, address: Uint8Array.of(10, 200, 0, 5), prefixLength: 32 },
          { family: nl.AF_INET6, address: fromHex(`fd00 0200 ${"0000".repeat(6)}`), prefixLength: 64 },
        ],
      },
      {
        publicKey: PEER_B,
        flags: nl.WGPEER_F_REPLACE_ALLOWEDIPS,
        endpoint: { address: fromHex(`2001 0db8 ${"0000".repeat(5)} 0009`), port: 7 },
        allowedIps: [{ family: nl.AF_INET, address: Uint8Array.of(10, 200, 1, 0), prefixLength: 24 }],
      },
    ],
  };
  assertEquals(withoutUnknown(decodeDevice(golden.attributes)), device);
  // Same attributes; wg(8) puts the flags behind the endpoint.
  assertEquals(encodeDevice(device).length, golden.attributes.length);
  assertEquals(withoutUnknown(decodeDevice(encodeDevice(device))), device);
});

Deno.test("decodeDevice() reads a captured dump", () => {
  const { attributes } = decodeGenericMessage(goldenMessage("reply_wireguard_dump").payload);
  const device = decodeDevice(attributes);
  assertEquals([device.name, device.index, device.listenPort, device.fwmark], ["wg0", 2, 51420, 0]);
  assertEquals(device.privateKey, PRIVATE_KEY);
  assertEquals(device.publicKey?.length, 32);
  const [a, b] = device.peers!;
  assertEquals([a!.publicKey, a!.keepaliveSeconds, a!.rxBytes, a!.txBytes], [PEER_A, 25, 0n, 0n]);
  assertEquals(a!.lastHandshake, { seconds: 0n, nanoseconds: 0n });
  assertEquals(a!.endpoint, { address: Uint8Array.of(192, 0, 2, 1), port: 51420 });
  assertEquals(a!.allowedIps?.map((ip) => ip.prefixLength), [32, 64]);
  assertEquals(b!.endpoint?.port, 7);
  assertEquals(toHex(b!.endpoint!.address), `20 01 0d b8${" 00".repeat(11)} 09`);
});

Deno.test("decodeDevice() stands cut and mutated dumps", () => {
  for (const name of ["reply_wireguard_dump", "request_wireguard_set"]) {
    const { attributes } = decodeGenericMessage(goldenMessage(name).payload);
    assertPrefixesDecode(attributes, decodeDevice);
    assertMutationsDecode(attributes, decodeDevice);
  }
});

Deno.test("devices of any fields round-trip", () => {
  withSeed((random) => {
    for (let round = 0; round < 100; round++) {
      const device = randomDevice(random, random.below(5));
      assertEquals(withoutUnknown(decodeDevice(encodeDevice(device))), device);
    }
  });
});

Deno.test("splitDevice() leaves a small change whole", () => {
  const device = {
    name: "wg0",
    listenPort: 1,
    flags: nl.WGDEVICE_F_REPLACE_PEERS,
    peers: [{ publicKey: PEER_A }],
  };
  assertEquals(splitDevice(device, 32_768), [device]);
  assertEquals(splitDevice({ index: 7, fwmark: 1 }, 32_768), [{ index: 7, fwmark: 1 }]);
});

Deno.test("splitDevice() spreads 1,000 peers over messages, device fields in the first alone", () => {
  withSeed((random) => {
    const peers = Array.from({ length: 1000 }, () => randomPeer(random));
    const device = { name: "wg0", privateKey: PRIVATE_KEY, flags: nl.WGDEVICE_F_REPLACE_PEERS, peers };
    const parts = splitDevice(device, 32_768);
    assert(parts.length > 3, `${parts.length} parts`);
    for (const [i, part] of parts.entries()) {
      assert(encodeDevice(part).length <= 32_768 + 128, `part ${i} has ${encodeDevice(part).length} bytes`);
      assertEquals(Object.keys(part).length > 2, i === 0);
    }
    assertEquals(parts.flatMap((part) => part.peers ?? []), peers);
  });
});

Deno.test("splitDevice() continues a peer with many allowed IPs, replacing only once", () => {
  const allowedIps = Array.from({ length: 3000 }, (_, i) => ({
    family: nl.AF_INET,
    address: Uint8Array.of(10, 0, i >> 8, i & 0xff),
    prefixLength: 32,
  }));
  const peer = {
    publicKey: PEER_A,
    flags: nl.WGPEER_F_REPLACE_ALLOWEDIPS | nl.WGPEER_F_UPDATE_ONLY,
    keepaliveSeconds: 25,
    allowedIps,
  };
  const parts = splitDevice(
    { name: "wg0", peers: [{ publicKey: PEER_B }, peer, { publicKey: PEER_B }] },
    8192,
  );
  const pieces = parts.flatMap((part) => part.peers ?? []).filter((one) => one.publicKey === PEER_A);
  assert(pieces.length > 8);
  assertEquals(pieces[0]!.flags, peer.flags);
  for (const piece of pieces.slice(1)) {
    assertEquals(piece.flags, nl.WGPEER_F_UPDATE_ONLY);
    assertEquals(piece.keepaliveSeconds, undefined);
  }
  assertEquals(pieces.flatMap((piece) => piece.allowedIps ?? []), allowedIps);
  for (const part of parts) assert(encodeDevice(part).length <= 8192 + 64);
});

Deno.test("splitDevice() refuses a limit that cannot hold a peer or exceeds an attribute", () => {
  assertThrows(() => splitDevice({ name: "wg0" }, 100), RangeError);
  assertThrows(() => splitDevice({ name: "wg0" }, 65_532), RangeError);
});

Deno.test("mergeDevices() joins a dump, a peer continued across messages included", () => {
  const ip = (last: number): { family: number; address: Uint8Array; prefixLength: number } => ({
    family: nl.AF_INET,
    address: Uint8Array.of(10, 0, 0, last),
    prefixLength: 32,
  });
  const merged = mergeDevices([
    { name: "wg0", listenPort: 9, peers: [{ publicKey: PEER_A, rxBytes: 5n, allowedIps: [ip(1)] }] },
    { name: "wg0", peers: [{ publicKey: PEER_A, allowedIps: [ip(2)] }, { publicKey: PEER_B }] },
    { name: "wg0", peers: [{ publicKey: PEER_B, allowedIps: [ip(3)] }] },
  ]);
  assertEquals(merged, {
    name: "wg0",
    listenPort: 9,
    peers: [
      { publicKey: PEER_A, rxBytes: 5n, allowedIps: [ip(1), ip(2)] },
      { publicKey: PEER_B, allowedIps: [ip(3)] },
    ],
  });
  assertEquals(mergeDevices([{ name: "wg0" }]), { name: "wg0", peers: [] });
});

Deno.test("mergeDevices() restores what splitDevice() split", () => {
  withSeed((random) => {
    for (let round = 0; round < 20; round++) {
      const device = randomDevice(random, random.below(30));
      const parts = splitDevice(device, 256 + random.below(2000));
      assertEquals(mergeDevices(parts).peers, device.peers);
    }
  });
});

function randomPeer(random: SeededRandom): WireGuardPeer {
  return {
    publicKey: random.bytes(32),
    ...random.maybe("endpoint", {
      address: random.bytes(random.pick([4, 16])),
      port: random.below(65536),
    }),
    ...random.maybe("keepaliveSeconds", random.below(65536)),
    allowedIps: Array.from({ length: random.below(5) }, () => {
      const v4 = random.oneIn(2);
      return {
        family: v4 ? nl.AF_INET : nl.AF_INET6,
        address: random.bytes(v4 ? 4 : 16),
        prefixLength: random.below(33),
      };
    }),
  };
}

function randomDevice(random: SeededRandom, peers: number): WireGuardDevice {
  return {
    name: "wg0",
    ...random.maybe("privateKey", random.bytes(32)),
    ...random.maybe("listenPort", random.below(65536)),
    ...random.maybe("fwmark", random.u32()),
    peers: Array.from({ length: peers }, () => randomPeer(random)),
  };
}

/** The device without its empty lists of unknown attributes, at every level. */
function withoutUnknown(device: WireGuardDevice): WireGuardDevice {
  const strip = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(strip);
    if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
    const kept = Object.entries(value).filter(([key]) => key !== "unknown");
    return Object.fromEntries(kept.map(([key, inner]) => [key, strip(inner)]));
  };
  return strip(device) as WireGuardDevice;
}
