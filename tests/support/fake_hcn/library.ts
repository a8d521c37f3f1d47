/**
 * A fake computenetwork.dll: the calls of {@linkcode HcnLibrary} on a {@linkcode FakeHns}, with memory that has to
 * come back, a log of calls, and faults on demand.
 */
import type { HcnCall, HcnLibrary, RawHcnReply } from "../../../ffi/computenetwork.ts";
import { Refusal } from "./documents.ts";
import { FakeMemory } from "./memory.ts";
import type { FakeHns, Kind } from "./service.ts";

/** A call as it was made. */
export interface LoggedCall {
  /** Without `Hcn`: `CreateNamespace`. */
  readonly name: string;
  readonly id?: string;
  /** Settings or query. */
  readonly text?: string;
}

/** Something a test has in store for one call. */
export interface Fault {
  /** Answers so. */
  readonly hresult?: number;
  /** Text of the record that comes with it; none unless given. */
  readonly record?: string;
  /** Whether the call has its effect all the same, as when only the answer was lost. */
  readonly isDone?: boolean;
  /** The call comes back only when this resolves; its effect is then. */
  readonly until?: Promise<void>;
  /** The same, but its effect is at once. */
  readonly heldUntil?: Promise<void>;
  /** Text of the answer instead of the true one. */
  readonly text?: string;
}

/** Looks at each call, and may have a fault for it; throwing is the end of the process. */
export type CallHook = (call: LoggedCall, index: number, when: "before" | "after") => Fault | void;

/** See the module. */
export class FakeHcnLibrary implements HcnLibrary {
  readonly memory = new FakeMemory();
  readonly calls: LoggedCall[] = [];
  onCall: CallHook = () => {};
  readonly #faults: { readonly name: string; readonly fault: Fault }[] = [];
  readonly #hns: FakeHns;
  /** Calls under way. */
  readonly #running = new Set<HcnCall>();
  /** Those of them that are held up by a fault. */
  hanging = 0;

  constructor(hns: FakeHns) {
    this.#hns = hns;
  }

  /** Has faults in store for the next calls of a function, one each. */
  next(name: string, ...faults: Fault[]): void {
    for (const fault of faults) this.#faults.push({ name, fault });
  }

  /** Names of the calls so far, closes left out, after which the log is empty. */
  taken(): string[] {
    return this.calls.splice(0).map(({ name }) => name).filter((name) => !name.startsWith("Close"));
  }

  /** Everything wrong at the end of a case. */
  problems(): string[] {
    const left = this.#faults.map(({ name }) => `a fault for ${name} was never met`);
    return [
      ...this.memory.problems(),
      ...left,
      ...(this.#running.size > 0 ? [`${this.#running.size} calls still run`] : []),
    ];
  }

  readText(address: bigint): string {
    return this.memory.read(address);
  }

  freeText(address: bigint): void {
    this.memory.free(address);
  }

  async invoke(call: HcnCall): Promise<RawHcnReply> {
    const name = call.fn.slice("Hcn".length);
    const target = call.handle === undefined ? undefined : this.#objectOf(call);
    const logged: LoggedCall = {
      name,
      ...idOf(call, target),
      ...(call.text === undefined ? {} : { text: call.text }),
    };
    const index = this.calls.push(logged) - 1;
    const user = [...this.#running].find((one) => one.handle === call.handle);
    if (user && call.fn.startsWith("HcnClose")) {
      this.memory.mistakes.push(`${name} while ${user.fn} uses the handle`);
    }
    this.#running.add(call);
    try {
      const at = this.#faults.findIndex((one) => one.name === name);
      const planned = at < 0 ? undefined : this.#faults.splice(at, 1)[0]!.fault;
      const fault = this.onCall(logged, index, "before") ?? planned ?? {};
      await this.#hang(fault.until);
      const reply = this.#answer(call, target, fault);
      await this.#hang(fault.heldUntil);
      this.onCall(logged, index, "after");
      return reply;
    } finally {
      this.#running.delete(call);
    }
  }

  async #hang(until: Promise<void> | undefined): Promise<void> {
    if (until === undefined) return await Promise.resolve();
    this.hanging++;
    await until;
    this.hanging--;
  }

  #answer(call: HcnCall, target: string | undefined, fault: Fault): RawHcnReply {
    const record = fault.record === undefined ? 0n : this.memory.allocate(fault.record);
    if (fault.hresult !== undefined) {
      if (fault.isDone) this.#giveBack(call, this.#run(call, target, fault));
      return { hresult: fault.hresult, out: 0n, record };
    }
    const reply = this.#run(call, target, fault);
    return record === 0n ? reply : { ...reply, record };
  }

  /** What a call made whose answer is lost. */
  #giveBack({ fn }: HcnCall, { out, record }: RawHcnReply): void {
    if (record !== 0n) this.memory.free(record);
    if (out === 0n) return;
    if (/^Hcn(Create|Open)/.test(fn)) this.memory.close(out, kindOf(fn));
    else this.memory.free(out);
  }

  #run(call: HcnCall, target: string | undefined, { text }: Fault): RawHcnReply {
    try {
      return { hresult: 0, out: this.#effect(call, target, text), record: 0n };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const record = { Success: false, Error: error.message, ErrorCode: error.hresult };
      return { hresult: error.hresult | 0, out: 0n, record: this.memory.allocate(JSON.stringify(record)) };
    }
  }

  #effect({ fn, handle, id = "", text }: HcnCall, target: string | undefined, answer?: string): bigint {
    const kind = kindOf(fn);
    const verb = /^Hcn(Enumerate|Create|Open|Modify|Query|Delete|Close)/.exec(fn)![1];
    switch (verb) {
      case "Enumerate":
        return this.#text(answer ?? this.#hns.list(kind, text));
      case "Create": {
        if (handle !== undefined) this.#requireLive(handle, "Network");
        const made = this.#hns.create(kind, id, text, target);
        return this.memory.open({ kind, id: made, generation: this.#hns.generation });
      }
      case "Open":
        this.#hns.require(kind, id);
        return this.memory.open({ kind, id, generation: this.#hns.generation });
      case "Query":
        this.#requireLive(handle!, kind);
        return this.#text(answer ?? this.#hns.query(kind, target!, text));
      case "Modify":
        this.#requireLive(handle!, kind);
        this.#hns.modifyNamespace(target!, text);
        return 0n;
      case "Delete":
        if (this.memory.isOpen(kind, id)) {
          this.memory.mistakes.push(`${kind} ${id} deleted with a handle open`);
        }
        this.#hns.delete(kind, id);
        return 0n;
      default:
        this.memory.close(handle!, kind);
        return 0n;
    }
  }

  #text(text: string): bigint {
    return text === "" ? 0n : this.memory.allocate(text);
  }

  #objectOf({ fn, handle }: HcnCall): string | undefined {
    // An endpoint is created by a handle of its network.
    return this.memory.handle(handle!, fn === "HcnCreateEndpoint" ? "Network" : kindOf(fn))?.id;
  }

  #requireLive(handle: bigint, kind: Kind): void {
    if (this.memory.handle(handle, kind)?.generation === this.#hns.generation) return;
    throw new Refusal(0x803b0031, "object used after unload");
  }
}

function idOf({ id }: HcnCall, target: string | undefined): { id?: string } {
  const shown = id ?? target;
  return shown === undefined ? {} : { id: shown };
}

function kindOf(fn: string): Kind {
  return /(Network|Endpoint|Namespace)(Properties|s)?$/.exec(fn)![1] as Kind;
}
