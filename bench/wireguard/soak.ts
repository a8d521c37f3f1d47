/** The soak itself. Runs as root in network, mount and process namespaces made for it. */
import { print } from "../../scripts/support/process.ts";
import { openDaemons } from "./daemons.ts";
import { SoakedTunnel } from "./soaked_tunnel.ts";
import { complaintsOf, findingsLine, findingsOf } from "./soak_report.ts";
import { openProgram } from "./tunnel.ts";

/** A soak. Travels as JSON in an argument. */
export interface SoakPlan {
  /** Directory for all state. */
  readonly dir: string;
  readonly minutes: number;
  readonly bitsPerSecond: number;
}

const LOOK_EVERY_MS = 10_000;
const SHOW_EVERY_LOOKS = 6;

async function main({ dir, minutes, bitsPerSecond }: SoakPlan): Promise<number> {
  const seconds = minutes * 60;
  await using ours = await openDaemons(dir);
  await using theirs = await openProgram((link) => ["wireguard-go", "-f", link]);
  const load = { seconds, bitsPerSecond };
  const soaked = [
    new SoakedTunnel("ours", ours, load),
    new SoakedTunnel("wireguard-go", theirs, load),
  ] as const;
  const ended = Promise.all(soaked.map(({ traffic }) => traffic));
  await watch(soaked, ended);
  const [mine, other] = soaked.map(({ seen }) => findingsOf(seen, Math.min(300, seconds / 3))) as [
    ReturnType<typeof findingsOf>,
    ReturnType<typeof findingsOf>,
  ];
  for (const findings of [mine, other]) print(findingsLine(findings));
  const complaints = complaintsOf(mine, other, seconds);
  for (const complaint of complaints) print(`soak: NO: ${complaint}`);
  if (complaints.length === 0) {
    print("soak: yes: no loss beyond wireguard-go's, memory flat, all rekeys seen");
  }
  return complaints.length === 0 ? 0 : 1;
}

/** Looks at regular times until traffic has ended. */
async function watch(soaked: readonly SoakedTunnel[], ended: Promise<unknown>): Promise<void> {
  let over = false;
  const end = ended.finally(() => over = true);
  for (let looks = 0; !over; looks++) {
    const samples = await Promise.all(soaked.map((one) => one.look()));
    if (looks % SHOW_EVERY_LOOKS === 0) {
      const line = samples.map(({ rssMiB, descriptors }, i) =>
        `${soaked[i]!.name} ${rssMiB.toFixed(1)} MiB, ${descriptors} descriptors`
      );
      print(`${samples[0]!.atSeconds.toFixed(0)} s: ${line.join("; ")}`);
    }
    await Promise.race([new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS)), end]);
  }
  await end;
}

if (import.meta.main) Deno.exit(await main(JSON.parse(Deno.args[0]!)));
