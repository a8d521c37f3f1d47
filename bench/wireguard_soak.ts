/**
 * `deno task soak:wireguard`: steady traffic for a long time between two of our daemons and, beside it, between two
 * wireguard-go. Sessions are renewed every two minutes by themselves; pings 20 ms apart show what that costs.
 *
 * Usage: `deno task soak:wireguard [--minutes N] [--mbits N] [--dir PATH]`; by default 30 minutes at 100 Mbit/s.
 * Needs root. Exits with 1 if ours loses more than wireguard-go, grows, or misses a rekey.
 */
import { parseArgs } from "@std/cli";
import { suite } from "../scripts/support/suites.ts";
import { runInNamespaces } from "./support/in_namespaces.ts";
import type { SoakPlan } from "./wireguard/soak.ts";

async function main(args: readonly string[]): Promise<number> {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["minutes", "mbits", "dir"],
    unknown: (arg) => void unknown.push(arg),
  });
  const [minutes, mbits] = [Number(flags.minutes ?? 30), Number(flags.mbits ?? 100)];
  if (unknown.length > 0 || !(minutes > 0 && mbits > 0)) {
    say("usage: deno task soak:wireguard [--minutes N] [--mbits N] [--dir PATH]");
    return 2;
  }
  const unmet = await suite("netns").unmet();
  if (unmet !== undefined) {
    say(unmet);
    return 1;
  }
  const parent = typeof flags.dir === "string" ? flags.dir : "/var/tmp";
  const dir = await Deno.makeTempDir({ dir: parent, prefix: "zlayer-overlayd-soak-" });
  try {
    const plan: SoakPlan = { dir, minutes, bitsPerSecond: mbits * 1e6 };
    return await runInNamespaces("bench/wireguard/soak.ts", [JSON.stringify(plan)], { modules: ["main.ts"] });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`soak: ${line}\n`));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
