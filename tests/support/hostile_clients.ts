/** Clients that mean ill, or are broken, and one that watches how the server bears it. */

import { assert, assertEquals } from "@std/assert";
import type { OverlaydClient } from "../../ipc/client.ts";
import { hostileBytes } from "./hostile_frames.ts";
import { requestFrame } from "./ipc_examples.ts";
import { RawClient } from "./ipc_rig.ts";
import type { SeededRandom } from "./seeded_random.ts";

/** What attackers have done so far. */
export interface Tally {
  pieces: number;
}

/** Sends so many hostile pieces; whenever the framing survives, a `status` behind it has to be answered. */
export async function attack(
  path: string,
  frames: number,
  { random, tally = { pieces: 0 } }: { readonly random: SeededRandom; readonly tally?: Tally },
): Promise<void> {
  let raw = await RawClient.connect(path);
  for (let i = 1; i <= frames; i++, tally.pieces++) {
    const { kind, bytes, framed } = hostileBytes(random);
    const sent = raw.write(bytes).catch(() => {});
    if (framed) {
      const probe = `{"frame":"response","id":${i},"response":{"result":"status"`;
      await sent;
      await raw.send(requestFrame('{"op":"status"}', i));
      let answer = await raw.receive();
      while (answer !== undefined && !answer.startsWith(probe)) answer = await raw.receive();
      assert(answer !== undefined, `connection closed after ${kind}`);
    } else {
      await sent;
      raw.close();
      raw = await RawClient.connect(path);
    }
  }
  raw.close();
}

/** Announces a large frame and sends it a byte at a time; comes back when it is closed for that. */
export async function dribble(path: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    using raw = await RawClient.connect(path);
    await dribbleInto(raw, signal).catch(() => {});
  }
}

async function dribbleInto(raw: RawClient, signal: AbortSignal): Promise<void> {
  await raw.write(Uint8Array.of(0, 0, 0x80, 0));
  while (!signal.aborted) {
    await raw.write(Uint8Array.of(0x5b));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Asks `status` all the time; resolves to how often it was answered, and to how many pieces of the attack went by
 * during the longest wait.
 */
export async function watch(
  client: OverlaydClient,
  signal: AbortSignal,
  tally: Readonly<Tally> = { pieces: 0 },
): Promise<{ answers: number; worstPieces: number }> {
  let [answers, worstPieces] = [0, 0];
  while (!signal.aborted) {
    const before = tally.pieces;
    assertEquals((await client.status()).overlayCidr, "10.200.0.0/16");
    worstPieces = Math.max(worstPieces, tally.pieces - before);
    answers++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { answers, worstPieces };
}
