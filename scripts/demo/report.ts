/** What the demo tells: steps, facts, checks, and a verdict. */
import { print } from "../support/process.ts";

/** See the file's comment. */
export class Report {
  readonly #failures: string[] = [];
  readonly #print: (line: string) => void;

  /** @param options.print Takes each line. Default: stdout. */
  constructor(options: { readonly print?: (line: string) => void } = {}) {
    this.#print = options.print ?? print;
  }

  /** Begins a step. */
  step(text: string): void {
    this.#print(`\n== ${text}`);
  }

  /** A fact, or several lines of them. */
  say(text: string): void {
    for (const line of text.split("\n")) this.#print(line === "" ? "" : `   ${line}`);
  }

  /** A fact that has to hold. */
  check(what: string, isOk: boolean): void {
    this.say(`${isOk ? "ok  " : "FAIL"} ${what}`);
    if (!isOk) this.#failures.push(what);
  }

  /** Tells how it all ended. @returns The exit code: 0 when every check held. */
  verdict(): 0 | 1 {
    const count = this.#failures.length;
    this.#print(count === 0 ? "\ndemo: everything worked" : `\ndemo: failed: ${this.#failures.join("; ")}`);
    return count === 0 ? 0 : 1;
  }
}
