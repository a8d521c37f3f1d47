/** The receiving side of a data path on a real socket. */
import { assertEquals } from "@std/assert";
import { Arena, OUTBOX } from "../../../core/transport/wireguard/arena.ts";
import { Coalescer } from "../../../core/transport/wireguard/coalescer.ts";
import { withSubarrays } from "../../../core/transport/wireguard/crypto.ts";
import { Receiver } from "../../../core/transport/wireguard/receiver.ts";
import { Device } from "../../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../../core/wireguard/endpoint.ts";
import { nobleProvider } from "../../../core/wireguard/noble_provider.ts";
import { UdpPort } from "../../../ffi/udp_port.ts";
import { UdpSocket } from "../../../ffi/udp_socket.ts";
import { needing } from "../../support/test_netns.ts";

Deno.test({
  ...needing([], "an empty datagram does not end the batch that it came in"),
  fn(): void {
    const arena = new Arena();
    const provider = withSubarrays(nobleProvider());
    const environment = { crypto: provider, random: () => {}, wallClockMs: () => 0 };
    const device = new Device(environment);
    const ignore = (): void => {};
    const sink = { takesLarge: true, takesUdpTrains: true, begin: ignore, add: ignore, write: () => true };
    const coalescer = new Coalescer(arena, sink);
    const receiver = new Receiver({ arena, device, coalescer, cipher: provider.cipherOf(arena) });
    using socket = UdpSocket.bind(4, 0)!;
    const port = new UdpPort(socket.fd, 4, arena);
    assertEquals(receiver.pump(port, 0), false, "nothing is there");
    using client = UdpSocket.bind(4, 0)!;
    const out = new UdpPort(client.fd, 4, arena);
    const to = new PeerEndpoint(Uint8Array.of(127, 0, 0, 1), socket.port);
    for (const bytes of [0, 5, 0, 0, 6, 0]) assertEquals(out.send(to, OUTBOX, bytes, bytes), bytes);
    // Sent over loopback, they are there when the call returns.
    assertEquals(receiver.pump(port, 0), true);
    const total = Object.values(device.drops).reduce((sum, count) => sum + count, 0);
    assertEquals(total, 2, "both that are not empty were looked at");
    assertEquals(receiver.pump(port, 0), false, "and nothing is left");
  },
});
