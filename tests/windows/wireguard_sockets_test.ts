/** WireGuard devices in `deno.exe` on sockets with what Wine's lack: trains, sources, and an end. */
import { assert, assertEquals } from "@std/assert";
import { waitFor } from "../support/wait_for.ts";
import { DeviceRig, node, packetTo, specOf } from "./support/device_rig.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";
import { RecordingLog } from "../support/engine_rig.ts";
import { hex } from "./support/wintun_calls.ts";

const [A, B] = [node(1), node(2)];

interface Parts {
  readonly rig: DeviceRig;
  readonly sockets: FakeLibrary;
  readonly log: RecordingLog;
}

/** Two devices that have spoken to each other. */
function pairTest(
  name: string,
  run: (parts: Parts) => Promise<void>,
  system: Record<string, boolean> = {},
): void {
  Deno.test(name, async () => {
    using sockets = new FakeLibrary("ws2_fake.dll");
    sockets.request("system", system);
    const log = new RecordingLog();
    await using rig = new DeviceRig({ winsock: fakePath("ws2_fake.dll"), log });
    await rig.devices.ensure(specOf(A, [B]));
    await rig.devices.ensure(specOf(B, [A]));
    rig.inject(A, packetTo(A.ip, B.ip, 1));
    assertEquals(await rig.take(1), [hex(packetTo(A.ip, B.ip, 1))]);
    await run({ rig, sockets, log });
    await rig.devices[Symbol.asyncDispose]();
    rig.wintun.assertClean();
    rig.host.assertClean();
    sockets.assertClean();
  });
}

/** Packets of one size and a last one that is shorter: what TCP makes of a large write. */
function burst(from: typeof A, to: typeof A): Uint8Array[] {
  return [
    ...Array.from({ length: 59 }, (_, i) => packetTo(from.ip, to.ip, i, 1380)),
    packetTo(from.ip, to.ip, 60),
  ];
}

async function exchange({ rig }: Parts): Promise<void> {
  for (const [from, to] of [[A, B], [B, A]] as const) {
    const packets = burst(from, to);
    const wanted = packets.map(hex);
    assertEquals(rig.inject(from, ...packets), packets.length);
    // Of what was sent before there may be some under way.
    const arrived: string[] = [];
    await waitFor("the burst", () => {
      arrived.push(...rig.wintun.request("take").packets.filter((one: string) => wanted.includes(one)));
      return arrived.length >= wanted.length;
    });
    assertEquals(arrived, wanted);
  }
}

pairTest(
  "what one peer is sent goes out in trains and comes in trains, whole and in order",
  async (parts) => {
    const { rig, sockets } = parts;
    const before = sockets.counters();
    const { drops: dropped } = await rig.devices.read(B.name);
    sockets.request("sends");
    await exchange(parts);
    const { trainsSent, trainsReceived } = sockets.counters();
    assert(trainsSent! > before.trainsSent!, "trains went out");
    assert(trainsReceived! > before.trainsReceived!, "trains came in");
    // deno-lint-ignore no-explicit-any
    const sends: any[] = sockets.request("sends").sends;
    assert(sends.length < 2 * 60 / 4, `${sends.length} calls for 120 packets`);
    assertEquals(
      new Set(sends.map(({ source }) => source)),
      new Set(["127.0.0.1"]),
      "from where it was asked",
    );
    const { drops } = await rig.devices.read(B.name);
    assertEquals(drops, dropped);
  },
);

pairTest("a peer is answered from where it asked as long as the way leads by there", async (parts) => {
  const { rig, sockets } = parts;
  const other = "1689399633543168";
  rig.host.request("interface", { luid: other, alias: "Ethernet 2", address: "192.0.2.10/24" });
  const sourcesOf = async (mark: number): Promise<(string | null)[]> => {
    sockets.request("sends");
    rig.inject(A, packetTo(A.ip, B.ip, mark));
    assertEquals(await rig.take(1), [hex(packetTo(A.ip, B.ip, mark))]);
    return sockets.request("sends").sends.map(({ source }: { source: string | null }) => source);
  };
  const becomes = async (name: string, source: string | null): Promise<void> => {
    let mark = 10;
    await waitFor(name, async () => (await sourcesOf(mark++)).every((one) => one === source));
  };
  await becomes("an answer from where it asked", "127.0.0.1");
  const route = { luid: other, destination: "127.0.0.1/32", nextHop: "192.0.2.1" };
  rig.host.request("route", route);
  await becomes("the way by another interface", null);
  rig.host.request("route", { ...route, present: false });
  await becomes("the way back", "127.0.0.1");
  rig.host.request("interface", { luid: other, present: false });
});

for (const system of [{ segments: false }, { coalesces: false }, { messages: false }]) {
  pairTest(`without ${Object.keys(system)[0]} the packets arrive all the same`, exchange, system);
}

pairTest(
  "a driver that joins datagrams and does not say so costs a few packets, then nothing",
  async (parts) => {
    const { rig, sockets } = parts;
    sockets.request("system", { marks: false });
    const packets = burst(A, B);
    rig.inject(A, ...packets);
    await waitFor("doubt", async () => (await rig.devices.read(B.name)).drops?.udpUnmarkedTrain === 1);
    await waitFor("the end of the burst", () => {
      const { received, injected } = rig.wintun.counters();
      return received === injected;
    });
    const mark = packetTo(A.ip, B.ip, 99);
    await waitFor("a packet", () => {
      rig.inject(A, mark);
      return rig.wintun.request("take").packets.includes(hex(mark));
    });
    rig.wintun.request("take");
    const later = burst(A, B).map((packet) => packet.with(30, 7));
    rig.inject(A, ...later);
    const arrived: string[] = [];
    await waitFor("the second burst", () => {
      arrived.push(...rig.wintun.request("take").packets.filter((one: string) => one !== hex(mark)));
      return arrived.length === later.length;
    });
    assertEquals(arrived, later.map(hex));
  },
);

pairTest("sockets that the system takes away are bound anew, to the same port", async (parts) => {
  const { rig, sockets, log } = parts;
  const opened = sockets.counters().socketsOpen;
  for (const code of [10050, 10038]) {
    sockets.script({ function: "WSARecvMsg", action: "fail", code });
    sockets.script({ function: "bind", action: "fail", code: 10013, times: 2 });
    // Whoever receives next loses its sockets.
    rig.inject(A, packetTo(A.ip, B.ip, 2));
    await waitFor(
      "new sockets",
      () => log.records.some(({ message }) => message === "UDP sockets are bound anew"),
    );
    // What is left of the round before is none of this one's.
    const marked = [packetTo(A.ip, B.ip, code - 10_000), packetTo(B.ip, A.ip, code - 10_000)] as const;
    await waitFor("an exchange", async () => {
      rig.inject(A, marked[0]);
      rig.inject(B, marked[1]);
      await new Promise((resolve) => setTimeout(resolve, 10));
      const packets: string[] = rig.wintun.request("take").packets;
      return marked.some((packet) => packets.includes(hex(packet)));
    });
    const messages = log.records.map(({ message }) => message);
    assertEquals(messages.filter((one) => one.startsWith("UDP")), [
      "UDP sockets are lost",
      "UDP port cannot be bound anew",
      "UDP port cannot be bound anew",
      "UDP sockets are bound anew",
    ]);
    log.records.length = 0;
    sockets.request("unscript");
  }
  for (const one of [A, B]) {
    assertEquals((await rig.devices.read(one.name)).listenPort, one.port);
    assertEquals(rig.devices.isUdpPortFree(one.port), false);
  }
  assertEquals(sockets.counters().socketsOpen, opened);
  await exchange(parts);
});

pairTest("a device whose sockets are lost can be changed and removed", async ({ rig, sockets, log }) => {
  sockets.script({ function: "bind", action: "fail", code: 10013, times: 0 });
  sockets.script({ function: "WSASendMsg", action: "fail", code: 10050 });
  rig.inject(A, packetTo(A.ip, B.ip, 2));
  await waitFor(
    "a try in vain",
    () => log.records.some(({ message }) => message.includes("cannot be bound")),
  );
  sockets.request("unscript");
  const other = node(1, A.port + 100);
  await rig.devices.ensure(specOf(other, [B]));
  assertEquals((await rig.devices.read(A.name)).listenPort, other.port);
  rig.inject(A, packetTo(A.ip, B.ip, 5));
  assertEquals(await rig.take(1), [hex(packetTo(A.ip, B.ip, 5))]);
  sockets.script({ function: "bind", action: "fail", code: 10013, times: 0 });
  sockets.script({ function: "WSASendMsg", action: "fail", code: 10050 });
  rig.inject(A, packetTo(A.ip, B.ip, 6));
  const lost = (): number => log.records.filter(({ message }) => message.includes("are lost")).length;
  await waitFor("the second loss", () => lost() >= 2);
  await rig.devices.remove(A.name, specOf(A, []).tag);
});
