/** What the numbers were taken on. */
import { capture } from "../../scripts/support/process.ts";
import { NETAVARK } from "./peers.ts";

/** Lines on machine, kernel and versions. @param dir Where state is kept. */
export async function machineLines(dir: string): Promise<string[]> {
  const first = async (...argv: string[]): Promise<string> =>
    (await capture(argv)).stdout.split("\n")[0]!.trim();
  const cpu = /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  const memory = Math.round(Deno.systemMemoryInfo().total / 2 ** 30);
  const load = Deno.loadavg()[0]!;
  const cores = navigator.hardwareConcurrency;
  const cni = await first("dpkg-query", "-W", "-f=${Version}", "containernetworking-plugins");
  return [
    `machine: ${cpu}, ${cores} cores, ${memory} GiB, load ${load.toFixed(1)}`,
    ...(load > cores / 2 ? ["caution: others use this machine; times are longer, and not evenly so"] : []),
    `kernel: ${Deno.osRelease()}; state on ${await first("stat", "-f", "-c", "%T", dir)}`,
    `versions: deno ${Deno.version.deno}, ${await first(NETAVARK, "--version")}, ` +
    `CNI plugins ${cni}, ${await first("ip", "-V")}`,
  ];
}
