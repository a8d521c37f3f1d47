import { assert, assertEquals, assertThrows } from "@std/assert";
import { WireGuardControl } from "../../../../core/backend/linux/wireguard_control.ts";
import { UnsupportedError } from "../../../../core/errors.ts";
import { NetlinkConnection } from "../../../../ffi/netlink.ts";
import * as nl from "../../../../ffi/netlink/constants.ts";
import { decodeGenericMessage, encodeGenericMessage } from "../../../../ffi/netlink/genetlink.ts";
import { encodeMessages, type NetlinkMessage } from "../../../../ffi/netlink/message.ts";
import {
  decodeDevice,
  encodeDevice,
  mergeDevices,
  type WireGuardDevice,
} from "../../../../ffi/netlink/wireguard.ts";
import { acknowledge, dumpDone, dumpPart, FakeNetlinkSocket } from "../../../support/fake_kernel.ts";
import { goldenMessage } from "../../../support/golden.ts";

function isFamilyRequest(message: NetlinkMessage): boolean {
  return message.type === nl.GENL_ID_CTRL;
}

function answerFamily(message: NetlinkMessage): Uint8Array[] {
  const family = goldenMessage("reply_family_wireguard");
  return [encodeMessages([{ ...family, sequence: message.sequence }]), acknowledge(message)];
}

function open(respond: (message: NetlinkMessage) => Uint8Array[]): {
  control: WireGuardControl;
  socket: FakeNetlinkSocket;
} {
  const socket = new FakeNetlinkSocket(([message]) =>
    isFamilyRequest(message!) ? answerFamily(message!) : respond(message!)
  );
  return { control: new WireGuardControl(new NetlinkConnection(socket)), socket };
}

Deno.test("WireGuardControl says what helps on a kernel without WireGuard", () => {
  const socket = new FakeNetlinkSocket(([message]) => [acknowledge(message!, 2)]);
  using control = new WireGuardControl(new NetlinkConnection(socket));
  assert(!control.isAvailable());
  assertThrows(() => control.read("wg0"), UnsupportedError, "load the wireguard module");
  const asked = socket.sent.length;
  assert(!control.isAvailable());
  assert(socket.sent.length > asked, "a module loaded later is found");
});

Deno.test("WireGuardControl reads a device from a captured dump, continued in a second message", () => {
  const golden = goldenMessage("reply_wireguard_dump");
  const more = encodeGenericMessage({
    command: nl.WG_CMD_GET_DEVICE,
    version: 1,
    attributes: encodeDevice({ name: "wg0", peers: [{ publicKey: new Uint8Array(32).fill(7) }] }),
  });
  const { control } = open((
    message,
  ) => [dumpPart(message, [golden.payload]), dumpPart(message, [more]), dumpDone(message)]);
  using _ = control;
  const device = control.read("wg0");
  assertEquals([device.listenPort, device.peers?.length], [51420, 3]);
});

Deno.test("WireGuardControl writes 1,000 peers in datagrams that the kernel takes", () => {
  const { control, socket } = open((message) => [acknowledge(message)]);
  using _ = control;
  const peers = Array.from({ length: 1000 }, (_, i) => ({
    publicKey: Uint8Array.from({ length: 32 }, (_, at) => at === 0 ? i & 0xff : i >> 8),
    flags: nl.WGPEER_F_REPLACE_ALLOWEDIPS,
    endpoint: { address: new Uint8Array(16), port: i },
    allowedIps: [{ family: nl.AF_INET, address: Uint8Array.of(10, 0, i >> 8, i & 0xff), prefixLength: 32 }],
  }));
  control.write({ name: "wg0", peers });
  const sent = socket.sent.flat().filter((message) => !isFamilyRequest(message));
  assert(sent.length > 3);
  assert(sent.every((message) => message.type === 32 && message.payload.length < 33_000));
  const devices = sent.map((message): WireGuardDevice =>
    decodeDevice(decodeGenericMessage(message.payload).attributes)
  );
  assertEquals(mergeDevices(devices).peers?.length, 1000);
});
