/** The data path of Windows in `deno.exe`: when it waits, what wakes it, what it counts. */
import { assert, assertEquals } from "@std/assert";
import type { DevicePeer } from "../../core/backend/backend.ts";
import { parseIp } from "../../core/ip/address.ts";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { NO_FEATURES } from "../../ffi/windows/udp_features.ts";
import { WindowsUdpPort } from "../../ffi/windows/udp_port.ts";
import { WindowsUdpSocket } from "../../ffi/windows/udp_socket.ts";
import { WindowsEvent } from "../../ffi/windows/wait_set.ts";
import { ws2 } from "../../ffi/windows/ws2_32.ts";
import { waitFor } from "../support/wait_for.ts";
import { type DeviceRig, node, packetTo, peerOf, rigTest, specOf } from "./support/device_rig.ts";
import { hex } from "./support/wintun_calls.ts";

const [A, B] = [node(1), node(2)];

/** Waits until the thread of the data path asks the ring for nothing any more: it sleeps in the kernel. */
async function atRest(rig: DeviceRig): Promise<void> {
  let before = -1;
  await waitFor("the data path at rest", () => {
    const { asked } = rig.wintun.counters();
    const rests = asked === before;
    before = asked ?? 0;
    return rests;
  }, { intervalMs: 50 });
}

rigTest(
  "a data path that has nothing to do is at rest: after requests, packets and datagrams",
  async (rig) => {
    await rig.devices.ensure(specOf(A, []));
    await atRest(rig);
    rig.inject(A, packetTo(A.ip, B.ip, 1));
    await waitFor("the packet", async () => (await rig.devices.read(A.name)).drops?.noRoute === 1);
    await atRest(rig);
    using event = new WindowsEvent("manual");
    using socket = WindowsUdpSocket.bind(4, 0)!;
    const options = { event: event.handle, features: NO_FEATURES, calls: ws2() };
    const port = new WindowsUdpPort(socket.fd, 4, new PinnedBuffer(40), options);
    const address = Uint8Array.of(127, 0, 0, 1);
    const to = { family: 4, address, port: A.port, scopeId: 0, local: undefined } as const;
    assertEquals(port.send(to, 0, 40, 40), 40);
    await waitFor("the datagram", async () => (await rig.devices.read(A.name)).drops?.unknownType === 1);
    await atRest(rig);
  },
);

rigTest(
  "[windows T86] after an error that is not plain the ring is looked at again, its event set or not",
  async (rig) => {
    await rig.devices.ensure(specOf(A, [B]));
    await rig.devices.ensure(specOf(B, [A]));
    rig.inject(A, packetTo(A.ip, B.ip, 1));
    await rig.take(1);
    await atRest(rig);
    // The event is set once for the packet, and that is used up by the first error.
    rig.wintun.request("receiveError", { code: 122, times: 2 });
    rig.inject(A, packetTo(A.ip, B.ip, 2));
    assertEquals(await rig.take(1), [hex(packetTo(A.ip, B.ip, 2))]);
  },
);

rigTest("what sockets could not send stays on the count when others take their place", async (rig) => {
  // Windows lets nobody send there who has not asked for it.
  const broadcast: DevicePeer = { ...peerOf(B), endpoint: { ip: parseIp("255.255.255.255")!, port: 9 } };
  await rig.devices.ensure(specOf(A, [], { peers: [broadcast] }));
  rig.inject(A, packetTo(A.ip, B.ip, 1));
  const failed = async (): Promise<number> => (await rig.devices.read(A.name)).drops?.udpSendFailed ?? 0;
  await waitFor("a failure", async () => await failed() > 0);
  const before = await failed();
  await rig.devices.ensure(specOf(A, [], { listenPort: 51_999, peers: [] }));
  assert(await failed() >= before);
});
