/** A daemon as a service of the Service Control Manager that the machine has, for tests in `deno.exe`. */
import { assertEquals } from "@std/assert";
import { fromFileUrl, isAbsolute, join } from "@std/path";
import { quoteArgument } from "../../../core/windows_service/definition.ts";
import { advapi32 } from "../../../ffi/windows/advapi32.ts";
import { kernel32 } from "../../../ffi/windows/kernel32.ts";
import { ServiceDatabase } from "../../../ffi/windows/service_database.ts";
import { OverlaydClient } from "../../../ipc/client.ts";
import { waitFor } from "../wait_for.ts";

/** States as winsvc.h has them. */
export const STATE = { stopped: 1, startPending: 2, stopPending: 3, running: 4 } as const;

const MAIN = fromFileUrl(new URL("./service_main.ts", import.meta.url));

/** Command line that runs a program of ours in this Deno, from its cache. */
export function denoArguments(script: string, ...args: string[]): string[] {
  return ["run", "-A", "--frozen", "--cached-only", "--no-check", script, ...args];
}

/** The daemon of `service_main.ts` in the database, stopped at first. */
export class ServiceRig implements AsyncDisposable {
  readonly name = `zt-${crypto.randomUUID().slice(0, 8)}`;
  readonly pipe = `\\\\.\\pipe\\${this.name}`;
  readonly #temp = Deno.makeTempDirSync({ prefix: "zt-service-" });
  readonly #events = join(this.#temp, "events");
  readonly dataDir: string;
  readonly database = new ServiceDatabase({ kernel32: kernel32(), advapi32: advapi32() });

  /**
   * @param place Where the data directory is, in one that is there; or its path.
   * @param flags Further flags of the daemon.
   */
  constructor(place = ".", ...flags: string[]) {
    this.dataDir = isAbsolute(place) ? place : join(this.#temp, place);
    const daemon = ["--data-dir", this.dataDir, "--socket", this.pipe, "--service", ...flags];
    const argv = [Deno.execPath(), ...denoArguments(MAIN, ...daemon)];
    const code = this.database.create({
      name: this.name,
      displayName: `test ${this.name}`,
      // A service gets none of our environment, and Deno's cache is where that says.
      commandLine: `cmd.exe /c "set ZT_EVENTS=${this.#events}&&set DENO_DIR=${Deno.env.get("DENO_DIR")}&&${
        argv.map(quoteArgument).join(" ")
      }"`,
    });
    assertEquals(code, 0);
  }

  /** Makes the daemon wait, or fail; see `service_main.ts`. */
  put(file: string, text = ""): void {
    Deno.writeTextFileSync(join(this.dataDir, file), text);
  }

  /** Lets it go on. */
  take(file: string): void {
    Deno.removeSync(join(this.dataDir, file));
  }

  /** Starts it; it is START_PENDING or further then. */
  start(): void {
    assertEquals(this.database.start(this.name), 0);
  }

  /** Waits for a state, and gives the exit code that came with it. */
  async reached(state: number): Promise<number> {
    return await waitFor(`state ${state}`, () => {
      const status = this.database.query(this.name);
      return status.state === state ? { exitCode: status.exitCode } : undefined;
    }, { timeoutMs: 120_000, intervalMs: 20 }).then(({ exitCode }) => exitCode);
  }

  /** What it has logged. */
  log(): string {
    return Deno.readTextFileSync(join(this.dataDir, "logs", "overlayd.log"));
  }

  /** What it has told the system: `started`, `stopped` or `failed`, and a text. */
  events(): string[] {
    const text = Deno.readTextFileSync(this.#events);
    return text.split("\n").slice(0, -1);
  }

  /** Waits until it has told so much. */
  async told(count: number): Promise<string[]> {
    return await waitFor("events", () => {
      try {
        return this.events().length >= count ? this.events() : undefined;
      } catch {
        return undefined;
      }
    }, { intervalMs: 20 });
  }

  /** Waits for a file that the daemon makes. */
  async seen(file: string): Promise<void> {
    await waitFor(file, () => Deno.stat(join(this.dataDir, file)).then(() => true, () => false));
  }

  client(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.pipe);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.database.stop(this.name);
    await this.reached(STATE.stopped);
    assertEquals(this.database.remove(this.name), 0);
    this.database[Symbol.dispose]();
    await waitFor("the files to be free", () => {
      return Deno.remove(this.#temp, { recursive: true }).then(() => true, () => false);
    });
  }
}
