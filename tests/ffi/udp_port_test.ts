/** UDP sockets over loopback. */
import { assertEquals } from "@std/assert";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { UdpPort } from "../../ffi/udp_port.ts";
import { UdpSocket } from "../../ffi/udp_socket.ts";
import { ipToBytes, parseIp } from "../../core/ip/address.ts";
import { waitFor } from "../support/wait_for.ts";

const GONE = [
  { family: 4, to: "127.0.0.1", local: "192.0.2.77" },
  { family: 6, to: "::1", local: "2001:db8::77" },
] as const;

Deno.test({
  name: "UdpPort.send() leaves the choice to the routing table when the address to send from is gone",
  ignore: Deno.build.os !== "linux",
  fn: async (t) => {
    for (const { family, to, local } of GONE) {
      await t.step(`IPv${family}`, async () => {
        const arena = new PinnedBuffer(2048);
        using sender = UdpSocket.bind(family, 0);
        using receiver = UdpSocket.bind(family, 0);
        if (sender === undefined || receiver === undefined) return;
        const [out, into] = [sender, receiver].map(({ fd }) => new UdpPort(fd, family, arena));
        arena.bytes.fill(7, 0, 4);
        const destination = {
          family,
          address: ipToBytes(parseIp(to)!),
          port: receiver.port,
          scopeId: 0,
          local: { address: ipToBytes(parseIp(local)!), interfaceIndex: 0 },
        };
        assertEquals(out!.send(destination, 0, 4, 4), 4);
        const bytes = await waitFor("the datagram", () => {
          const got = into!.receive(1024, 1024);
          return got >= 0 && got;
        });
        assertEquals([bytes, arena.bytes[1024]], [4, 7]);
      });
    }
  },
});
