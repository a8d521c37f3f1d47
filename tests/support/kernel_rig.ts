/**
 * The kernel rig: runs tests of ours as root under Debian's kernel, which has WireGuard, in a virtual machine.
 *
 * The guest has the host's root file system with its own throw-away writes on top, so Deno, the sources, the
 * caches and every tool are the host's. It has no network. The CPU is emulated (TCG): a boot takes about 7 s.
 * KVM is not used even where there is one, since nested KVM that opens and then hangs was met in the field.
 */
import { join } from "@std/path";
import { cacheDir } from "../../scripts/support/cache_dir.ts";
import { denoDir } from "../../scripts/support/deno_dir.ts";
import { readExitCode } from "../../scripts/support/exit_code_file.ts";
import type { TestCase } from "../../scripts/support/junit.ts";
import { findKernelImage, type KernelImage } from "../../scripts/support/kernel_image.ts";
import { findProgram } from "../../scripts/support/packages.ts";
import { REPO } from "../../scripts/support/repo.ts";
import { readReport } from "../../scripts/support/report_file.ts";
import { testArgv } from "../../scripts/support/deno_test.ts";
import { buildInitramfs, programPath } from "./kernel/initramfs.ts";

/** How a guest is run. */
export interface GuestOptions {
  /** Kills the guest after so many milliseconds. Default an hour. */
  readonly timeoutMs?: number;
  /** Given the guest's console as it comes, boot messages included. */
  readonly onOutput?: (text: string) => void;
  /** Extra environment of the command. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a command in the guest did. */
export interface GuestResult {
  /** Exit code of the command; undefined when the guest did not get so far. */
  readonly code: number | undefined;
  readonly timedOut: boolean;
  /** The guest's console, whole. */
  readonly log: string;
}

/** What tests in the guest did. */
export interface GuestTestResult extends GuestResult {
  readonly cases: readonly TestCase[] | { readonly problem: string };
}

const DEFAULT_TIMEOUT_MS = 60 * 60_000;

/** Why this machine cannot run a guest, or undefined when it can. */
export function guestUnmet(): string | undefined {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return "needs an x86-64 Linux host";
  const tools = ["qemu-system-x86_64", "setpriv", "busybox", "modprobe", "cpio"].filter((name) =>
    !findProgram(name)
  );
  if (tools.length > 0) return `needs ${tools.join(", ")}; as root, deno task setup installs them`;
  return findKernelImage(cacheDir()) ? undefined : "needs Debian's kernel image; deno task setup fetches it";
}

/**
 * Runs test files with `deno test` as root in a guest of their own.
 *
 * Everything the files import must be in Deno's cache already.
 *
 * @param files Paths relative to the repository.
 */
export async function runInGuest(
  files: readonly string[],
  options: GuestOptions & { readonly filter?: string } = {},
): Promise<GuestTestResult> {
  const share = await Deno.makeTempDir({ prefix: "zlayer-overlayd-guest-" });
  try {
    const filter = options.filter === undefined ? {} : { filter: options.filter };
    const argv = testArgv(files, "/run/share/junit.xml", filter);
    const result = await boot(argv, share, options);
    return { ...result, cases: await readReport(join(share, "junit.xml")) };
  } finally {
    await Deno.remove(share, { recursive: true });
  }
}

/** Runs one command as root in a guest of its own, in the repository's directory. */
export async function commandInGuest(
  argv: readonly string[],
  options: GuestOptions = {},
): Promise<GuestResult> {
  const share = await Deno.makeTempDir({ prefix: "zlayer-overlayd-guest-" });
  try {
    return await boot(argv, share, options);
  } finally {
    await Deno.remove(share, { recursive: true });
  }
}

async function boot(argv: readonly string[], share: string, options: GuestOptions): Promise<GuestResult> {
  const image = findKernelImage(cacheDir());
  if (image === undefined) {
    throw new Deno.errors.NotFound("no kernel image in the cache; run deno task setup");
  }
  const work = await Deno.makeTempDir({ prefix: "zlayer-overlayd-initramfs-" });
  try {
    await Deno.writeTextFile(join(share, "command"), await commandScript(argv, options.env ?? {}));
    const staging = join(work, "staging");
    await Deno.mkdir(staging);
    const initrd = join(work, "initramfs.cpio");
    await buildInitramfs(image, staging, initrd);
    const { log, timedOut } = await runQemu(qemuArgs(image, initrd, share), options);
    return { code: await readExitCode(join(share, "exit-code")), timedOut, log };
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

function qemuArgs(image: KernelImage, initrd: string, share: string): string[] {
  const root = "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap";
  return [
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"],
    ...["-kernel", image.vmlinuz, "-initrd", initrd],
    ...["-append", "console=ttyS0 panic=-1 quiet random.trust_cpu=on"],
    ...["-virtfs", root],
    ...["-virtfs", `local,path=${share},mount_tag=share,security_model=none,multidevs=remap`],
  ];
}

/** Runs QEMU to its end. It dies with this process (`setpriv --pdeathsig`), so an aborted run leaves none. */
async function runQemu(
  args: readonly string[],
  options: GuestOptions,
): Promise<{ log: string; timedOut: boolean }> {
  await using guest = new Deno.Command(programPath("setpriv"), {
    args: ["--pdeathsig", "KILL", "--", programPath("qemu-system-x86_64"), ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    guest.kill("SIGKILL");
  }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  try {
    const logs = await Promise.all([guest.stdout, guest.stderr].map((stream) => follow(stream, options)));
    await guest.status;
    return { log: logs.join(""), timedOut };
  } finally {
    clearTimeout(timer);
  }
}

async function follow(stream: ReadableStream<Uint8Array>, options: GuestOptions): Promise<string> {
  let all = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    all += text;
    options.onOutput?.(text);
  }
  return all;
}

/** The script that the guest runs: the command with the environment that it needs of ours, and no other. */
async function commandScript(
  argv: readonly string[],
  extra: Readonly<Record<string, string>>,
): Promise<string> {
  const env: Record<string, string> = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: "/root",
    LANG: "C.UTF-8",
    TMPDIR: "/run/tmp",
    DENO_DIR: await denoDir(),
    DENO_NO_UPDATE_CHECK: "1",
    NO_COLOR: "1",
    ZLAYER_TEST_GUEST: "1",
    ...extra,
  };
  for (const name of ["CI", "ZLAYER_TEST_SEED"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  const assignments = Object.entries(env).map(([name, value]) => quote(`${name}=${value}`));
  // In the host's /tmp files come and go, which tests that take stock would take for their own.
  const isNeeded = [REPO, env.DENO_DIR!].some((path) => path.startsWith("/tmp/"));
  const tmp = isNeeded ? "" : "mount -t tmpfs -o mode=1777 tmpfs /tmp\n";
  return `${tmp}cd ${quote(REPO)} && exec env -i ${assignments.join(" ")} ${argv.map(quote).join(" ")}\n`;
}

/** Quotes a word for sh. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
