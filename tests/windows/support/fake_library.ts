/** A fake Windows library of the rig, steered by the test; the requests are described in `fakes/common/fake.h`. */
import { assertEquals } from "@std/assert";

/** One call in a fake's log. */
export interface FakeCall {
  readonly n: number;
  readonly function: string;
  /** Thread that called. */
  readonly thread: number;
  /** What it returned; null while it is under way. */
  readonly result: string | null;
  readonly [fact: string]: unknown;
}

/** What goes wrong, and when. */
export interface FakeRule {
  /** Exported function, or `*`. */
  readonly function: string;
  /** Which matching call from now on, 1 by default. */
  readonly call?: number;
  /** For how many calls, 1 by default; 0 for all later ones. */
  readonly times?: number;
  readonly when?: "before" | "after";
  readonly action: "fail" | "hang" | "delay" | "kill";
  /** Result of a failing call, exit code of a kill. An HRESULT may be given unsigned. */
  readonly code?: number;
  /** Error record of a failing call. */
  readonly record?: string;
  /** Length of a delay. */
  readonly ms?: number;
}

const SYMBOLS = {
  FakeControl: { parameters: ["buffer"], result: "pointer" },
  FakeFree: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Where the rig has the fake library of that name. */
export function fakePath(name: string): string {
  const directory = Deno.env.get("ZLAYER_TEST_FAKES");
  if (directory === undefined) throw new Error("no ZLAYER_TEST_FAKES: not in the Windows rig");
  return `${directory}\\${name}`;
}

/** A loaded fake. Its state is the process's, whoever else loads it. */
export class FakeLibrary implements Disposable {
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;

  /** Loads the fake and starts it anew. @param options `keep`: leaves it as it is. */
  constructor(name: string, { keep = false }: { readonly keep?: boolean } = {}) {
    this.#library = Deno.dlopen(fakePath(name), SYMBOLS);
    if (!keep) this.request("reset");
  }

  /**
   * Asks for something.
   *
   * @throws {Error} If the fake does not know the request or cannot do it now.
   */
  // deno-lint-ignore no-explicit-any
  request(op: string, more: Readonly<Record<string, unknown>> = {}): Record<string, any> {
    const text = new TextEncoder().encode(`${JSON.stringify({ op, ...more })}\0`);
    const pointer = this.#library.symbols.FakeControl(text);
    if (pointer === null) throw new Error(`${op}: no reply`);
    const reply = JSON.parse(Deno.UnsafePointerView.getCString(pointer));
    this.#library.symbols.FakeFree(pointer);
    if (reply.error !== undefined) throw new Error(`${op}: ${reply.error}`);
    return reply;
  }

  /** Adds a rule. */
  script(rule: FakeRule): void {
    this.request("script", { ...rule });
  }

  /** All calls since the start or {@linkcode reset}. */
  log(): FakeCall[] {
    return this.request("log").log;
  }

  /** Functions called, in order. */
  calls(): string[] {
    return this.log().map((call) => call.function);
  }

  /** Rules that the caller broke. */
  violations(): string[] {
    return this.request("violations").violations;
  }

  /** Counters, such as `handlesOpen` and `stringsKept`. */
  counters(): Readonly<Record<string, number>> {
    return this.request("counters");
  }

  /** Starts anew. */
  reset(): void {
    this.request("reset");
  }

  /** Asserts that nothing was done wrong and that of everything handed out nothing is left. */
  assertClean(): void {
    assertEquals(this.violations(), []);
    const left = Object.entries(this.counters()).filter(([name, value]) =>
      /Open$|Kept$|^inFlight$|^hanging$/.test(name) && value !== 0
    );
    assertEquals(left, []);
  }

  [Symbol.dispose](): void {
    this.#library.close();
  }
}
