/**
 * `deno task demo`: a node at work, from nothing to nothing, in a couple of seconds.
 *
 * Runs as root on any Linux machine. It plays in network, mount and process namespaces of its own, so the
 * machine's network is not touched. Exit code 0 when every step did what it says.
 */
import { join } from "@std/path";
import { OverlaydClient } from "../ipc/client.ts";
import { Container } from "../tests/support/test_netns.ts";
import { LeakAudit } from "../tests/support/leak_audit.ts";
import { PingRun } from "./support/ping_run.ts";
import { capture, denoArgv, denoEnv, print, stream } from "./support/process.ts";
import { installPackages, missingPackages } from "./support/packages.ts";
import { REPO } from "./support/repo.ts";
import { inNamespaces } from "./support/suites.ts";

/** What the demo calls besides the daemon. */
const NEEDED = ["iproute2", "iputils-ping"];

/** Set in the namespaces that the demo starts itself in. */
const INSIDE = "ZLAYER_DEMO_INSIDE";

async function main(): Promise<number> {
  if (Deno.env.has(INSIDE)) return await play();
  if (Deno.build.os !== "linux") return refuse("it needs Linux");
  if (Deno.uid() !== 0) return refuse("it needs root, to make network namespaces: run it with sudo");
  const missing = missingPackages().map(({ name }) => name).filter((name) => NEEDED.includes(name));
  if (missing.length > 0) {
    print(`demo: installing Debian packages: ${missing.join(" ")}`);
    const problem = await installPackages(missing);
    if (problem !== undefined) return refuse(problem);
  }
  const argv = denoArgv("run", "-A", "--frozen", "--quiet", "scripts/demo.ts");
  const { code } = await stream(inNamespaces(argv), { cwd: REPO, env: { ...denoEnv(), [INSIDE]: "1" } });
  return code;
}

function refuse(reason: string): number {
  print(`demo: cannot run here: ${reason}`);
  return 1;
}

/** A daemon of the demo's own. */
class Daemon {
  readonly dataDir = Deno.makeTempDirSync({ prefix: "zlayer-overlayd-demo-" });
  readonly socket = join(this.dataDir, "overlayd.sock");
  #child: Deno.ChildProcess | undefined;

  /** Starts it and connects. */
  async start(): Promise<OverlaydClient> {
    const args = ["run", "-A", "--frozen", "--quiet", "main.ts"];
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [...args, "--data-dir", this.dataDir, "--socket", this.socket],
      cwd: REPO,
      env: { RUST_LOG: "warn" },
      stdin: "null",
    }).spawn();
    return await OverlaydClient.connect(this.socket, { attempts: 20 });
  }

  /** Ends it with a signal and waits. */
  async end(signal: Deno.Signal): Promise<void> {
    this.#child?.kill(signal);
    await this.#child?.status;
    this.#child = undefined;
  }

  async status(): Promise<string> {
    const argv = denoArgv("run", "-A", "--frozen", "--quiet", "main.ts", "status", "--socket", this.socket);
    return (await capture(argv, { cwd: REPO, env: denoEnv() })).stdout.trimEnd();
  }
}

async function play(): Promise<number> {
  const audit = await LeakAudit.begin();
  const daemon = new Daemon();
  const containers: Container[] = [];
  const failures: string[] = [];
  const check = (what: string, ok: boolean): void => {
    print(`   ${ok ? "ok  " : "FAIL"} ${what}`);
    if (!ok) failures.push(what);
  };
  try {
    step("A daemon in a temporary data directory");
    let client = await daemon.start();
    await client.setLocalNodeId(1n);
    for (const service of ["web", "api"]) {
      const { name } = await client.setupServiceOverlay(service, "shared");
      print(`   service ${service} on bridge ${name}`);
    }

    step("Five containers attached: three to web, two to api");
    const ips: string[] = [];
    for (const service of ["web", "web", "web", "api", "api"]) {
      const container = await Container.start();
      containers.push(container);
      const before = performance.now();
      ips.push(await attach(client, container, service));
      print(
        `   pid ${container.pid} -> ${service} ${ips.at(-1)} in ${
          (performance.now() - before).toFixed(2)
        } ms`,
      );
    }
    check(`ping inside web: ${ips[0]} -> ${ips[1]}`, await containers[0]!.ping(ips[1]!));
    check(`ping inside api: ${ips[3]} -> ${ips[4]}`, await containers[3]!.ping(ips[4]!));
    check(`ping across services: ${ips[0]} -> ${ips[4]}`, await containers[0]!.ping(ips[4]!));

    step("What `zlayer-overlayd status` says");
    print(indent(await daemon.status()));

    step("One container killed, the daemon killed with -9 and started again, while a ping runs");
    const ping = PingRun.start(containers[0]!, ips[4]!, { intervalMs: 10 });
    await ping.answers(20);
    await containers[2]!.kill();
    await client[Symbol.asyncDispose]();
    await daemon.end("SIGKILL");
    await ping.answers(20);
    const before = performance.now();
    client = await daemon.start();
    const status = await client.status(true);
    print(`   answering again after ${(performance.now() - before).toFixed(0)} ms`);
    await ping.answers(20);
    const { sent, received } = await ping.stop();
    print(`   ping: ${sent} sent, ${received} answered, ${sent - received} lost`);
    check("no packet lost", sent === received);
    const attached = status.detail?.attachments.length;
    check(`the killed container is released, four are left (${attached})`, attached === 4);

    step("Everything detached, services taken down, daemon stopped");
    for (const { pid } of containers) await client.detachContainer({ platform: "linux_pid", pid });
    for (const service of ["web", "api"]) await client.teardownServiceOverlay(service);
    await client[Symbol.asyncDispose]();
    await daemon.end("SIGTERM");
  } catch (error) {
    check(error instanceof Error ? error.message : String(error), false);
  } finally {
    for (const container of containers) await container.kill();
    await daemon.end("SIGKILL");
    await Deno.remove(daemon.dataDir, { recursive: true });
  }

  step("Leak audit: links, addresses, routes, namespaces, processes, sockets, files");
  const left = await settled(audit);
  for (const leak of left) print(`   left behind: ${leak}`);
  check("nothing is left behind", left.length === 0);
  print(failures.length === 0 ? "\ndemo: everything worked" : `\ndemo: ${failures.length} steps failed`);
  return failures.length === 0 ? 0 : 1;
}

async function attach(client: OverlaydClient, { pid }: Container, service: string): Promise<string> {
  const reply = await client.attachContainer({
    handle: { platform: "linux_pid", pid },
    service,
    joinGlobal: false,
  });
  if (reply.kind !== "attached") throw new Error(`attach of pid ${pid} gave ${reply.kind}`);
  return reply.ip;
}

/** Leaks that persist: the kernel removes some things late. */
async function settled(audit: LeakAudit): Promise<string[]> {
  try {
    await audit.assertNoLeaks();
    return [];
  } catch {
    return await audit.leaks();
  }
}

function step(text: string): void {
  print(`\n== ${text}`);
}

function indent(text: string): string {
  return text.split("\n").map((line) => `   ${line}`).join("\n");
}

if (import.meta.main) Deno.exit(await main());
