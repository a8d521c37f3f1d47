import { assertEquals } from "@std/assert";
import type { DevicePeer, DeviceSpec } from "../../../core/backend/backend.ts";
import { changeRequest, planChange, planDevice, toDeviceState } from "../../../core/backend/device_plan.ts";
import { parseIp } from "../../../core/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../../core/ip/prefix.ts";
import { AF_INET, WGPEER_F_REMOVE_ME, WGPEER_F_REPLACE_ALLOWEDIPS } from "../../../ffi/netlink/constants.ts";
import type { WireGuardDevice, WireGuardPeer } from "../../../ffi/netlink/wireguard.ts";

const A = new Uint8Array(32).fill(1);
const B = new Uint8Array(32).fill(2);
/** As X25519 takes any 32 bytes, and as the kernel keeps them. */
const PRIVATE = new Uint8Array(32).fill(9);
const CLAMPED = Uint8Array.from(PRIVATE, (byte, i) => i === 0 ? 8 : i === 31 ? 0x49 : byte);

function wantedPeer(publicKey: Uint8Array, cidrs: string[], fields: Partial<DevicePeer> = {}): DevicePeer {
  return {
    publicKey,
    allowedIps: cidrs.map((cidr) => parsePrefix(cidr)!),
    keepaliveSeconds: 25,
    endpoint: { ip: parseIp("192.0.2.1")!, port: 51820 },
    ...fields,
  };
}

function presentPeer(
  publicKey: Uint8Array,
  last: number,
  fields: Partial<WireGuardPeer> = {},
): WireGuardPeer {
  return {
    publicKey,
    keepaliveSeconds: 25,
    endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 51820 },
    lastHandshake: { seconds: 0n, nanoseconds: 0n },
    allowedIps: [{ family: AF_INET, address: Uint8Array.of(10, 0, last, 0), prefixLength: 24 }],
    ...fields,
  };
}

function spec(peers: DevicePeer[], fields: Partial<DeviceSpec> = {}): DeviceSpec {
  return {
    name: "wg0",
    tag: "tag",
    privateKey: PRIVATE,
    listenPort: 51420,
    address: parsePrefix("10.0.0.1/16")!,
    mtuBytes: 1420,
    peers,
    routes: [],
    ...fields,
  };
}

function present(peers: WireGuardPeer[]): WireGuardDevice {
  return { name: "wg0", privateKey: CLAMPED, listenPort: 51420, peers };
}

Deno.test("planDevice() wants nothing where all is as specified", () => {
  const device = present([presentPeer(A, 1)]);
  assertEquals(planDevice(device, spec([wantedPeer(A, ["10.0.1.0/24"])])), undefined);
  assertEquals(
    planDevice(device, spec([wantedPeer(A, ["10.0.1.77/24"])])),
    undefined,
    "host bits mean nothing",
  );
});

Deno.test("planDevice() sends only what differs", () => {
  const device = present([presentPeer(A, 1)]);
  const peer = (fields: Partial<DevicePeer>, cidrs = ["10.0.1.0/24"]): WireGuardPeer | undefined =>
    planDevice(device, spec([wantedPeer(A, cidrs, fields)]))?.peers?.[0];
  assertEquals(peer({ keepaliveSeconds: 0 }), { publicKey: A, keepaliveSeconds: 0 });
  assertEquals(peer({ endpoint: { ip: parseIp("192.0.2.2")!, port: 1 } }), {
    publicKey: A,
    endpoint: { address: Uint8Array.of(192, 0, 2, 2), port: 1 },
  });
  assertEquals(peer({}, []), { publicKey: A, flags: WGPEER_F_REPLACE_ALLOWEDIPS, allowedIps: [] });
  assertEquals(planDevice(device, spec([wantedPeer(A, ["10.0.1.0/24"])], { listenPort: 7 })), {
    name: "wg0",
    listenPort: 7,
  });
});

Deno.test("planDevice() of a new device is everything", () => {
  const plan = planDevice({ name: "wg0", listenPort: 0, peers: [] }, spec([wantedPeer(A, ["10.0.1.0/24"])]));
  assertEquals([plan?.privateKey, plan?.listenPort], [CLAMPED, 51420]);
  assertEquals(plan?.peers, [{
    publicKey: A,
    flags: WGPEER_F_REPLACE_ALLOWEDIPS,
    allowedIps: [{ family: AF_INET, address: Uint8Array.of(10, 0, 1, 0), prefixLength: 24 }],
    endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 51820 },
    keepaliveSeconds: 25,
  }]);
});

Deno.test("planDevice() removes peers that are not wanted, before prefixes move", () => {
  const device = present([presentPeer(A, 1), presentPeer(B, 2)]);
  const plan = planDevice(device, spec([wantedPeer(A, ["10.0.1.0/24", "10.0.2.0/24"])]));
  assertEquals(plan?.peers?.map((peer) => [peer.publicKey![0], peer.flags]), [
    [2, WGPEER_F_REMOVE_ME],
    [1, WGPEER_F_REPLACE_ALLOWEDIPS],
  ]);
});

Deno.test("planDevice() leaves the endpoint of a peer that has spoken from elsewhere", () => {
  const roamed = presentPeer(A, 1, {
    endpoint: { address: Uint8Array.of(198, 51, 100, 7), port: 9 },
    lastHandshake: { seconds: 1_700_000_000n, nanoseconds: 0n },
  });
  const wanted = wantedPeer(A, ["10.0.1.0/24"]);
  assertEquals(planDevice(present([roamed]), spec([wanted])), undefined);
  const change = { set: [wanted], remove: [], addRoutes: [], removeRoutes: [] };
  const asked = planChange("wg0", present([roamed]), change);
  assertEquals(asked?.peers?.[0]?.endpoint?.port, 51820, "a change that names the peer sets it");
});

Deno.test("planChange() adds, brings to the state wanted, and removes what is there", () => {
  const device = present([presentPeer(A, 1)]);
  const none = { set: [], remove: [], addRoutes: [], removeRoutes: [] };
  assertEquals(planChange("wg0", device, none), undefined);
  assertEquals(planChange("wg0", device, { ...none, remove: [B] }), undefined);
  assertEquals(planChange("wg0", device, { ...none, remove: [A] }), {
    name: "wg0",
    peers: [{ publicKey: A, flags: WGPEER_F_REMOVE_ME }],
  });
  assertEquals(planChange("wg0", device, { ...none, set: [wantedPeer(A, ["10.0.1.0/24"])] }), undefined);
  const added = planChange("wg0", device, { ...none, set: [wantedPeer(B, ["10.0.2.0/24"])] });
  assertEquals(added?.peers?.length, 1);
});

Deno.test("[overlay T24] toDeviceState() tells handshakes in Unix seconds, 0 for never", () => {
  const state = toDeviceState({
    listenPort: 7,
    publicKey: A,
    peers: [
      presentPeer(A, 1, {
        lastHandshake: { seconds: 1_700_000_000n, nanoseconds: 5n },
        rxBytes: 12n,
        txBytes: 34n,
      }),
      { publicKey: B },
    ],
  }, { kind: "kernel" });
  const [a, b] = state.peers;
  assertEquals([a?.lastHandshakeUnixSecs, a?.rxBytes, a?.txBytes], [1_700_000_000, 12, 34]);
  assertEquals(a?.allowedIps.map(formatPrefix), ["10.0.1.0/24"]);
  assertEquals([b?.lastHandshakeUnixSecs, b?.endpoint, b?.keepaliveSeconds], [0, undefined, 0]);
});

Deno.test("changeRequest() asks for all of a peer without knowing it, and for removals first", () => {
  const { endpoint: _, ...unplaced } = wantedPeer(B, [], { keepaliveSeconds: 0 });
  const request = changeRequest("wg0", {
    set: [wantedPeer(A, ["10.0.1.9/24"]), unplaced],
    remove: [PRIVATE],
    keepRoamed: true,
    addRoutes: [],
    removeRoutes: [],
  });
  assertEquals(request, {
    name: "wg0",
    peers: [
      { publicKey: PRIVATE, flags: WGPEER_F_REMOVE_ME },
      { publicKey: B, flags: WGPEER_F_REPLACE_ALLOWEDIPS, allowedIps: [], keepaliveSeconds: 0 },
      {
        publicKey: A,
        flags: WGPEER_F_REPLACE_ALLOWEDIPS,
        allowedIps: [{ family: AF_INET, address: Uint8Array.of(10, 0, 1, 0), prefixLength: 24 }],
        endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 51820 },
        keepaliveSeconds: 25,
      },
    ],
    keepRoamed: true,
  });
});
