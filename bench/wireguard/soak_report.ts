/** What a soak has shown, and what of it is wrong. Pure. */
import { median } from "../support/statistics.ts";

/** One look at a tunnel. */
export interface Sample {
  /** Since the start. */
  readonly atSeconds: number;
  /** Both ends together. */
  readonly rssMiB: number;
  readonly descriptors: number;
  /** When each end last completed a handshake, in Unix seconds. */
  readonly handshakes: readonly number[];
}

/** Requests that had no answer, one after another. */
export interface Gap {
  /** Unix seconds. */
  readonly at: number;
  readonly lost: number;
}

/** All that was seen of a tunnel. */
export interface Seen {
  readonly name: string;
  readonly samples: readonly Sample[];
  readonly pings: { readonly sent: number; readonly gaps: readonly Gap[] };
  /** Bytes that TCP brought across. */
  readonly bytes: number;
}

/** The same in numbers. */
export interface Findings {
  readonly name: string;
  readonly sent: number;
  readonly lost: number;
  /** Of these, near a handshake. */
  readonly lostAtRekeys: number;
  /** Most requests without an answer in a row. */
  readonly longestGap: number;
  readonly handshakes: number;
  /** Median of the first and of the last quarter of the time after warm-up. */
  readonly rssMiB: readonly [number, number];
  readonly slopeKiBPerMinute: number;
  readonly descriptors: readonly [number, number];
  readonly gigabytes: number;
}

/** Loss this near to a handshake is put down to it, in seconds: handshakes are told in whole seconds. */
const NEAR_SECONDS = 2;

/** Resident memory may grow by so much after warm-up: the garbage collector's to and fro. */
export const MAX_GROWTH_MIB = 16;

/** A session is renewed after 120 s; a handshake may then take a retry of 5 s. */
const REKEY_SECONDS = 125;

/** Reads the findings off. @param warmUpSeconds Left out of what is said on memory and descriptors. */
export function findingsOf(seen: Seen, warmUpSeconds: number): Findings {
  const after = seen.samples.filter(({ atSeconds }) => atSeconds >= warmUpSeconds);
  const steady = after.length >= 4 ? after : seen.samples;
  const rekeys = handshakeTimes(seen.samples);
  const { sent, gaps } = seen.pings;
  const isNear = ({ at }: Gap): boolean => rekeys.some((rekey) => Math.abs(at - rekey) <= NEAR_SECONDS);
  const count = (some: readonly Gap[]): number => some.reduce((sum, { lost }) => sum + lost, 0);
  return {
    name: seen.name,
    sent,
    lost: count(gaps),
    lostAtRekeys: count(gaps.filter(isNear)),
    longestGap: Math.max(0, ...gaps.map(({ lost }) => lost)),
    handshakes: rekeys.length,
    rssMiB: firstAndLast(steady.map(({ rssMiB }) => rssMiB)),
    slopeKiBPerMinute: slope(steady.map(({ atSeconds, rssMiB }) => [atSeconds / 60, rssMiB * 1024])),
    descriptors: firstAndLast(steady.map(({ descriptors }) => descriptors)),
    gigabytes: seen.bytes / 1e9,
  };
}

/** What is wrong with ours; empty if nothing. */
export function complaintsOf(ours: Findings, theirs: Findings, seconds: number): string[] {
  const expected = Math.floor(seconds / REKEY_SECONDS);
  const growth = ours.rssMiB[1] - ours.rssMiB[0];
  return [
    ...ours.lostAtRekeys > theirs.lostAtRekeys
      ? [`${ours.lostAtRekeys} pings lost at rekeys, ${theirs.name} lost ${theirs.lostAtRekeys}`]
      : [],
    ...ours.lost > theirs.lost ? [`${ours.lost} pings lost, ${theirs.name} lost ${theirs.lost}`] : [],
    ...growth > MAX_GROWTH_MIB
      ? [`resident memory grew by ${growth.toFixed(1)} MiB after warm-up, ${MAX_GROWTH_MIB} are allowed`]
      : [],
    ...ours.descriptors[1] > ours.descriptors[0]
      ? [`descriptors grew from ${ours.descriptors[0]} to ${ours.descriptors[1]}`]
      : [],
    ...ours.handshakes < expected ? [`${ours.handshakes} rekeys seen, ${expected} expected`] : [],
  ];
}

/** Handshakes after the first look, by the end that completed it first; both ends of one are within a second. */
function handshakeTimes(samples: readonly Sample[]): number[] {
  const first = Math.max(0, ...samples[0]?.handshakes ?? []);
  const times = [...new Set(samples.flatMap(({ handshakes }) => handshakes))].filter((at) => at > first);
  return times.sort((a, b) => a - b).filter((at, i, all) => i === 0 || at - all[i - 1]! > 1);
}

function firstAndLast(values: readonly number[]): [number, number] {
  const quarter = Math.max(1, Math.floor(values.length / 4));
  if (values.length === 0) return [0, 0];
  return [median(values.slice(0, quarter)), median(values.slice(-quarter))];
}

/** Least squares. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const [over, under] = points.reduce(([o, u], [x, y]) => [o + (x - mx) * (y - my), u + (x - mx) ** 2], [
    0,
    0,
  ]);
  return under === 0 ? 0 : over! / under!;
}

/** One line. */
export function findingsLine(found: Findings): string {
  const { name, sent, lost, lostAtRekeys, longestGap, handshakes, rssMiB, slopeKiBPerMinute } = found;
  return `${name}: ${sent} pings, ${lost} lost (${lostAtRekeys} at rekeys, ${longestGap} in a row at most); ` +
    `${handshakes} rekeys; RSS ${rssMiB.map((value) => value.toFixed(1)).join(" -> ")} MiB, ` +
    `slope ${slopeKiBPerMinute.toFixed(1)} KiB/min; descriptors ${found.descriptors.join(" -> ")}; ` +
    `${found.gigabytes.toFixed(1)} GB of TCP`;
}
