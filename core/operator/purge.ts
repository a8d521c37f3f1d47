/**
 * `purge`: removes everything this installation made on the host, without a running daemon.
 *
 * Order matters for a purge that is cut short: kernel objects first, then host settings, and the database,
 * which knows the former values of those settings, last. What could not be done is told and the rest goes on;
 * running it again does the remainder.
 */
import { basename } from "@std/path";
import { EXIT_FAILURE, EXIT_OK } from "../cli/exit_codes.ts";
import { DataDirBusyError } from "../data_dir.ts";
import type { NetworkBackend } from "../backend/backend.ts";
import { describeError } from "../errors.ts";
import { MARKER_FILE } from "../open_engine.ts";
import { describePlan, isEmptyPlan, planPurge, type PurgeFindings, type PurgePlan } from "./purge_plan.ts";
import { cell } from "./text.ts";

/** What a purge works on. */
export interface PurgeDeps {
  readonly backend: Pick<NetworkBackend, "inventory" | "removeEntry" | "restoreHostSettings">;
  /** Whether a tag is of this installation. */
  readonly isOurs: (tag: string) => boolean;
  /**
   * Removes networks that are not in the inventory, on Windows those of HCN; absent where there are none.
   * @returns What could not be removed, in words.
   */
  readonly purgeNetworks?: () => Promise<string[]>;
  /** What is like theirs and stays after that, a line each for people. */
  readonly leftBehind?: () => Promise<readonly string[]>;
  /** Settings changed on this host and files of ours. */
  readonly findings: () => Promise<Omit<PurgeFindings, "inventory">>;
  /** Removes one file; one that is gone is no error. */
  readonly removeFile: (path: string) => Promise<void>;
  /** Removes what claiming the directory made. */
  readonly removeLockFile: () => Promise<void>;
  /** Removes directories of ours that are empty; called when nothing in them is open any more. */
  readonly removeEmptyDirs: () => Promise<void>;
  /**
   * Claims the data directory.
   * @throws {DataDirBusyError} If a daemon runs on it.
   */
  readonly lock: () => Promise<Disposable | undefined>;
  /** Asks the running daemon to shut down; resolves when it has answered. */
  readonly stopDaemon: () => Promise<void>;
  /** Waits between attempts to claim the directory. */
  readonly pause: () => Promise<void>;
  /** Writes a line to stdout. */
  readonly out: (text: string) => Promise<void>;
  /** Writes a line to stderr. */
  readonly err: (text: string) => Promise<void>;
}

/** How often the directory is tried after the daemon has been asked to stop. */
const LOCK_ATTEMPTS = 150;

/** For people. */
const HCN_NETWORKS = "HCN networks of this deployment and of the marker, with their endpoints";

/** Runs the purge; resolves to the exit code. */
export async function runPurge(
  options: { dryRun: boolean; stopDaemon: boolean },
  deps: PurgeDeps,
): Promise<number> {
  if (options.dryRun) return await dryRun(deps);
  const code = await purgeLocked(options.stopDaemon, deps);
  // On Windows a file that is open keeps its directory, even when it has been removed.
  if (code === EXIT_OK) await deps.removeEmptyDirs();
  return code;
}

/** Does the work while nobody else can claim the directory. */
async function purgeLocked(stopDaemon: boolean, deps: PurgeDeps): Promise<number> {
  using _lock = await claim(stopDaemon, deps);
  const plan = await makePlan(deps);
  if (isEmptyPlan(plan) && !deps.purgeNetworks) await deps.out("nothing to remove");
  for (const line of describePlan(plan, "remove")) await deps.out(cell(line));
  if (deps.purgeNetworks) await deps.out(`remove ${HCN_NETWORKS}`);
  const failures = await execute(plan, deps);
  for (const failure of failures) await deps.err(`error: ${cell(failure)}`);
  for (const line of await deps.leftBehind?.() ?? []) await deps.out(cell(line));
  return failures.length === 0 ? EXIT_OK : EXIT_FAILURE;
}

async function dryRun(deps: PurgeDeps): Promise<number> {
  const plan = await makePlan(deps);
  if (isEmptyPlan(plan) && !deps.purgeNetworks) await deps.out("nothing to remove");
  for (const line of describePlan(plan, "would remove")) await deps.out(cell(line));
  if (deps.purgeNetworks) await deps.out(`would remove ${HCN_NETWORKS}`);
  return EXIT_OK;
}

async function makePlan(deps: PurgeDeps): Promise<PurgePlan> {
  const inventory = await deps.backend.inventory();
  return planPurge({ inventory, ...await deps.findings() }, deps.isOurs);
}

/** Takes the directory; if it is busy and that is wanted, stops the daemon first. */
async function claim(stopDaemon: boolean, deps: PurgeDeps): Promise<Disposable | undefined> {
  for (let attempt = 0;; attempt++) {
    try {
      return await deps.lock();
    } catch (error) {
      if (!(error instanceof DataDirBusyError) || !stopDaemon || attempt >= LOCK_ATTEMPTS) throw error;
      if (attempt === 0) await deps.stopDaemon();
      await deps.pause();
    }
  }
}

/** Does all steps; the database stays while anything before it failed, since a second run needs it. */
async function execute(plan: PurgePlan, deps: PurgeDeps): Promise<string[]> {
  const failures: string[] = [];
  const attempt = async (what: string, step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      failures.push(`${what}: ${describeError(error)}`);
    }
  };
  for (const entry of plan.objects) {
    await attempt(`cannot remove ${entry.name}`, () => deps.backend.removeEntry(entry));
  }
  if (Object.keys(plan.hostSettings).length > 0) {
    await attempt("cannot restore host settings", () => deps.backend.restoreHostSettings(plan.hostSettings));
  }
  if (deps.purgeNetworks) {
    failures.push(...await deps.purgeNetworks());
    // What could not be removed is found again by its name, and the caller's uninstall expects the marker gone.
    for (const path of plan.files.filter(isMarker)) {
      await attempt(`cannot remove ${path}`, () => deps.removeFile(path));
    }
  }
  if (failures.length > 0) return failures;
  for (const path of plan.files) await attempt(`cannot remove ${path}`, () => deps.removeFile(path));
  if (failures.length === 0) await attempt("cannot remove the lock file", deps.removeLockFile);
  return failures;
}

function isMarker(path: string): boolean {
  return basename(path) === MARKER_FILE;
}
