/**
 * `deno task bench`: speed against peers and budgets, in one run on one machine.
 *
 * Usage: `deno task bench [--only 1,2-3,4,5,6,7] [--scale] [--json] [--dir PATH] [--no-setup]`.
 * Needs root. Everything happens in namespaces of its own; state is kept below `--dir`, by default on the disk
 * of /var/tmp, and removed. A missed budget is a result: the exit code is 1 only when a row could not be
 * measured, and with `CI=true` also when one was skipped.
 */
import { parseArgs } from "@std/cli";
import { setUp } from "../scripts/setup.ts";
import { suite } from "../scripts/support/suites.ts";
import { type CompiledExecutable, compileForTest } from "../tests/support/compiled.ts";
import { type BenchPlan, STAGES } from "./plan.ts";
import { runInNamespaces } from "./support/in_namespaces.ts";

/** What the command line asks for. */
interface Request extends Pick<BenchPlan, "stages" | "scale" | "json"> {
  readonly parent: string;
  readonly setUp: boolean;
}

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
  if (request.setUp) { for (const line of await setUp(["packages", "npm"])) say(`setup: missing: ${line}`); }
  return await measure(request);
}

/** Reads the command line; a text says what is wrong with it. */
function parseRequest(args: readonly string[]): Request | string {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["only", "dir"],
    boolean: ["scale", "json", "no-setup"],
    unknown: (arg) => void unknown.push(arg),
  });
  const bad = [...unknown, ...flags._];
  if (bad.length > 0) return `unknown argument ${bad.join(" ")}`;
  const only = typeof flags.only === "string" ? flags.only.split(",") : STAGES;
  const strange = only.filter((name) => !(STAGES as readonly string[]).includes(name));
  if (strange.length > 0) return `no row ${strange.join(", ")}; there are ${STAGES.join(", ")}`;
  return {
    stages: STAGES.filter((name) => only.includes(name)),
    scale: flags.scale === true,
    json: flags.json === true,
    parent: typeof flags.dir === "string" && flags.dir !== "" ? flags.dir : "/var/tmp",
    setUp: flags["no-setup"] !== true,
  };
}

async function measure({ parent, stages, scale, json }: Request): Promise<number> {
  const dir = await Deno.makeTempDir({ dir: parent, prefix: "zlayer-overlayd-bench-" });
  const cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => Deno.remove(dir, { recursive: true }));
  try {
    const compiled = await compile();
    if ("path" in compiled) cleanUp.use(compiled);
    const plan: BenchPlan = {
      dir,
      stages,
      scale,
      json,
      strict: Deno.env.get("CI") === "true",
      compiled: "path" in compiled ? { path: compiled.path } : compiled,
    };
    return await runInNamespaces("bench/main.ts", [JSON.stringify(plan)], { modules: ["main.ts"] });
  } finally {
    await cleanUp.disposeAsync();
  }
}

async function compile(): Promise<CompiledExecutable | { readonly reason: string }> {
  const unmet = await suite("compile").unmet();
  if (unmet !== undefined) return { reason: unmet };
  say("compiling");
  return await compileForTest("main.ts");
}

/** To stderr: stdout is the result's. */
function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`bench: ${line}\n`));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
