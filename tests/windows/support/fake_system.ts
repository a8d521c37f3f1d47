/**
 * A Windows of its own for a program that knows nothing of fakes: directories that `SystemRoot` and `ProgramData`
 * name, with the rig's libraries where the daemon looks for those of Windows, an HNS that outlives processes, and
 * pipes and reports by which the libraries in other processes are asked; see `fakes/common/fake.h`.
 */
import { join } from "@std/path";
import { dialPipe } from "../../../core/transport/named_pipe.ts";
import type { NamedPipe } from "../../../ffi/windows/named_pipe.ts";
import { waitFor } from "../../support/wait_for.ts";
import type { HostDump } from "./device_rig.ts";
import { fakePath } from "./fake_library.ts";
import type { HnsState } from "./hcn_node.ts";

/** The fakes of a process, as their files are called there. */
export type FakeName = "computenetwork" | "iphlpapi" | "wintun";

/** What a fake says at its process's end. */
export interface FakeReport {
  readonly fake: string;
  readonly pid: number;
  readonly violations: readonly string[];
  readonly [counter: string]: unknown;
}

/** A request to a fake at its process's start. */
export type FakeRequest = Readonly<Record<string, unknown>> & { readonly op: string };

/** The host's way out: an Ethernet adapter with address and gateway. */
const UPLINK = { op: "interface", luid: "1689399616765952", alias: "Ethernet", lasts: true } as const;
/** Address of that adapter. */
export const UPLINK_IP = "192.0.2.10";
/** Counters that have to be zero in the end. Adapters that last are the host's, by `HNS` or by themselves. */
const KEPT = /Open$|Kept$|^inFlight$|^hanging$|^interfaces$/;
/** Wine's own, where the daemon looks for Windows'. */
const SYSTEM32 = "C:\\windows\\system32";

/** See the module. */
export class FakeSystem {
  readonly root: string = Deno.makeTempDirSync({ prefix: "zt-system-" });
  readonly #system32 = join(this.root, "Windows", "System32");
  readonly #wintun = join(this.root, "ProgramData", "ZLayer", "wintun");
  readonly #reports = join(this.root, "reports");
  readonly #pipes = `zt-fake-${crypto.randomUUID()}`;

  /** @param options `hasHns`: whether there is a Host Networking Service. */
  constructor({ hasHns = true }: { readonly hasHns?: boolean } = {}) {
    for (const directory of [this.#system32, this.#wintun, this.#reports]) {
      Deno.mkdirSync(directory, { recursive: true });
    }
    Deno.copyFileSync(`${SYSTEM32}\\ole32.dll`, join(this.#system32, "ole32.dll"));
    Deno.copyFileSync(fakePath("iphlpapi_fake.dll"), join(this.#system32, "iphlpapi.dll"));
    Deno.copyFileSync(fakePath("wintun.dll"), join(this.#wintun, "wintun.dll"));
    if (!hasHns) return;
    Deno.copyFileSync(fakePath("computenetwork.dll"), join(this.#system32, "computenetwork.dll"));
  }

  /**
   * Environment of a process in there.
   *
   * @param script Requests to each of its fakes; one that does not know it passes it over.
   */
  environment(script: readonly FakeRequest[] = []): Record<string, string> {
    const uplink = [
      { ...UPLINK, address: `${UPLINK_IP}/24`, gateway: "192.0.2.1" },
      { op: "mtu", luid: UPLINK.luid, bytes: 1500 },
    ];
    return {
      FAKE_SYSTEM_ROOT: join(this.root, "Windows"),
      ProgramData: join(this.root, "ProgramData"),
      FAKE_HNS_STATE: join(this.root, "hns.json"),
      FAKE_PIPE: this.#pipes,
      FAKE_REPORT: this.#reports,
      FAKE_SCRIPT: JSON.stringify([...uplink, ...script]),
    };
  }

  /** What HNS has. */
  hns(): HnsState {
    return JSON.parse(Deno.readTextFileSync(join(this.root, "hns.json")));
  }

  /** Whether HNS has so many namespaces; its file may be missing, or just be replaced. */
  hasNamespaces(count: number): boolean {
    try {
      return this.hns().namespaces.length === count;
    } catch {
      return false;
    }
  }

  /** Asks a fake in the process that runs, once that has come to use it. */
  // deno-lint-ignore no-explicit-any
  async ask(fake: FakeName, op: string, more: Readonly<Record<string, unknown>> = {}): Promise<any> {
    const pipe = await waitFor(`the fake ${fake}`, () => this.#dial(fake), { intervalMs: 20 });
    try {
      const reply = JSON.parse(await exchange(pipe, JSON.stringify({ op, ...more })));
      if (reply.error !== undefined) throw new Error(`${op} of ${fake}: ${reply.error}`);
      return reply;
    } finally {
      pipe.close();
    }
  }

  async #dial(fake: FakeName): Promise<NamedPipe | undefined> {
    try {
      return await dialPipe(`\\\\.\\pipe\\${this.#pipes}-${fake}`);
    } catch {
      return undefined;
    }
  }

  /** What the IP stack of the process has. */
  dump(): Promise<HostDump> {
    return this.ask("iphlpapi", "dump");
  }

  /** Takes what the fakes have said at the ends of processes. */
  takeReports(): FakeReport[] {
    return [...Deno.readDirSync(this.#reports)].map(({ name }) => {
      const path = join(this.#reports, name);
      // Made at the start, and filled by ExitProcess.
      const text = Deno.readTextFileSync(path);
      const report = text === "" ? { violations: [], unfinished: "no report" } : JSON.parse(text);
      Deno.removeSync(path);
      const [fake, pid] = name.split(/[-.]/);
      return { ...report, fake, pid: Number(pid) };
    });
  }
}

/** The daemon when it was last seen with all handles given back to HNS. */
export interface Quiet {
  readonly pid: number;
  /** Calls of HCN that it had made. */
  readonly calls: number;
}

/**
 * Everything in the reports that should not be there: broken rules, and what was not given back.
 *
 * @param quiet If it has made calls since then, its end has cut a look at HNS short: it leaves its handles to that.
 */
export function complaints(reports: readonly FakeReport[], quiet?: Quiet): string[] {
  const isCutShort = ({ fake, pid, calls }: FakeReport): boolean =>
    fake === "computenetwork" && pid === quiet?.pid && calls !== quiet.calls;
  return reports.flatMap(({ fake, pid, violations, ...counters }) => [
    ...violations.map((text) => `${fake}: ${text}`),
    ...isCutShort({ fake, pid, violations, ...counters }) ? [] : Object.entries(counters)
      .filter(([name, value]) => name === "unfinished" || KEPT.test(name) && value !== 0)
      .map(([name, value]) => `${fake}: ${name} ${value}`),
  ]);
}

/** One line there, all there is back. */
async function exchange(pipe: NamedPipe, line: string): Promise<string> {
  let rest = new TextEncoder().encode(`${line}\n`);
  while (rest.length > 0) rest = rest.subarray(await pipe.write(rest));
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(65_536);
  let text = "";
  for (let n = await pipe.read(chunk); n !== null; n = await pipe.read(chunk)) {
    text += decoder.decode(chunk.subarray(0, n), { stream: true });
  }
  return text;
}
