/**
 * The IPC server on a named pipe, ours beside one of `node:net`, in one run of `deno.exe` under Wine: the same
 * server and service behind both, in a process of its own, and the same client before them. A third server looks at
 * nothing and sends answers made beforehand: what of a request's time the calls by FFI leave to save.
 *
 * Usage: `deno task bench:pipe [--rounds <n>]`; needs root, as the Windows rig does. Says how they compare, not how
 * fast Windows is. Wake-ups from one core to another differ from minute to minute by more than the servers do: on
 * one core (`taskset -c 1 deno task bench:pipe`) the numbers are steady.
 */
import { parseArgs } from "@std/cli";
import { fromFileUrl } from "@std/path";
import { OverlaydClient } from "../ipc/client.ts";
import { listenEndpoint } from "../ipc/listener.ts";
import { IpcServer } from "../ipc/server.ts";
import { print } from "../scripts/support/process.ts";
import { FakeService } from "../tests/support/fake_service.ts";
import { DENO_EXE, runInWine, wineUnmet } from "../tests/support/wine_rig.ts";
import { serveByFfi } from "./support/ffi_pipe.ts";
import { listenNodePipe } from "./support/node_pipe.ts";

const KINDS = ["ours", "node:net", "bare calls"] as const;
type Kind = typeof KINDS[number];

/** What is measured: a name, the unit, and the work, which resolves to how many units it was. */
interface Load {
  readonly name: string;
  readonly unit: string;
  /** How many clients are connected. */
  readonly clients: number;
  readonly run: (clients: readonly OverlaydClient[]) => Promise<number>;
  /** Whether the server of bare calls can take it. */
  readonly bare?: true;
}

/** A server in a process of its own. */
interface BenchServer {
  readonly kind: Kind;
  readonly name: string;
  readonly child: Deno.ChildProcess;
}

const MIB = 1024 * 1024;

const LOADS: readonly Load[] = [
  {
    name: "one client, one status after the other",
    unit: "requests/s",
    clients: 1,
    run: async ([client]) => {
      for (let i = 0; i < 200; i++) await client!.status();
      return 200;
    },
    bare: true,
  },
  {
    name: "one client, 2,000 at once",
    unit: "requests/s",
    clients: 1,
    run: async ([client]) => (await Promise.all(Array.from({ length: 2000 }, () => client!.status()))).length,
  },
  {
    name: "one client, requests of 4 MiB",
    unit: "MiB/s",
    clients: 1,
    run: async ([client]) => {
      const padding = "x".repeat(4 * MIB);
      for (let i = 0; i < 2; i++) await client!.callRaw({ op: "status", padding });
      return 8;
    },
  },
  {
    name: "16 clients, one status after the other each",
    unit: "requests/s",
    clients: 16,
    run: async (clients) => {
      await Promise.all(clients.map(async (client) => {
        for (let i = 0; i < 50; i++) await client.status();
      }));
      return 50 * clients.length;
    },
  },
  {
    name: "one client, beside 16 that ask all the time",
    unit: "requests/s",
    clients: 17,
    run: async ([client, ...others]) => {
      let over = false;
      const busy = others.map(async (other) => {
        while (!over) await other.status();
      });
      for (let i = 0; i < 50; i++) await client!.status();
      over = true;
      await Promise.all(busy);
      return 50;
    },
  },
];

/** Here: checks that there is a rig, and runs this file in it. */
async function main(rounds: string): Promise<number> {
  const unmet = wineUnmet();
  if (unmet !== undefined) {
    print(`bench: ${unmet}`);
    return 1;
  }
  const script = "Z:\\repo\\bench\\pipe_bench.ts";
  const argv = [DENO_EXE, "run", "-A", "--frozen", "--cached-only", "--no-check", script, "--rounds", rounds];
  const { code } = await runInWine(argv, { show: true });
  return code ?? 1;
}

/** In the rig: all servers at once, measured in turn and in small pieces; prints the medians. */
async function measure(rounds: number): Promise<void> {
  const rates = new Map<string, number[]>();
  const servers = KINDS.map((kind) => startServer(kind));
  try {
    for (const server of servers) await warmUp(server);
    for (let round = 0; round < rounds; round++) {
      for (const load of LOADS) {
        for (const server of servers) {
          if (server.kind === "bare calls" && !load.bare) continue;
          const key = `${load.name}|${server.kind}`;
          rates.set(key, [...rates.get(key) ?? [], await rate(load, server)]);
        }
      }
    }
  } finally {
    for (const { child } of servers) child.kill();
    await Promise.all(servers.map(({ child }) => child.status));
  }
  for (const load of LOADS) report(load, rates);
}

/** Units per second of one run, with fresh clients: those of one server do not slow down those of another. */
async function rate({ clients: count, run }: Load, { name }: BenchServer): Promise<number> {
  const connect = (): Promise<OverlaydClient> => OverlaydClient.connect(name, { attempts: 5 });
  const clients = await Promise.all(Array.from({ length: count }, connect));
  try {
    await Promise.all(clients.map((client) => client.status()));
    const started = performance.now();
    const units = await run(clients);
    return units * 1000 / (performance.now() - started);
  } finally {
    for (const client of clients) client.close();
  }
}

/** Until V8 has compiled what a request takes, at both ends. */
async function warmUp({ name }: BenchServer): Promise<void> {
  using client = await OverlaydClient.connect(name, { attempts: 20 });
  for (let i = 0; i < 1000; i++) await client.status();
}

function report({ name, unit, bare }: Load, rates: ReadonlyMap<string, readonly number[]>): void {
  const [ours, theirs, least] = KINDS.map((kind) => median(rates.get(`${name}|${kind}`) ?? []));
  const ratio = (ours! / theirs!).toFixed(2);
  const limit = bare ? `; bare calls ${Math.round(least!)}` : "";
  print(
    `${name}: ours ${Math.round(ours!)} ${unit}, node:net ${Math.round(theirs!)}, ratio ${ratio}${limit}`,
  );
}

function startServer(kind: Kind): BenchServer {
  const name = `\\\\.\\pipe\\zt-bench-${crypto.randomUUID()}`;
  const script = fromFileUrl(import.meta.url);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--cached-only", "--no-check", script, "--serve", kind, name],
    env: { NODE_PENDING_PIPE_INSTANCES: "64" },
    stdout: "null",
  }).spawn();
  return { kind, name, child };
}

/** The server's process. */
async function serve(kind: string, name: string): Promise<void> {
  if (kind === "bare calls") return await serveByFfi(name);
  const service = new FakeService();
  service.recording = false;
  const server = new IpcServer({ service, onShutdown: () => {} });
  await server.serve(kind === "ours" ? await listenEndpoint(name) : await listenNodePipe(name));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["rounds", "serve"] });
  const rounds = typeof flags.rounds === "string" ? flags.rounds : "11";
  if (Deno.build.os !== "windows") Deno.exit(await main(rounds));
  if (typeof flags.serve === "string") await serve(flags.serve, String(flags._[0]));
  else {
    await measure(Number(rounds));
    Deno.exit(0);
  }
}
