/** The test suites: which files belong to each, what each needs, and how it is started. */
import { guestUnmet } from "../../tests/support/kernel_rig.ts";
import { wineUnmet } from "../../tests/support/wine_rig.ts";
import { cacheDir } from "./cache_dir.ts";
import { DENO_2_4_2, DENORT_2_4_2, findNpmTool } from "./npm_tools.ts";
import { capture } from "./process.ts";
import { sourceFiles } from "./repo.ts";
import type { RigPart } from "./rig_part.ts";

/** One group of test files that run in one `deno test`. */
export interface Suite {
  readonly name: SuiteName;
  /** Test files relative to the repository, run on this machine. */
  readonly files: readonly string[];
  /** Test files that run inside the guest of the kernel rig. */
  readonly guestFiles: readonly string[];
  /** Test files that run in `deno.exe` under Wine. */
  readonly wineFiles: readonly string[];
  /** What set-up has to bring first. */
  readonly parts: readonly RigPart[];
  /** Longest run before the suite is killed. */
  readonly timeoutMs: number;
  /** Why this machine cannot run it, or undefined when it can. */
  readonly unmet: () => Promise<string | undefined>;
  /** Wraps the command line of `deno test`. */
  readonly wrap: (argv: readonly string[]) => readonly string[];
}

/** Names of the suites, in the order they run. */
export const SUITE_NAMES = ["unit", "netns", "compile", "kernel", "windows"] as const;

/** Name of a suite. */
export type SuiteName = typeof SUITE_NAMES[number];

const FOLDERS: Readonly<Record<Exclude<SuiteName, "unit">, readonly string[]>> = {
  netns: ["tests/netns/", "tests/e2e/"],
  compile: ["tests/compile/"],
  kernel: ["tests/kernel/"],
  windows: ["tests/windows/", "tests/wine/"],
};

/** Test files that run inside the virtual machine of the kernel rig. */
export const GUEST_FOLDER = "tests/kernel/guest/";

/** Test files that run in `deno.exe` only. */
export const WINE_FOLDER = "tests/windows/";

/** Unit tests that run in `deno.exe` too: everything of `core/` that is not Linux's own. */
export function isPortable(path: string): boolean {
  return path.startsWith("tests/core/") && !path.startsWith("tests/core/backend/linux/");
}

/**
 * Longest run of a suite, in milliseconds: against one that hangs, not one that is slow. The longest takes 8 minutes on
 * two quiet processors; a slower machine, or one that has other things to do, takes several times as long.
 */
const TIMEOUT_MS = 60 * 60_000;

/**
 * Starts a command in namespaces of its own: network (with `lo` up), mounts, processes. `/run` is a fresh
 * tmpfs, so default socket paths, `ip netns` and temporary files are private; `/sys` is remounted to show the new network, with
 * the unified cgroups that crun insists on.
 * The shell stays as process 1 and reaps orphans. When it ends, every process left in there is killed.
 */
export const NAMESPACE_SCRIPT = [
  "set -e",
  "mount -t tmpfs -o mode=0755 tmpfs /run",
  "mkdir -m 1777 /run/tmp",
  "mkdir /run/netns",
  "mount -t sysfs sysfs /sys",
  "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
  "ip link set lo up",
  "export TMPDIR=/run/tmp ZLAYER_TEST_NAMESPACES=1",
  "set +e",
  '"$@"',
  "exit $?",
].join("\n");

/** Command line that runs another one in namespaces of its own; see {@linkcode NAMESPACE_SCRIPT}. */
export function inNamespaces(argv: readonly string[]): string[] {
  return [
    ...["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"],
    ...["--mount-proc", "sh", "-c", NAMESPACE_SCRIPT, "sh", ...argv],
  ];
}

/** The suite of that name, with the files found now. */
export function suite(name: SuiteName): Suite {
  const plain = (argv: readonly string[]): readonly string[] => argv;
  const met = (): Promise<undefined> => Promise.resolve(undefined);
  const all = sourceFiles("tests").filter((path) => path.endsWith("_test.ts") && suiteOf(path) === name);
  const files = all.filter((path) => !path.startsWith(GUEST_FOLDER) && !path.startsWith(WINE_FOLDER));
  const elsewhere = { guestFiles: [], wineFiles: [] };
  const base = { name, files, ...elsewhere, parts: [], wrap: plain, unmet: met, timeoutMs: TIMEOUT_MS };
  switch (name) {
    case "unit":
      return base;
    case "netns":
      return {
        ...base,
        parts: ["packages", "npm"],
        unmet: namespacesUnmet,
        wrap: inNamespaces,
      };
    case "compile":
      return { ...base, parts: ["npm"], unmet: compileUnmet };
    case "kernel":
      return {
        ...base,
        guestFiles: all.filter((path) => path.startsWith(GUEST_FOLDER)),
        parts: ["packages", "kernel"],
        unmet: () => Promise.resolve(guestUnmet()),
      };
    case "windows":
      return {
        ...base,
        wineFiles: [
          ...all.filter((path) => path.startsWith(WINE_FOLDER)),
          ...sourceFiles("tests").filter((path) => path.endsWith("_test.ts") && isPortable(path)),
        ],
        parts: ["packages", "windows"],
        unmet: () => Promise.resolve(wineUnmet()),
      };
  }
}

/** Which suite a test file belongs to. */
export function suiteOf(path: string): SuiteName {
  for (const name of ["netns", "compile", "kernel", "windows"] as const) {
    if (FOLDERS[name].some((folder) => path.startsWith(folder))) return name;
  }
  return "unit";
}

async function namespacesUnmet(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "needs root, to make network namespaces";
  const { code, stderr } = await capture(inNamespaces(["ping", "-c", "1", "-W", "2", "127.0.0.1"]));
  return code === 0 ? undefined : `cannot make namespaces here: ${stderr.trim() || `exit code ${code}`}`;
}

function compileUnmet(): Promise<string | undefined> {
  const cache = cacheDir();
  const lacking = [DENO_2_4_2, DENORT_2_4_2].filter((tool) => findNpmTool(cache, tool) === undefined);
  if (lacking.length === 0) return Promise.resolve(undefined);
  const names = lacking.map(({ name, version }) => `${name}@${version}`).join(" and ");
  return Promise.resolve(`needs npm's ${names} in the cache; deno task setup fetches them`);
}
