/**
 * A process that sends UDP datagrams of one size in trains (`UDP_SEGMENT`), or receives datagrams and checks them.
 *
 * Arguments: `receive <count> <bytes>` prints `ready <port>`, then how many were right, how many receipts they came by
 * and how many were wrong; `send <address> <port> <count> <bytes> <train>` sends trains of so many.
 */
import { UdpPort } from "../../ffi/udp_port.ts";
import { UdpSocket } from "../../ffi/udp_socket.ts";
import { Arena, INBOX, OUTBOX, RECEIPT_BYTES } from "../../core/transport/wireguard/arena.ts";
import { ipToBytes, parseIp } from "../../core/ip/address.ts";

const [mode, ...args] = Deno.args;
const arena = new Arena();
const say = (text: string): void => void Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));

/** How long the first datagram is waited for, while the sender starts, and each that follows. */
const FIRST_MS = 120_000, NEXT_MS = 5_000;

/** Datagram `index` as both sides make it: its number, then bytes that depend on it. */
function fill(index: number, at: number, bytes: number): void {
  for (let i = 4; i < bytes; i++) arena.bytes[at + i] = index * 31 + i * 7;
  arena.view.setUint32(at, index);
}

function isRight(at: number, bytes: number): boolean {
  const index = arena.view.getUint32(at);
  for (let i = 4; i < bytes; i++) if (arena.bytes[at + i] !== ((index * 31 + i * 7) & 0xff)) return false;
  return true;
}

async function receive(count: number, bytes: number): Promise<void> {
  using socket = UdpSocket.bind(4, 0)!;
  const port = new UdpPort(socket.fd, 4, arena);
  say(`ready ${socket.port}`);
  const seen = new Set<number>();
  let receipts = 0;
  let wrong = 0;
  for (let end = performance.now() + FIRST_MS; seen.size < count && performance.now() < end;) {
    const length = port.receive(INBOX, RECEIPT_BYTES);
    if (length < 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      continue;
    }
    receipts++;
    end = performance.now() + NEXT_MS;
    for (let at = 0; at < length; at += port.segmentBytes) {
      const own = Math.min(port.segmentBytes, length - at);
      if (own === bytes && isRight(INBOX + at, own)) seen.add(arena.view.getUint32(INBOX + at));
      else wrong++;
    }
  }
  say(`${seen.size} ${receipts} ${wrong}`);
}

function send(address: string, port: number, options: { count: number; bytes: number; train: number }): void {
  using socket = UdpSocket.bind(4, 0)!;
  const out = new UdpPort(socket.fd, 4, arena);
  const to = {
    family: 4,
    address: ipToBytes(parseIp(address)!),
    port,
    scopeId: 0,
    local: undefined,
  } as const;
  for (let first = 0; first < options.count; first += options.train) {
    for (let i = 0; i < options.train; i++) fill(first + i, OUTBOX + i * options.bytes, options.bytes);
    while (!out.send(to, OUTBOX, options.train * options.bytes, options.bytes)) out.waitWritable(100);
  }
}

if (mode === "receive") await receive(Number(args[0]), Number(args[1]));
else {
  const [count, bytes, train] = args.slice(2).map(Number);
  send(args[0]!, Number(args[1]), { count: count!, bytes: bytes!, train: train! });
}
