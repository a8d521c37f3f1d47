/**
 * Named pipes and completion ports as Windows has them, in memory, at the level of the functions: overlapped
 * operations pend, packets carry their end, and rules that Wine does not enforce are enforced.
 *
 * - Operations begin by `ntdll.dll`, with the arguments that kernel32 gives there.
 * - `GetLastError` is only allowed as the very next call after one that failed.
 * - An OVERLAPPED is zero when an operation begins, and in one operation at a time.
 * - A handle is closed once, and not used after.
 * - The first-instance flag and the bound port are needed where Windows needs them.
 */
import { assert, assertEquals } from "@std/assert";
import { decodeWide } from "../../../ffi/windows/wide_string.ts";
import type { Kernel32 } from "../../../ffi/windows/kernel32.ts";
import { FSCTL_PIPE_LISTEN, type Ntdll } from "../../../ffi/windows/ntdll.ts";
import { FakePipeEnd, Operation, STATUS } from "./fake_pipe_end.ts";

const INVALID = 0xffff_ffff_ffff_ffffn;
const FIRST_PIPE_INSTANCE = 0x0008_0000;

/** One call, with what it was given. */
export interface FakeCall {
  readonly name: string;
  readonly args: readonly unknown[];
}

/** How an operation's end is to be told. */
interface Told {
  readonly event: bigint;
  readonly routine: Deno.PointerValue;
  readonly context: Deno.PointerValue;
  readonly block: Deno.PointerValue;
}

interface Port {
  readonly packets: { readonly address: bigint; readonly status: number; readonly bytes: number }[];
  wake: (() => void) | undefined;
}

/** A kernel of its own for each test. */
export class FakeKernel32 {
  readonly calls: FakeCall[] = [];
  readonly #ends = new Map<bigint, FakePipeEnd>();
  readonly #ports = new Map<bigint, Port>();
  readonly #busy = new Set<bigint>();
  readonly #refusals = new Map<string, number[]>();
  #lastHandle = 0n;
  #lastError: number | undefined;
  #freed = 0;

  /** Makes the next calls of a function fail, with these codes in turn; statuses if it is of ntdll. */
  refuse(name: keyof Kernel32 | keyof Ntdll, ...codes: number[]): void {
    this.#refusals.set(name, [...this.#refusals.get(name) ?? [], ...codes]);
  }

  /** Ends {@linkcode refuse}. */
  allow(name: keyof Kernel32 | keyof Ntdll): void {
    this.#refusals.delete(name);
  }

  /** Handles of pipes that are open. */
  get openHandles(): number {
    return this.#ends.size;
  }

  /** Descriptors given to `LocalFree`. */
  get freed(): number {
    return this.#freed;
  }

  /** Instances of a name that wait for a client. */
  waiting(name: string): number {
    return this.#instances(name).filter((end) => end.state === "listening").length;
  }

  /** Calls of one function. */
  callsOf(name: keyof Kernel32 | keyof Ntdll): readonly FakeCall[] {
    return this.calls.filter((call) => call.name === name);
  }

  /** Leaves an error as a function of another library does that fails; gives its FALSE. */
  failElsewhere(code: number): number {
    return this.#fail(code, 0);
  }

  /** Posts a packet of nobody. */
  postStray(): void {
    for (const port of this.#ports.values()) this.#post(port, 0x7777n, 0, 0);
  }

  /** The functions. */
  readonly api: Kernel32 = this.#record({
    CreateNamedPipeW: (name, mode) => this.#createInstance(wide(name), mode),
    DisconnectNamedPipe: (handle) => {
      this.#end(handle).disconnect();
      return 1;
    },
    WaitNamedPipeW: (name) => {
      const instances = this.#instances(wide(name));
      if (instances.length === 0) return this.#fail(2, 0);
      return instances.some((end) => end.connectable) ? 1 : this.#fail(121, 0);
    },
    GetNamedPipeClientProcessId: (handle, id) => {
      this.#end(handle);
      (id as Uint32Array)[0] = 4711;
      return 1;
    },
    CreateFileW: (name) => this.#open(wide(name)),
    CancelIoEx: (handle, overlapped) => {
      assertEquals(overlapped, null);
      return this.#end(handle).cancel() ? 1 : this.#fail(1168, 0);
    },
    CloseHandle: (handle) => {
      this.#end(handle).close();
      this.#ends.delete(BigInt(handle));
      return 1;
    },
    CreateIoCompletionPort: (file, existing) => this.#port(BigInt(file), BigInt(existing)),
    SetFileCompletionNotificationModes: (handle, flags) => {
      assertEquals(flags, 1);
      this.#end(handle).skipsPacketWhenDone = true;
      return 1;
    },
    GetQueuedCompletionStatusEx: (port, entries, count, removed, timeoutMs, alertable) => {
      assertEquals([timeoutMs, alertable], [0xffff_ffff, 0]);
      return this.#dequeue(BigInt(port), entries as Uint8Array<ArrayBuffer>, count, removed as Uint32Array);
    },
    LocalFree: () => {
      this.#freed++;
      return null;
    },
    GetLastError: () => {
      assert(this.#lastError !== undefined, "GetLastError must directly follow a call that failed");
      return this.#lastError;
    },
  });

  /** Those of ntdll. */
  readonly ntdll: Ntdll = this.#record({
    NtReadFile: (handle, event, routine, context, block, buffer, length, offset, key) => {
      const [end, memory] = [this.#end(handle), buffer as Uint8Array];
      assertEquals([length, longAt(offset), key], [memory.length, 0n, null]);
      return this.#begin({ event, routine, context, block }, end, (operation) => end.read(memory, operation));
    },
    NtWriteFile: (handle, event, routine, context, block, buffer, length, offset, key) => {
      const [end, memory] = [this.#end(handle), buffer as Uint8Array];
      assertEquals([length, longAt(offset), key], [memory.length, 0n, null]);
      return this.#begin(
        { event, routine, context, block },
        end,
        (operation) => end.write(memory, operation),
      );
    },
    NtFsControlFile: (handle, event, routine, context, block, code, ...buffers) => {
      const end = this.#end(handle);
      assert(end.server, "listening is for servers");
      assertEquals([code, buffers], [FSCTL_PIPE_LISTEN, [null, 0, null, 0]]);
      return this.#begin({ event, routine, context, block }, end, (operation) => end.listen(operation));
    },
  });

  /** Wraps each function: records the call, lets it fail as scripted, and forgets the error of the one before. */
  #record<T extends Kernel32 | Ntdll>(functions: T): T {
    const wrapped = Object.entries(functions).map(([name, call]) => [name, (...args: unknown[]) => {
      if (name === "GetLastError") return (call as () => number)();
      this.calls.push({ name, args });
      this.#lastError = undefined;
      const refusal = this.#refusals.get(name)?.shift();
      if (refusal === undefined) return (call as (...args: unknown[]) => unknown)(...args);
      if (name === "GetQueuedCompletionStatusEx") return Promise.resolve(0);
      if (name.startsWith("Nt")) return refusal;
      const handles = ["CreateNamedPipeW", "CreateFileW"];
      return this.#fail(
        refusal,
        handles.includes(name) ? INVALID : name === "CreateIoCompletionPort" ? 0n : 0,
      );
    }]);
    return Object.fromEntries(wrapped) as T;
  }

  #fail<T>(code: number, result: T): T {
    this.#lastError = code;
    return result;
  }

  #end(handle: number | bigint): FakePipeEnd {
    const end = this.#ends.get(BigInt(handle));
    assert(end !== undefined, `handle ${handle} is not open`);
    return end;
  }

  #add(end: FakePipeEnd): bigint {
    this.#ends.set(this.#lastHandle += 4n, end);
    return this.#lastHandle;
  }

  #instances(name: string): FakePipeEnd[] {
    return [...this.#ends.values()].filter((end) => end.server && end.name === name);
  }

  #createInstance(name: string, mode: number): bigint {
    const first = (mode & FIRST_PIPE_INSTANCE) !== 0;
    if (first && this.#instances(name).length > 0) return this.#fail(5, INVALID);
    return this.#add(new FakePipeEnd(name, true));
  }

  #open(name: string): bigint {
    const instances = this.#instances(name);
    if (instances.length === 0) return this.#fail(2, INVALID);
    const free = instances.find((end) => end.connectable);
    if (free === undefined) return this.#fail(231, INVALID);
    const client = new FakePipeEnd(name, false);
    free.connect(client);
    return this.#add(client);
  }

  /** Runs what begins an operation, and does with its outcome what the kernel would. */
  #begin(told: Told, end: FakePipeEnd, start: (operation: Operation) => number): number {
    const { event, routine, context, block } = told;
    assertEquals([event, routine], [0n, null], "the end is told to the port");
    assert(context !== null && block !== null && end.port !== undefined, "operations need a bound port");
    const address = Deno.UnsafePointer.value(context);
    assertEquals(Deno.UnsafePointer.value(block), address, "an OVERLAPPED begins with its IO_STATUS_BLOCK");
    const memory = new BigUint64Array(new Deno.UnsafePointerView(context).getArrayBuffer(32));
    assert(!this.#busy.has(address), "the OVERLAPPED is in another operation");
    assertEquals([...memory], [0n, 0n, 0n, 0n], "an OVERLAPPED is zero at first");
    const port = this.#ports.get(end.port)!;
    const operation = new Operation((status, bytes, later) => {
      this.#busy.delete(address);
      [memory[0], memory[1]] = [BigInt(status), BigInt(bytes)];
      if (later || !end.skipsPacketWhenDone) this.#post(port, address, status, bytes);
    });
    const status = start(operation);
    if (status === STATUS.pending) {
      this.#busy.add(address);
      operation.begun = true;
    }
    return status;
  }

  #port(file: bigint, existing: bigint): bigint {
    if (file === INVALID) {
      this.#ports.set(this.#lastHandle += 4n, { packets: [], wake: undefined });
      return this.#lastHandle;
    }
    assert(this.#ports.has(existing), "no such port");
    const end = this.#end(file);
    assertEquals(end.port, undefined, "a handle is bound once");
    end.port = existing;
    return existing;
  }

  #post(port: Port, address: bigint, status: number, bytes: number): void {
    port.packets.push({ address, status, bytes });
    port.wake?.();
  }

  async #dequeue(
    handle: bigint,
    entries: Uint8Array<ArrayBuffer>,
    count: number,
    removed: Uint32Array,
  ): Promise<number> {
    const port = this.#ports.get(handle)!;
    assertEquals(port.wake, undefined, "one thread waits");
    if (port.packets.length === 0) await new Promise<void>((resolve) => port.wake = resolve);
    port.wake = undefined;
    await new Promise((resolve) => setTimeout(resolve, 0)); // A nonblocking call ends in a later turn.
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    const taken = port.packets.splice(0, count);
    for (const [i, { address, status, bytes }] of taken.entries()) {
      view.setBigUint64(32 * i + 8, address, true);
      view.setBigUint64(32 * i + 16, BigInt(status), true);
      view.setUint32(32 * i + 24, bytes, true);
    }
    removed[0] = taken.length;
    return 1;
  }
}

/** The LARGE_INTEGER at an address. */
function longAt(pointer: Deno.PointerValue): bigint {
  return new Deno.UnsafePointerView(pointer!).getBigInt64();
}

/** Text that was given as a `LPCWSTR`. */
export function wide(units: unknown): string {
  return decodeWide((index) => (units as Uint16Array)[index]!);
}
