/** Round trips through a tunnel, by ping. */
import type { Tunnel } from "./tunnel.ts";

/** Round-trip times in ms and how many requests had no answer. */
export interface Trips {
  readonly ms: readonly number[];
  readonly lost: number;
}

/** Sends echo requests for so many seconds, `intervalMs` apart. @throws {Error} If ping gives no summary. */
export async function runPing(
  tunnel: Tunnel,
  options: { readonly seconds: number; readonly intervalMs: number },
): Promise<Trips> {
  const count = Math.max(1, Math.round(options.seconds * 1000 / options.intervalMs));
  const argv = ["ping", "-n", "-i", String(options.intervalMs / 1000), "-c", String(count), "-W", "1"];
  const { stdout, stderr } = await tunnel.client.run([...argv, tunnel.address]);
  const trips = readPing(stdout);
  if (trips === undefined) throw new Error(`ping gave no summary: ${stderr.trim()}`);
  return trips;
}

/** Reads what ping printed; undefined if it was cut short. */
export function readPing(text: string): Trips | undefined {
  const summary = /(\d+) packets transmitted, (\d+) received/.exec(text);
  if (summary === null) return undefined;
  const ms = [...text.matchAll(/ time=([\d.]+) ms$/gm)].map(([, time]) => Number(time));
  return { ms, lost: Number(summary[1]) - Number(summary[2]) };
}
