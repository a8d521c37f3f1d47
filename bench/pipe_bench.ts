/**
 * The IPC server on a named pipe, ours beside one of `node:net`, in one run of `deno.exe` under Wine: the same
 * server and service behind both, in a process of its own, and the same client before them.
 *
 * Usage: `deno task bench:pipe [--rounds <n>]`; needs root, as the Windows rig does. Says how the two compare, not
 * how fast Windows is.
 */
import { parseArgs } from "@std/cli";
import { fromFileUrl } from "@std/path";
import { OverlaydClient } from "../ipc/client.ts";
import { listenEndpoint } from "../ipc/listener.ts";
import { IpcServer } from "../ipc/server.ts";
import { print } from "../scripts/support/process.ts";
import { FakeService } from "../tests/support/fake_service.ts";
import { DENO_EXE, runInWine, wineUnmet } from "../tests/support/wine_rig.ts";
import { listenNodePipe } from "./support/node_pipe.ts";

const KINDS = ["ours", "node:net"] as const;
type Kind = typeof KINDS[number];

/** What is measured: a name, the unit, and the work, which resolves to how many units it was. */
interface Load {
  readonly name: string;
  readonly unit: string;
  readonly run: (clients: readonly OverlaydClient[]) => Promise<number>;
}

const CLIENTS = 16;
const MIB = 1024 * 1024;

const LOADS: readonly Load[] = [
  {
    name: "one client, one status after the other",
    unit: "requests/s",
    run: async ([client]) => {
      for (let i = 0; i < 2000; i++) await client!.status();
      return 2000;
    },
  },
  {
    name: "one client, 5,000 at once",
    unit: "requests/s",
    run: async ([client]) => (await Promise.all(Array.from({ length: 5000 }, () => client!.status()))).length,
  },
  {
    name: `${CLIENTS} clients, one status after the other each`,
    unit: "requests/s",
    run: async (clients) => {
      await Promise.all(clients.map(async (client) => {
        for (let i = 0; i < 300; i++) await client.status();
      }));
      return 300 * clients.length;
    },
  },
  {
    name: "one client, requests of 4 MiB",
    unit: "MiB/s",
    run: async ([client]) => {
      const padding = "x".repeat(4 * MIB);
      for (let i = 0; i < 10; i++) await client!.callRaw({ op: "status", padding });
      return 40;
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

/** In the rig: measures both in turn, and prints the medians. */
async function measure(rounds: number): Promise<void> {
  const rates = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const kind of KINDS) {
      await withServer(kind, async (clients) => {
        for (const load of LOADS) {
          const started = performance.now();
          const units = await load.run(clients);
          const key = `${load.name}|${kind}`;
          rates.set(key, [...rates.get(key) ?? [], units * 1000 / (performance.now() - started)]);
        }
      });
    }
  }
  for (const { name, unit } of LOADS) {
    const [ours, theirs] = KINDS.map((kind) => median(rates.get(`${name}|${kind}`)!));
    const ratio = (ours! / theirs!).toFixed(2);
    print(`${name}: ours ${Math.round(ours!)} ${unit}, node:net ${Math.round(theirs!)}, ratio ${ratio}`);
  }
}

async function withServer(
  kind: Kind,
  use: (clients: readonly OverlaydClient[]) => Promise<void>,
): Promise<void> {
  const name = `\\\\.\\pipe\\zt-bench-${crypto.randomUUID()}`;
  const args = [
    "run",
    "-A",
    "--cached-only",
    "--no-check",
    fromFileUrl(import.meta.url),
    "--serve",
    kind,
    name,
  ];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { NODE_PENDING_PIPE_INSTANCES: "64" },
    stdout: "null",
  }).spawn();
  const clients = [await OverlaydClient.connect(name, { attempts: 20 })];
  while (clients.length < CLIENTS) clients.push(await OverlaydClient.connect(name, { attempts: 5 }));
  try {
    await use(clients);
  } finally {
    for (const client of clients) client.close();
    child.kill();
    await child.status;
  }
}

/** The server's process. */
async function serve(kind: string, name: string): Promise<void> {
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
  const rounds = typeof flags.rounds === "string" ? flags.rounds : "3";
  if (Deno.build.os !== "windows") Deno.exit(await main(rounds));
  if (typeof flags.serve === "string") await serve(flags.serve, String(flags._[0]));
  else {
    await measure(Number(rounds));
    Deno.exit(0);
  }
}
