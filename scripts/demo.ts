/**
 * `deno task demo`: a node, then three of them, from nothing to nothing, in some ten seconds.
 *
 * Runs as root on any Linux machine. It plays in network, mount and process namespaces of its own, so the
 * machine's network is not touched. Exit code 0 when every step did what it says.
 */
import { Cluster } from "../tests/support/cluster.ts";
import { LeakAudit } from "../tests/support/leak_audit.ts";
import { WORKERS } from "./compile.ts";
import { playOneNode } from "./demo/one_node.ts";
import { Report } from "./demo/report.ts";
import { Stage } from "./demo/stage.ts";
import { playThreeNodes } from "./demo/three_nodes.ts";
import { fetchImports } from "./support/imports.ts";
import { installPackages, missingPackages } from "./support/packages.ts";
import { denoArgv, denoEnv, print, stream } from "./support/process.ts";
import { REPO } from "./support/repo.ts";
import { inNamespaces } from "./support/suites.ts";

/** What the demo calls besides the daemon; `iperf3` too where it is installed. */
const NEEDED = ["iproute2", "iputils-ping"];

/** Set in the namespaces that the demo starts itself in. */
const INSIDE = "ZLAYER_DEMO_INSIDE";

const NODES = 3;

async function main(): Promise<number> {
  if (Deno.env.has(INSIDE)) return await play();
  if (Deno.build.os !== "linux") return refuse("it needs Linux");
  if (Deno.uid() !== 0) return refuse("it needs root, to make network namespaces: run it with sudo");
  const problem = await prepare();
  if (problem !== undefined) return refuse(problem);
  const argv = denoArgv("run", "-A", "--frozen", "--quiet", "scripts/demo.ts");
  const { code } = await stream(inNamespaces(argv), { cwd: REPO, env: { ...denoEnv(), [INSIDE]: "1" } });
  return code;
}

/** Brings what is missing, while there is a network. @returns What is wrong, or undefined. */
async function prepare(): Promise<string | undefined> {
  const missing = missingPackages().map(({ name }) => name).filter((name) => NEEDED.includes(name));
  if (missing.length > 0) {
    print(`demo: installing Debian packages: ${missing.join(" ")}`);
    const problem = await installPackages(missing);
    if (problem !== undefined) return problem;
  }
  // The daemon's packages as well as the demo's: there is no registry in the namespaces.
  const problem = await fetchImports(denoArgv("cache", "--frozen", "--quiet", "main.ts", ...WORKERS));
  return problem === undefined ? undefined : "the daemon's packages could not be fetched from npm";
}

function refuse(reason: string): number {
  print(`demo: cannot run here: ${reason}`);
  return 1;
}

async function play(): Promise<number> {
  const report = new Report();
  const audit = await LeakAudit.begin();
  try {
    await playActs(report);
  } catch (error) {
    report.check(error instanceof Error ? error.message : String(error), false);
  }
  report.step("Leak audit: links, addresses, routes, namespaces, processes, sockets, files");
  const left = await settled(audit);
  for (const leak of left) report.say(`left behind: ${leak}`);
  report.check("nothing is left behind", left.length === 0);
  return report.verdict();
}

/** Disposes of all that it started, however it ends. */
async function playActs(report: Report): Promise<void> {
  report.step("Three nodes: a network namespace, a daemon and a data directory each");
  await using cluster = await Cluster.start(NODES);
  await using stack = new AsyncDisposableStack();
  for (const [i, node] of cluster.nodes.entries()) {
    const { kind, reason } = (await node.status()).detail.wireguard;
    report.say(`node ${i + 1}: pid ${node.daemon.pid}, WireGuard: ${reason ?? kind}`);
  }
  const stage = new Stage(cluster, report, stack);
  await playOneNode(stage);
  await playThreeNodes(stage);
}

/** Leaks that persist: the kernel removes some things late. */
async function settled(audit: LeakAudit): Promise<string[]> {
  try {
    await audit.assertNoLeaks();
    return [];
  } catch {
    return await audit.leaks();
  }
}

if (import.meta.main) Deno.exit(await main());
