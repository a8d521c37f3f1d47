/**
 * `deno task bench:wireguard`: our WireGuard in user space beside Debian's wireguard-go, the newest wireguard-go,
 * boringtun-cli and a bare veth pair, in one run on one machine; and a device with 1,000 peers.
 *
 * Usage: `deno task bench:wireguard [--only tcp1,tcp4,…,peers] [--rounds N] [--seconds N] [--json] [--dir PATH]
 * [--no-setup]`. Needs root. Everything happens in namespaces of its own. What cannot be built here is reported as
 * not built. A missed target is a result: the exit code is 1 only when ours could not be measured.
 */
import { parseArgs } from "@std/cli";
import { setUp } from "../scripts/setup.ts";
import { cacheDir } from "../scripts/support/cache_dir.ts";
import { suite } from "../scripts/support/suites.ts";
import { buildTunnelPrograms } from "../scripts/support/tunnel_programs.ts";
import { runInNamespaces } from "./support/in_namespaces.ts";
import { LOAD_IDS } from "./wireguard/loads.ts";
import type { WireguardPlan } from "./wireguard/plan.ts";

/** What the command line asks for. */
interface Request extends Omit<WireguardPlan, "dir" | "programs"> {
  readonly parent: string;
  readonly setUp: boolean;
}

const STAGES = [...LOAD_IDS, "peers"] as const;

async function main(args: readonly string[]): Promise<number> {
  const request = parseRequest(args);
  if (typeof request === "string") {
    say(request);
    return 2;
  }
  const unmet = await suite("netns").unmet();
  if (unmet !== undefined) {
    say(unmet);
    return 1;
  }
  if (request.setUp) { for (const line of await setUp(["packages"])) say(`setup: missing: ${line}`); }
  return await measure(request);
}

/** Reads the command line; a text says what is wrong with it. */
function parseRequest(args: readonly string[]): Request | string {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["only", "rounds", "seconds", "dir"],
    boolean: ["json", "no-setup"],
    unknown: (arg) => void unknown.push(arg),
  });
  const bad = [...unknown, ...flags._];
  if (bad.length > 0) return `unknown argument ${bad.join(" ")}`;
  const only = typeof flags.only === "string" ? flags.only.split(",") : STAGES;
  const strange = only.filter((name) => !(STAGES as readonly string[]).includes(name));
  if (strange.length > 0) return `nothing named ${strange.join(", ")}; there are ${STAGES.join(", ")}`;
  const [rounds, seconds] = [Number(flags.rounds ?? 3), Number(flags.seconds ?? 3)];
  if (!(rounds >= 1 && seconds >= 1)) return "--rounds and --seconds take numbers from 1 on";
  return {
    loads: LOAD_IDS.filter((id) => only.includes(id)),
    peers: only.includes("peers"),
    rounds,
    seconds,
    json: flags.json === true,
    parent: typeof flags.dir === "string" && flags.dir !== "" ? flags.dir : "/var/tmp",
    setUp: flags["no-setup"] !== true,
  };
}

async function measure({ parent, setUp: builds, ...request }: Request): Promise<number> {
  const dir = await Deno.makeTempDir({ dir: parent, prefix: "zlayer-overlayd-bench-" });
  try {
    const programs = await buildTunnelPrograms(cacheDir(), { offline: !builds, say });
    const plan: WireguardPlan = { ...request, dir, programs };
    return await runInNamespaces("bench/wireguard/main.ts", [JSON.stringify(plan)], {
      modules: ["main.ts", "tests/support/backend_node_main.ts"],
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** To stderr: stdout is the result's. */
function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`bench: ${line}\n`));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
