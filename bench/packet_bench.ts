/**
 * What one packet costs on the thread of the data path, in ns of its CPU time: cipher of each library that is
 * there, copy with sum, cutting. The least of some rounds, since other work on the machine can only add to it.
 *
 * Usage: `deno run -A --frozen bench/packet_bench.ts`
 */
import { libc } from "../ffi/libc.ts";
import { PinnedBuffer } from "../ffi/memory.ts";
import { print } from "../scripts/support/process.ts";
import { Arena, INBOX, TUN_IN } from "../core/transport/wireguard/arena.ts";
import { openPlain, openWasm } from "../core/transport/wireguard/copy_memory.ts";
import {
  type ArenaCipher,
  libcryptoProvider,
  libgcryptProvider,
  withSubarrays,
} from "../core/transport/wireguard/crypto.ts";
import { nodeProvider } from "../core/transport/wireguard/node_provider.ts";
import { TunPacket } from "../core/transport/wireguard/tun_packet.ts";
import type { AeadKey } from "../core/wireguard/crypto_provider.ts";
import { nobleProvider } from "../core/wireguard/noble_provider.ts";

const ROUNDS = 40;
/** As many packets as one call sends. */
const BATCH = 45;
const STEP = 1472;
/** Plaintext: a full packet at MTU 1420, half a one, an acknowledgement. */
const LENGTHS = [1420, 512, 80];

const CLOCK_THREAD_CPUTIME_ID = 3;
const time = new PinnedBuffer(16);

/** CPU time of this thread in ns. @see clock_gettime(2) */
function cpuNs(): number {
  libc().clock_gettime(CLOCK_THREAD_CPUTIME_ID, time.pointer);
  return time.view.getUint32(0, true) * 1e9 + time.view.getUint32(8, true);
}

/** ns for one of `count` times that `run` does something. */
function least(count: number, run: () => void, prepare: () => void = () => {}): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    let spent = 0;
    for (let i = 0; i < 20; i++) {
      prepare();
      const start = cpuNs();
      run();
      spent += cpuNs() - start;
    }
    best = Math.min(best, spent / 20 / count);
  }
  return best;
}

function benchCipher(name: string, cipher: ArenaCipher, key: AeadKey): void {
  for (const length of LENGTHS) {
    const each = (what: (at: number, i: number) => void): void => {
      for (let i = 0; i < BATCH; i++) what(INBOX + i * STEP, i);
    };
    const seal = (): void => each((at, i) => cipher.seal(key, 0, i, at, length + 16));
    const open = (): void => each((at, i) => cipher.open(key, 0, i, at, length + 16));
    report(`${name} seal, ${length} bytes`, least(BATCH, seal));
    report(`${name} open, ${length} bytes`, least(BATCH, open, seal));
  }
}

function benchCopy(name: string, arena: Arena): void {
  const copy = (): void => {
    for (let i = 0; i < BATCH; i++) arena.copySum(INBOX + i * STEP, TUN_IN + i * 1368, 1368);
  };
  report(`${name} copy and sum, 1368 bytes`, least(BATCH, copy));
  const payloadBytes = BATCH * 1368;
  arena.view.setUint8(TUN_IN + 1, 1);
  arena.view.setUint16(TUN_IN + 4, 1368, true);
  arena.view.setUint16(TUN_IN + 6, 20, true);
  arena.bytes[TUN_IN + 12] = 0x45;
  arena.bytes[TUN_IN + 12 + 20 + 12] = 0x80;
  const packet = new TunPacket();
  const cut = (): void => {
    packet.read(arena.view, TUN_IN, 12 + 52 + payloadBytes);
    for (let i = 0; i < packet.count; i++) packet.copyPiece(i, INBOX + i * STEP, arena);
  };
  report(`${name} cut TCP, 1368 bytes each`, least(BATCH, cut));
}

function report(what: string, ns: number): void {
  print(`${what.padEnd(44)} ${ns.toFixed(0).padStart(6)} ns`);
}

if (import.meta.main) {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const subarrays = [nodeProvider, nobleProvider].map((make) => () => withSubarrays(make()));
  for (const make of [libgcryptProvider, libcryptoProvider, ...subarrays]) {
    const provider = make();
    const arena = new Arena();
    benchCipher(provider.name, provider.cipherOf(arena), provider.packet.importKey(bytes));
  }
  benchCopy("WebAssembly", new Arena(openWasm(1 << 20)));
  benchCopy("JavaScript", new Arena(openPlain(1 << 20)));
}
