/**
 * Network namespaces for tests: named ones, containers as the daemon sees them (a process in a network namespace
 * of its own), and questions asked of `ip -json` and `ping`. Everything is disposable; nothing here is for use
 * outside tests, and nothing touches the network namespace it runs in, save {@linkcode NetworkPlace} methods
 * called on {@linkcode HERE}.
 */
import { assert } from "@std/assert";
import { capture, type RunOptions, type RunResult } from "../../scripts/support/process.ts";
import { skippedName } from "../../scripts/support/summary.ts";
import { findProgram } from "../../scripts/support/packages.ts";

/** What `ip -json` prints: a list of objects. */
// deno-lint-ignore no-explicit-any
export type IpObject = Record<string, any>;

/** A network namespace in which commands can be run. */
export class NetworkPlace {
  /** Command words that enter it. */
  readonly #enter: readonly string[];

  /** @param path File that names the namespace, such as `/proc/42/ns/net`; undefined for the current one. */
  constructor(readonly path: string | undefined) {
    this.#enter = path === undefined ? [] : ["nsenter", `--net=${path}`, "--"];
  }

  /** Runs a command in it, whatever its exit code. */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await capture([...this.#enter, ...argv], options);
  }

  /** Runs a command that has to succeed. @returns Its stdout. */
  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(argv, options);
    assert(code === 0, `${argv.join(" ")}: exit code ${code}: ${stderr.trim()}`);
    return stdout;
  }

  /** Starts a command in it, with stdout and stderr piped. The caller reads them and ends it. */
  spawn(argv: readonly string[]): Deno.ChildProcess {
    const [program, ...args] = [...this.#enter, ...argv];
    assert(program !== undefined, "argv must name a program");
    return new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  }

  /** Runs `ip -json -details …` that has to succeed. */
  async ip(...args: string[]): Promise<IpObject[]> {
    const text = await this.must(["ip", "-json", "-details", ...args]);
    return text.trim() === "" ? [] : JSON.parse(text);
  }

  /** The link of that name, or undefined. */
  async link(name: string): Promise<IpObject | undefined> {
    return (await this.links()).find(({ ifname }) => ifname === name);
  }

  /** All links with their details. */
  async links(): Promise<IpObject[]> {
    return await this.ip("link", "show");
  }

  /** Addresses of a link as `10.0.0.1/24`, link-local ones left out. */
  async addresses(link: string): Promise<string[]> {
    const [found] = await this.ip("address", "show", "dev", link);
    const infos: IpObject[] = found?.addr_info ?? [];
    return infos.filter(({ scope }) => scope !== "link").map(({ local, prefixlen }) =>
      `${local}/${prefixlen}`
    );
  }

  /**
   * Sends echo requests, 50 ms apart. Once one was answered, `ping` waits for the last one no longer than twice the
   * longest time so far: on a busy machine only a single request is sure to get its second.
   *
   * @returns Whether all were answered.
   */
  async ping(
    address: string,
    options: { readonly count?: number; readonly size?: number } = {},
  ): Promise<boolean> {
    const count = options.count ?? 1;
    const size = options.size === undefined ? [] : ["-s", String(options.size), "-M", "do"];
    const argv = ["ping", "-n", "-q", "-i", "0.05", "-W", "1", "-c", String(count), ...size, address];
    const { stdout } = await this.run(argv);
    return new RegExp(`\\b${count} packets transmitted, ${count} received`).test(stdout);
  }
}

/** The namespace that the test runs in. */
export const HERE: NetworkPlace = new NetworkPlace(undefined);

/** A name of at most 15 bytes that starts with `zt` and that no other test uses. */
export function testName(label = ""): string {
  const random = crypto.getRandomValues(new Uint8Array(4)).reduce(
    (text, byte) => text + byte.toString(36),
    "",
  );
  return `zt${label}${random}`.slice(0, 15);
}

/** A namespace made by `ip netns add`. */
export class NamedNetns extends NetworkPlace implements AsyncDisposable {
  private constructor(readonly name: string) {
    super(`/run/netns/${name}`);
  }

  /** Makes one with `lo` up. */
  static async create(name: string = testName()): Promise<NamedNetns> {
    await HERE.must(["ip", "netns", "add", name]);
    const netns = new NamedNetns(name);
    await netns.must(["ip", "link", "set", "lo", "up"]);
    return netns;
  }

  /** Deletes it; gone already is success. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { code, stderr } = await HERE.run(["ip", "netns", "delete", this.name]);
    assert(code === 0 || stderr.includes("No such file"), `ip netns delete ${this.name}: ${stderr}`);
  }
}

/** A stand-in for a container: a process that sleeps in a network namespace of its own, `lo` down. */
export class Container extends NetworkPlace implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess, readonly netnsInode: number) {
    super(`/proc/${child.pid}/ns/net`);
    this.#child = child;
  }

  /** Starts one and returns when it is in its namespace. */
  static async start(): Promise<Container> {
    const child = new Deno.Command("unshare", {
      args: ["--net", "sh", "-c", "echo && exec sleep infinity"],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    assert(!done, "unshare --net ended before the container was up");
    const inode = netnsInode(child.pid);
    assert(inode !== netnsInode(Deno.pid), "the container is in the namespace of the test");
    return new Container(child, inode);
  }

  /** What the caller of the daemon names it by. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Kills it and returns when the process is gone. Twice is fine. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It is dead already.
    }
    await this.#child.status;
  }

  /** {@linkcode kill}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Inode of a process's network namespace. */
export function netnsInode(pid: number): number {
  const inode = Deno.statSync(`/proc/${pid}/ns/net`).ino;
  assert(inode !== null, "/proc gives no inode");
  return inode;
}

/**
 * Name of a test that needs programs which set-up may not have been able to install, and whether it has to be
 * ignored for want of them; then the summary names what is missing. To be spread into `Deno.test({ … })`.
 */
export function needing(programs: readonly string[], name: string): { name: string; ignore: boolean } {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) return { name, ignore: false };
  return { name: skippedName(name, `needs ${missing.join(", ")}`), ignore: true };
}
