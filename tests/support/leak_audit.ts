/**
 * The leak audit: what is there before a test and what is left after it.
 *
 * It sees links, addresses, routes and rules of the current network namespace, named namespaces, processes,
 * namespaces in use, listening and bound sockets, and temporary files. Kernels remove some of that late (a veth
 * of a dead namespace, for one), so a difference has to persist before it counts.
 */
import { assertEquals } from "@std/assert";
import { HERE } from "./test_netns.ts";

/** Set by the namespace that `deno task test` starts these tests in: everything in it is ours. */
const PRIVATE = "ZLAYER_TEST_NAMESPACES";

/** What was there when the audit began. */
export class LeakAudit implements AsyncDisposable {
  readonly #before: ReadonlySet<string>;

  private constructor(before: ReadonlySet<string>) {
    this.#before = before;
  }

  /** Takes stock. */
  static async begin(): Promise<LeakAudit> {
    return new LeakAudit(new Set(await inventory()));
  }

  /** What is there now and was not at the beginning, one line each. */
  async leaks(): Promise<string[]> {
    return (await inventory()).filter((item) => !this.#before.has(item)).sort();
  }

  /** Fails with the list when something is still left after `timeoutMs` (default 60,000). */
  async assertNoLeaks(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const deadline = performance.now() + (options.timeoutMs ?? 60_000);
    let left = await this.leaks();
    while (left.length > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      left = await this.leaks();
    }
    assertEquals(left, [], "left behind");
  }

  /** {@linkcode assertNoLeaks}, so that `await using` closes a test with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.assertNoLeaks();
  }
}

async function inventory(): Promise<string[]> {
  const network = await Promise.all([
    ipLines("link", ["link", "show"], ({ ifname, linkinfo }) => `${ifname} ${linkinfo?.info_kind ?? ""}`),
    ipLines(
      "address",
      ["address", "show"],
      ({ ifname, addr_info }) =>
        (addr_info as { local: string }[]).map(({ local }) => `${local} on ${ifname}`),
    ),
    ipLines("route", ["-4", "route", "show", "table", "all"], describeRoute),
    ipLines("route", ["-6", "route", "show", "table", "all"], describeRoute),
    ipLines("rule", ["-4", "rule", "show"], (rule) => `4 ${JSON.stringify(rule)}`),
    ipLines("rule", ["-6", "rule", "show"], (rule) => `6 ${JSON.stringify(rule)}`),
  ]);
  return [
    ...network.flat(),
    ...names("/run/netns").map((name) => `netns ${name}`),
    ...processes(),
    ...sockets(),
    ...temporaryFiles(),
  ];
}

// deno-lint-ignore no-explicit-any
type Row = Record<string, any>;

async function ipLines(
  what: string,
  args: readonly string[],
  describe: (row: Row) => string | string[],
): Promise<string[]> {
  const rows = await HERE.ip(...args);
  return rows.flatMap(describe).map((text) => `${what} ${text}`.trimEnd());
}

function describeRoute({ dst, dev, table, type }: Row): string {
  return `${type ?? ""} ${dst} dev ${dev} table ${table ?? "main"}`.trimStart();
}

/** Processes of ours and the network namespaces they are in; not this one, nor what it starts to look around. */
function processes(): string[] {
  const all = new Map<number, { parent: number; name: string }>();
  for (const pid of names("/proc").map(Number).filter(Number.isInteger)) {
    const stat = text(`/proc/${pid}/stat`);
    const fields = /^\d+ \((.*)\) \S (\d+)/s.exec(stat);
    if (fields !== null) all.set(pid, { parent: Number(fields[2]), name: fields[1] ?? "" });
  }
  const everything = Deno.env.get(PRIVATE) === "1";
  const lines: string[] = [];
  for (const [pid, { name }] of all) {
    const ours = everything ? pid !== 1 && pid !== Deno.pid : isDescendant(pid, all);
    if (ours) lines.push(`process ${pid} ${name}`);
  }
  return lines;
}

function isDescendant(pid: number, all: ReadonlyMap<number, { parent: number }>): boolean {
  let parent = all.get(pid)?.parent;
  while (parent !== undefined && parent !== Deno.pid) parent = all.get(parent)?.parent;
  return parent === Deno.pid;
}

/** Bound sockets of the current network namespace: Unix ones by path, TCP listeners and UDP by address. */
function sockets(): string[] {
  const unix = text("/proc/self/net/unix").split("\n").slice(1)
    .map((line) => line.trim().split(/\s+/)[7])
    .filter((path) => path !== undefined)
    .map((path) => `socket unix ${path}`);
  const inet = ["tcp", "tcp6", "udp", "udp6"].flatMap((protocol) =>
    text(`/proc/self/net/${protocol}`).split("\n").slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === "0A" || state === "07")
      .map(([, local]) => `socket ${protocol} ${local}`)
  );
  return [...unix, ...inet];
}

/** In a private `TMPDIR` everything; in a shared one, and in `/tmp`, what the daemon and its tests name. */
function temporaryFiles(): string[] {
  const dir = Deno.env.get("TMPDIR") ?? "/tmp";
  const isPrivate = Deno.env.get(PRIVATE) === "1";
  const mine = names(dir).filter((name) => isPrivate || /^(zt|zlayer-)/.test(name)).map((name) =>
    `${dir}/${name}`
  );
  const shared = names("/tmp").filter((name) => /^zlayer-(overlayd-[0-9a-f]{16}\.sock|wg-)/.test(name));
  return [...mine, ...shared.map((name) => `/tmp/${name}`)].map((path) => `file ${path}`);
}

function names(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** A file of `/proc`, empty when it went away meanwhile. */
function text(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
