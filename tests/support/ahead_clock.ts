/** A clock for a daemon's WireGuard that a test moves ahead while the daemon runs; needs gcc. */
import { fromFileUrl, join } from "@std/path";
import { HERE } from "./test_netns.ts";

/** See `ahead_clock.c`. */
export class AheadClock {
  readonly #file: string;
  readonly #library: string;
  #seconds = 0n;

  private constructor(directory: string) {
    this.#file = join(directory, "ahead");
    this.#library = join(directory, "ahead_clock.so");
  }

  /** Builds it in a directory of the caller's. */
  static async build(directory: string): Promise<AheadClock> {
    const clock = new AheadClock(directory);
    const source = fromFileUrl(import.meta.resolve("./ahead_clock.c"));
    const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-nostdlib", "-shared", "-fPIC"];
    await HERE.must(["gcc", ...flags, "-o", clock.#library, source]);
    await Deno.writeFile(clock.#file, new Uint8Array(4096));
    return clock;
  }

  /** Environment of a process that has it. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, ZT_AHEAD: this.#file };
  }

  /** Moves it on. */
  advance(seconds: number): void {
    this.#seconds += BigInt(seconds);
    // In place: the process has the file in its memory.
    using file = Deno.openSync(this.#file, { write: true });
    file.writeSync(new Uint8Array(BigInt64Array.of(this.#seconds).buffer));
  }
}
