/** What a process has used, from /proc (proc(5)). */

/** Nanoseconds of CPU by thread id: `/proc/<pid>/task/<tid>/schedstat`, first field. */
export type ThreadTimes = ReadonlyMap<string, bigint>;

/** What all threads of a process have used so far. */
export function threadTimes(pid: number): ThreadTimes {
  const threads = [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => name);
  return new Map(threads.map((tid) => [tid, BigInt(schedstat(pid, tid).split(" ")[0]!)]));
}

/**
 * Milliseconds that were used between two looks. A thread that ended meanwhile takes its share with it; the
 * pool threads that do so have slept for ten seconds.
 */
export function usedBetween(before: ThreadTimes, after: ThreadTimes): number {
  let sum = 0n;
  for (const [tid, time] of after) sum += time - (before.get(tid) ?? 0n);
  return Number(sum) / 1e6;
}

function schedstat(pid: number, tid: string): string {
  return Deno.readTextFileSync(`/proc/${pid}/task/${tid}/schedstat`);
}

/** Resident memory in bytes: `VmRSS` of `/proc/<pid>/status`. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} shows no VmRSS`);
  return Number(kib) * 1024;
}

/** Ticks of a second in /proc: `USER_HZ`, which is 100 on every Linux. */
const TICKS_PER_SECOND = 100;

/** User and system time of a process in seconds, threads that have ended included: `/proc/<pid>/stat`. */
export function cpuSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** How many descriptors a process has open. */
export function openDescriptors(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}
