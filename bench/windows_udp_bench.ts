/**
 * What a datagram costs on sockets in `deno.exe` under Wine: ours beside Deno's and Node's, in one run. Datagrams wait
 * in a socket's buffer when receiving is timed, so nobody waits for a sender.
 *
 * Usage: `deno run -A --frozen bench/windows_udp_bench.ts [--rounds <n>]`; needs root, as the Windows rig does. Says how
 * the ways compare, not how fast Windows is: Wine hands each call to a Linux system call, and has no trains.
 */
import { parseArgs } from "@std/cli";
import { once } from "node:events";
import { createSocket } from "node:dgram";
import { fromFileUrl } from "@std/path";
import { PinnedBuffer } from "../ffi/memory.ts";
import { NO_FEATURES } from "../ffi/windows/udp_features.ts";
import { type UdpDestination, WindowsUdpPort } from "../ffi/windows/udp_port.ts";
import { WindowsUdpSocket } from "../ffi/windows/udp_socket.ts";
import { WindowsEvent } from "../ffi/windows/wait_set.ts";
import { ws2 } from "../ffi/windows/ws2_32.ts";
import { print } from "../scripts/support/process.ts";
import { DENO_EXE, runInWine, wineUnmet } from "../tests/support/wine_rig.ts";

/** As many as a buffer holds on Linux without rights to more: 212,992 bytes, some 2,300 for each datagram. */
const BATCH = 80;
const BATCHES = 25;
const BYTES = 1452;
const HOST = "127.0.0.1";
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** A socket: its port, and ways to send and receive a batch. */
interface Way extends Disposable {
  readonly port: number;
  send(port: number): Promise<void>;
  receive(): Promise<void>;
}

function ours(messages: boolean): Way {
  const stack = new DisposableStack();
  const calls = ws2();
  const memory = new PinnedBuffer(65_536 + BATCH * BYTES);
  const socket = stack.use(WindowsUdpSocket.bind(4, 0)!);
  const event = stack.use(new WindowsEvent("manual"));
  const features = { ...NO_FEATURES, messages };
  const io = new WindowsUdpPort(socket.fd, 4, memory, { event: event.handle, features, calls });
  return {
    port: socket.port,
    send(port): Promise<void> {
      const to: UdpDestination = { family: 4, address: LOOPBACK, port, scopeId: 0, local: undefined };
      // As a train, which is sent datagram by datagram here.
      for (let sent = 0; sent < BATCH; sent += 40) io.send(to, 65_536, 40 * BYTES, BYTES);
      return Promise.resolve();
    },
    receive(): Promise<void> {
      for (let got = 0; got < BATCH; got++) if (io.receive(0, 65_536) !== BYTES) throw new Error("lost");
      return Promise.resolve();
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

function denos(): Way {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: HOST, port: 0 });
  const datagram = new Uint8Array(BYTES);
  const buffer = new Uint8Array(65_536);
  return {
    port: (socket.addr as Deno.NetAddr).port,
    async send(port): Promise<void> {
      for (let i = 0; i < BATCH; i++) await socket.send(datagram, { transport: "udp", hostname: HOST, port });
    },
    async receive(): Promise<void> {
      for (let i = 0; i < BATCH; i++) await socket.receive(buffer);
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

async function nodes(): Promise<Way> {
  const socket = createSocket("udp4");
  socket.bind(0, HOST);
  await once(socket, "listening");
  const datagram = new Uint8Array(BYTES);
  let got = 0;
  let done = (): void => {};
  socket.on("message", () => {
    if (++got % BATCH === 0) done();
  });
  return {
    port: socket.address().port,
    send: (port) =>
      new Promise((resolve) => {
        let sent = 0;
        const next = (): void => {
          if (sent++ === BATCH) resolve();
          else socket.send(datagram, port, HOST, next);
        };
        next();
      }),
    // It takes datagrams as they come, in a loop of its own.
    receive: () => new Promise((resolve) => done = resolve),
    [Symbol.dispose]: () => void socket.close(),
  };
}

const WAYS: Readonly<Record<string, () => Way | Promise<Way>>> = {
  "ours, WSARecvMsg": () => ours(true),
  "ours, recvfrom": () => ours(false),
  "Deno.listenDatagram": denos,
  "node:dgram": nodes,
};

/** µs for one datagram: sent, and received. */
async function measure(make: () => Way | Promise<Way>): Promise<{ send: number; receive: number }> {
  using way = await make();
  using sink = ours(false);
  using source = ours(false);
  let [send, receive] = [0, 0];
  for (let batch = 0; batch < BATCHES; batch++) {
    const start = performance.now();
    await way.send(sink.port);
    send += performance.now() - start;
    await sink.receive();
    await source.send(way.port);
    const received = performance.now();
    await way.receive();
    receive += performance.now() - received;
  }
  const each = 1000 / (BATCH * BATCHES);
  return { send: send * each, receive: receive * each };
}

async function inWine(rounds: number): Promise<void> {
  const rows = new Map(Object.keys(WAYS).map((name) => [name, { send: Infinity, receive: Infinity }]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, make] of Object.entries(WAYS)) {
      const row = rows.get(name)!;
      const { send, receive } = await measure(make);
      row.send = Math.min(row.send, send);
      row.receive = Math.min(row.receive, receive);
    }
  }
  print(`| ${BYTES} bytes, least of ${rounds} | send, µs | receive, µs |`);
  print("| --- | --- | --- |");
  for (const [name, { send, receive }] of rows) {
    print(`| ${name} | ${send.toFixed(1)} | ${receive.toFixed(1)} |`);
  }
}

if (import.meta.main) {
  const { rounds = "5" } = parseArgs(Deno.args, { string: ["rounds"] });
  if (Deno.build.os === "windows") {
    await inWine(Number(rounds));
    Deno.exit(0);
  }
  const unmet = wineUnmet();
  if (unmet !== undefined) {
    print(unmet);
    Deno.exit(1);
  }
  const script = fromFileUrl(import.meta.url).replace(/^.*\/bench\//, "bench/");
  const argv = [
    DENO_EXE,
    "run",
    "-A",
    "--no-check",
    "--unstable-net",
    "--cached-only",
    script,
    "--rounds",
    String(rounds),
  ];
  const { code, output } = await runInWine(argv);
  print(output.split("\n").filter((line) => line.startsWith("|")).join("\n") || output);
  Deno.exit(code ?? 1);
}
