/**
 * Handshakes recorded against Debian's wireguard-go, with known keys on both sides and a known ephemeral key on
 * ours: what it sent has to be understood, what we sent has to come out again byte for byte.
 *
 * `testdata/wireguard/*.json` says how they were made.
 */
import { assert, assertEquals } from "@std/assert";
import { derivePublicKey } from "../../../core/wireguard/keys.ts";
import { Device } from "../../../core/wireguard/device.ts";
import { Responder } from "../../../core/wireguard/handshake.ts";
import { decodeInitiation } from "../../../core/wireguard/messages.ts";
import { NOBLE_HANDSHAKE as crypto, nobleProvider } from "../../../core/wireguard/noble_provider.ts";
import type { DeviceOutput } from "../../../core/wireguard/output.ts";
import { decodeTai64n } from "../../../core/wireguard/tai64n.ts";
import { fromHex, toHex } from "../../support/golden.ts";
import { endpoint, prefix } from "../../support/sim_wireguard.ts";

/** A handshake, the first packets after it, and what it was made of. Bytes are hex. */
interface Recording {
  readonly ourPrivateKey: string;
  readonly itsPrivateKey: string;
  readonly presharedKey: string;
  readonly ourEphemeralPrivateKey: string;
  readonly ourIndex: number;
  readonly wallClockMs: number;
  readonly datagrams: readonly { readonly direction: "sent" | "received"; readonly bytes: string }[];
  /** IP packets that the transport data carries, in order. */
  readonly packets: readonly string[];
}

const IT = endpoint("10.99.0.2");

function recording(name: string): Recording {
  const url = new URL(`../../testdata/wireguard/${name}.json`, import.meta.url);
  return JSON.parse(Deno.readTextFileSync(url));
}

/** Our device as it was, drawing the same random numbers. */
function deviceOf(recorded: Recording): Device {
  const index = new Uint8Array(4);
  new DataView(index.buffer).setUint32(0, recorded.ourIndex, true);
  const device = new Device({
    crypto: nobleProvider(),
    random: (bytes) => bytes.set(bytes.length === 4 ? index : fromHex(recorded.ourEphemeralPrivateKey)),
    wallClockMs: () => recorded.wallClockMs,
  });
  device.setPrivateKey(fromHex(recorded.ourPrivateKey));
  device.addPeer(derivePublicKey(fromHex(recorded.itsPrivateKey)), 0, {
    presharedKey: fromHex(recorded.presharedKey),
    endpoint: IT,
    allowedIps: [prefix("10.0.0.2/32"), prefix("fd00::2/128")],
  });
  return device;
}

function bytesOf(outputs: readonly DeviceOutput[], kind: "datagram" | "packet"): string[] {
  return outputs.flatMap((output) => output.kind === kind ? [toHex(output.bytes)] : []);
}

Deno.test("Responder decrypts a recorded initiation: who it is and when it was made", () => {
  const recorded = recording("wireguard_go_initiates");
  const privateKey = fromHex(recorded.ourPrivateKey);
  const itsPublicKey = derivePublicKey(fromHex(recorded.itsPrivateKey));
  const own = { privateKey, publicKey: derivePublicKey(privateKey) };
  const decoded = decodeInitiation(fromHex(recorded.datagrams[0]!.bytes));
  assert(decoded.ok);
  const responder = Responder.open(crypto, own, decoded.message)!;
  assertEquals(toHex(responder.claimedStatic), toHex(itsPublicKey));
  const timestamp = responder.finish(crypto.x25519(privateKey, itsPublicKey)!)!;
  const madeAtMs = Number(decodeTai64n(timestamp) / 1_000_000n);
  assert(Math.abs(madeAtMs - recorded.wallClockMs) < 5_000, `made at ${madeAtMs}`);
});

Deno.test("Device answers a recorded initiation with the recorded response and decrypts what followed", () => {
  const recorded = recording("wireguard_go_initiates");
  const device = deviceOf(recorded);
  const [initiation, response, ...data] = recorded.datagrams;
  assertEquals([initiation!.direction, response!.direction], ["received", "sent"]);
  const answer = device.handleUdp(fromHex(initiation!.bytes), IT, 1);
  assertEquals(bytesOf(answer, "datagram"), [toHex(fromHex(response!.bytes))]);
  const received = data.filter(({ direction }) => direction === "received");
  const packets = received.flatMap(({ bytes }) => bytesOf(device.handleUdp(fromHex(bytes), IT, 2), "packet"));
  assertEquals(packets, recorded.packets.map((packet) => toHex(fromHex(packet))));
});

Deno.test("Device makes the recorded initiation, takes the recorded response and sends the recorded data", () => {
  const recorded = recording("we_initiate");
  const device = deviceOf(recorded);
  const [initiation, response, request, reply] = recorded.datagrams.map(({ bytes }) => bytes);
  const [echoRequest, echoReply] = recorded.packets.map((packet) => fromHex(packet));
  const first = device.handleTun(echoRequest!, 1);
  assertEquals(bytesOf(first, "datagram"), [toHex(fromHex(initiation!))]);
  const second = device.handleUdp(fromHex(response!), IT, 2);
  assertEquals(bytesOf(second, "datagram"), [toHex(fromHex(request!))]);
  assertEquals(bytesOf(device.handleUdp(fromHex(reply!), IT, 3), "packet"), [toHex(echoReply!)]);
});
