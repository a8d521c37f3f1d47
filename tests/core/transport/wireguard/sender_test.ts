import { assertEquals } from "@std/assert";
import { Arena, TUN_IN } from "../../../../core/transport/wireguard/arena.ts";
import { withSubarrays } from "../../../../core/transport/wireguard/crypto.ts";
import { Outbox } from "../../../../core/transport/wireguard/outbox.ts";
import { Sender } from "../../../../core/transport/wireguard/sender.ts";
import { SourceRoutes } from "../../../../core/transport/wireguard/source_routes.ts";
import { Device } from "../../../../core/wireguard/device.ts";
import { generateKeyPair } from "../../../../core/wireguard/keys.ts";
import { nobleProvider } from "../../../../core/wireguard/noble_provider.ts";
import type { TunPort } from "../../../../ffi/linux_tun.ts";
import { VNET_HEADER_BYTES } from "../../../../ffi/linux_tun.ts";
import { echoRequest } from "../../../support/icmp.ts";
import { endpoint, prefix } from "../../../support/sim_wireguard.ts";

const random = (bytes: Uint8Array): void => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>);

/** A sender that reads these packets, and its device, which has a peer at 10.0.0.2 without a session. */
function senderOf(packets: Uint8Array[]): { readonly sender: Sender; readonly device: Device } {
  const provider = withSubarrays(nobleProvider());
  const device = new Device({ crypto: provider, random, wallClockMs: () => 0 });
  device.setPrivateKey(generateKeyPair(random).privateKey);
  device.addPeer(generateKeyPair(random).publicKey, 0, {
    endpoint: endpoint("192.0.2.2", 51820),
    allowedIps: [prefix("10.0.0.2/32")],
  });
  const arena = new Arena();
  const tun = {
    read(): number {
      const packet = packets.shift();
      if (packet === undefined) return 0;
      arena.bytes.fill(0, TUN_IN, TUN_IN + VNET_HEADER_BYTES);
      arena.bytes.set(packet, TUN_IN + VNET_HEADER_BYTES);
      return VNET_HEADER_BYTES + packet.length;
    },
  } as TunPort;
  const outbox = new Outbox(arena, new SourceRoutes(undefined));
  const sender = new Sender({ arena, device, cipher: provider.cipherOf(arena), tun, outbox });
  return { sender, device };
}

const toPeer = echoRequest("10.0.0.1", "10.0.0.2", { sequence: 1 });
const toNobody = echoRequest("10.0.0.1", "10.99.0.1", { sequence: 2 });

Deno.test("Sender: a packet to nobody does not lose the handshake that another one began", () => {
  const { sender, device } = senderOf([toPeer, toNobody]);
  assertEquals(sender.pump(1000), true);
  assertEquals(device.takeOutputs().map(({ kind }) => kind), ["datagram", "rejection"]);
  assertEquals(device.drops.noRoute, 1);
});
