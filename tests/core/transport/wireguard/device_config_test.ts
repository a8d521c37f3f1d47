import { assert, assertEquals } from "@std/assert";
import { applyChange, describeDevice } from "../../../../core/transport/wireguard/device_config.ts";
import { Device } from "../../../../core/wireguard/device.ts";
import { nobleProvider } from "../../../../core/wireguard/noble_provider.ts";

const REMOVE_ME = 1, REPLACE_ALLOWED_IPS = 2, UPDATE_ONLY = 4, REPLACE_PEERS = 1;

function newDevice(): Device {
  return new Device({ crypto: nobleProvider(), random: (bytes) => void bytes.fill(1), wallClockMs: () => 0 });
}

function key(n: number): Uint8Array {
  return new Uint8Array(32).fill(n);
}

function net(third: number): { family: number; address: Uint8Array; prefixLength: number } {
  return { family: 2, address: Uint8Array.of(10, 0, third, 0), prefixLength: 24 };
}

const ENDPOINT = { address: Uint8Array.of(192, 0, 2, 1), port: 7, scopeId: 0 };

Deno.test("applyChange() and describeDevice() agree with each other", () => {
  const device = newDevice();
  const peer = {
    publicKey: key(2),
    presharedKey: key(3),
    endpoint: ENDPOINT,
    keepaliveSeconds: 25,
    allowedIps: [net(1), net(2)],
  };
  applyChange(device, { privateKey: key(0xff), peers: [peer] }, 0);
  const told = describeDevice(device, key(0xff));
  assertEquals([told.privateKey![0], told.privateKey![31]], [0xf8, 0x7f], "clamped");
  assertEquals(told.publicKey, device.publicKey!);
  // The keepalive, once switched on, has begun a handshake.
  assertEquals(told.peers, [{ ...peer, rxBytes: 0n, txBytes: 148n }]);
});

Deno.test("applyChange() changes a peer in place, and what is not named stays [overlay T15] [overlay T18] [overlay T21]", () => {
  const device = newDevice();
  applyChange(device, {
    privateKey: key(9),
    peers: [{ publicKey: key(2), endpoint: ENDPOINT, allowedIps: [net(1)] }],
  }, 0);
  const peer = device.peer(key(2))!;
  const { endpoint } = peer;
  applyChange(device, { peers: [{ publicKey: key(2), endpoint: ENDPOINT, allowedIps: [net(2)] }] }, 0);
  assert(device.peer(key(2)) === peer && peer.endpoint === endpoint, "the same peer, and what it has learnt");
  assertEquals(device.allowedIps(peer).map(({ length }) => length), [24, 24]);
  applyChange(
    device,
    { peers: [{ publicKey: key(2), flags: REPLACE_ALLOWED_IPS, allowedIps: [net(2)] }] },
    0,
  );
  assertEquals(describeDevice(device, undefined).peers![0]!.allowedIps, [net(2)]);
  assertEquals(peer.persistentKeepaliveSeconds, 0, "keepalive 0 is off");
});

Deno.test("applyChange() removes, replaces and passes over peers as told", () => {
  const device = newDevice();
  const keys = (): number[] => device.peers().map(({ publicKey }) => publicKey[0]!);
  applyChange(device, { privateKey: key(9), peers: [{ publicKey: key(2) }, { publicKey: key(3) }] }, 0);
  applyChange(device, { peers: [{ publicKey: key(4), flags: UPDATE_ONLY }] }, 0);
  applyChange(device, { peers: [{ publicKey: key(5), flags: REMOVE_ME }] }, 0);
  applyChange(device, { peers: [{ publicKey: device.publicKey! }] }, 0);
  assertEquals(keys(), [2, 3]);
  applyChange(device, { peers: [{ publicKey: key(2), flags: REMOVE_ME }] }, 0);
  assertEquals(keys(), [3]);
  applyChange(device, { flags: REPLACE_PEERS, peers: [{ publicKey: key(6) }] }, 0);
  assertEquals(keys(), [6]);
  applyChange(device, { privateKey: key(0) }, 0);
  assertEquals(device.publicKey, undefined);
});

Deno.test("applyChange() passes over what is so already: nothing is sent, no timer moves, nothing is learnt anew", () => {
  const device = newDevice();
  const placed = {
    publicKey: key(2),
    endpoint: ENDPOINT,
    flags: REPLACE_ALLOWED_IPS,
    allowedIps: [net(1), net(2)],
  };
  // Of unknown place, so that no handshake has a deadline too.
  const kept = { publicKey: key(3), keepaliveSeconds: 25 };
  applyChange(device, { privateKey: key(9), peers: [placed, kept] }, 0);
  device.takeOutputs();
  const { endpoint } = device.peer(key(2))!;
  assertEquals(device.deadline, 25_000);
  applyChange(device, { peers: [placed, kept] }, 4000);
  assertEquals([device.takeOutputs(), device.peer(key(3))!.timers.deadline], [[], 25_000]);
  assert(device.peer(key(2))!.endpoint === endpoint);
  assertEquals(device.allowedIps(device.peer(key(2))!).length, 2);
});

Deno.test("applyChange() leaves a peer that has spoken where it is, if asked to; one that has not is placed", () => {
  const device = newDevice();
  const moved = { ...ENDPOINT, port: 8 };
  const request = { keepRoamed: true, peers: [{ publicKey: key(2), endpoint: moved }] };
  applyChange(device, { privateKey: key(9), peers: [{ publicKey: key(2), endpoint: ENDPOINT }] }, 0);
  const peer = device.peer(key(2))!;
  applyChange(device, request, 0);
  assertEquals(peer.endpoint!.port, 8);
  peer.lastHandshakeUnixMs = 1;
  applyChange(device, { ...request, peers: [{ publicKey: key(2), endpoint: ENDPOINT }] }, 0);
  assertEquals(peer.endpoint!.port, 8);
  applyChange(device, { peers: [{ publicKey: key(2), endpoint: ENDPOINT }] }, 0);
  assertEquals(peer.endpoint!.port, 7);
});
