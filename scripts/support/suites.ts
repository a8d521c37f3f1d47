/** The test suites: which files belong to each, what each needs, and how it is started. */
import { capture, denoArgv } from "./process.ts";
import { sourceFiles } from "./repo.ts";

/** One group of test files that run in one `deno test`. */
export interface Suite {
  readonly name: SuiteName;
  /** Test files relative to the repository. */
  readonly files: readonly string[];
  /** Longest run before the suite is killed. */
  readonly timeoutMs: number;
  /** Why this machine cannot run it, or undefined when it can. */
  readonly unmet: () => Promise<string | undefined>;
  /** Wraps the command line of `deno test`. */
  readonly wrap: (argv: readonly string[]) => readonly string[];
}

/** Names of the suites, in the order they run. */
export const SUITE_NAMES = ["unit", "netns", "compile", "kernel"] as const;

/** Name of a suite. */
export type SuiteName = typeof SUITE_NAMES[number];

const FOLDERS: Readonly<Record<Exclude<SuiteName, "unit">, readonly string[]>> = {
  netns: ["tests/netns/", "tests/e2e/"],
  compile: ["tests/compile/"],
  kernel: ["tests/kernel/"],
};

/** Test files that run inside the virtual machine of the kernel rig. */
export const GUEST_FOLDER = "tests/kernel/guest/";

const MINUTE = 60_000;

/**
 * Starts a command in namespaces of its own: network (with `lo` up), mounts, processes. `/run` is a fresh
 * tmpfs, so default socket paths and `ip netns` are private; `/sys` is remounted to show the new network.
 * The shell stays as process 1 and reaps orphans. When it ends, every process left in there is killed.
 */
export const NAMESPACE_SCRIPT = [
  "set -e",
  "mount -t tmpfs -o mode=0755 tmpfs /run",
  "mkdir /run/netns /run/cgroup",
  "mount --rbind /sys/fs/cgroup /run/cgroup",
  "mount -t sysfs sysfs /sys",
  "mount --rbind /run/cgroup /sys/fs/cgroup",
  "umount -l /run/cgroup",
  "ip link set lo up",
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
  const base = { name, files: testFiles(name), wrap: plain, unmet: met };
  switch (name) {
    case "unit":
      return { ...base, timeoutMs: 10 * MINUTE };
    case "netns":
      return { ...base, timeoutMs: 15 * MINUTE, unmet: namespacesUnmet, wrap: inNamespaces };
    case "compile":
      return { ...base, timeoutMs: 10 * MINUTE };
    case "kernel":
      return { ...base, timeoutMs: 10 * MINUTE };
  }
}

/** Which suite a test file belongs to. */
export function suiteOf(path: string): SuiteName {
  for (const name of ["netns", "compile", "kernel"] as const) {
    if (FOLDERS[name].some((folder) => path.startsWith(folder))) return name;
  }
  return "unit";
}

/** Test files of a suite; those of the guest are not among the kernel suite's. */
function testFiles(name: SuiteName): string[] {
  return sourceFiles("tests").filter((path) =>
    path.endsWith("_test.ts") && suiteOf(path) === name && !path.startsWith(GUEST_FOLDER)
  );
}

/** Command line of `deno test` for the files; everything they import must be in the cache. */
export function testArgv(
  files: readonly string[],
  junitPath: string,
  options: { readonly filter?: string } = {},
): string[] {
  const filter = options.filter === undefined ? [] : ["--filter", options.filter];
  return denoArgv(
    ...["test", "-A", "--frozen", "--cached-only", "--no-check", "--junit-path", junitPath, ...filter],
    ...files,
  );
}

async function namespacesUnmet(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "needs root, to make network namespaces";
  const { code, stderr } = await capture(inNamespaces(["ping", "-c", "1", "-W", "2", "127.0.0.1"]));
  return code === 0 ? undefined : `cannot make namespaces here: ${stderr.trim() || `exit code ${code}`}`;
}
