/** What a process has used, from /proc (proc(5)). */

/** Nanoseconds of CPU that all threads alive have used: `/proc/<pid>/task/<tid>/schedstat`, first field. */
export function cpuNanoseconds(pid: number): bigint {
  let sum = 0n;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    sum += BigInt(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]!);
  }
  return sum;
}

/** Resident memory in bytes: `VmRSS` of `/proc/<pid>/status`. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} shows no VmRSS`);
  return Number(kib) * 1024;
}
