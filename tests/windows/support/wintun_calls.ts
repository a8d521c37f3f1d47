/** Plain calls of wintun.dll for the tests of its fake; the daemon has a binding of its own. */
import { fakePath } from "./fake_library.ts";
import { guidBytes, readWide, wide } from "./hcn_calls.ts";

const WINTUN = {
  WintunCreateAdapter: { parameters: ["buffer", "buffer", "buffer"], result: "pointer" },
  WintunOpenAdapter: { parameters: ["buffer"], result: "pointer" },
  WintunCloseAdapter: { parameters: ["pointer"], result: "void" },
  WintunDeleteDriver: { parameters: [], result: "i32" },
  WintunGetAdapterLUID: { parameters: ["pointer", "buffer"], result: "void" },
  WintunGetRunningDriverVersion: { parameters: [], result: "u32" },
  WintunSetLogger: { parameters: ["function"], result: "void" },
  WintunStartSession: { parameters: ["pointer", "u32"], result: "pointer" },
  WintunEndSession: { parameters: ["pointer"], result: "void" },
  WintunGetReadWaitEvent: { parameters: ["pointer"], result: "pointer" },
  WintunReceivePacket: { parameters: ["pointer", "buffer"], result: "pointer" },
  WintunReleaseReceivePacket: { parameters: ["pointer", "pointer"], result: "void" },
  WintunAllocateSendPacket: { parameters: ["pointer", "u32"], result: "pointer" },
  WintunSendPacket: { parameters: ["pointer", "pointer"], result: "void" },
  FakeInject: { parameters: ["buffer", "u32"], result: "i32" },
  FakeTake: { parameters: ["buffer", "u32"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const KERNEL32 = {
  GetLastError: { parameters: [], result: "u32" },
  WaitForSingleObject: { parameters: ["pointer", "u32"], result: "u32" },
  CloseHandle: { parameters: ["pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** A received packet that is still held. */
export interface HeldPacket {
  readonly pointer: Deno.PointerObject;
  readonly bytes: Uint8Array;
}

/** An IPv4 packet in name: the version, then bytes of the mark. */
export function packet(size: number, mark: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size).fill(mark);
  bytes[0] = 0x45;
  return bytes;
}

/** Bytes as hex. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of such text. */
export function unhex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
}

/** `wintun.dll` of the rig. */
export class WintunCalls implements Disposable {
  readonly #wintun = Deno.dlopen(fakePath("wintun.dll"), WINTUN);
  readonly #kernel32 = Deno.dlopen("kernel32.dll", KERNEL32);
  /** GetLastError right after the last call that can fail. */
  lastError = 0;

  tryCreate(name: string, tunnelType: string, guid: string): Deno.PointerValue {
    const adapter = this.#wintun.symbols.WintunCreateAdapter(wide(name), wide(tunnelType), guidBytes(guid));
    this.lastError = this.#kernel32.symbols.GetLastError();
    return adapter;
  }

  create(name: string, tunnelType: string, guid: string): Deno.PointerObject {
    return must(this.tryCreate(name, tunnelType, guid), `creating ${name}: ${this.lastError}`);
  }

  tryOpen(name: string): Deno.PointerValue {
    const adapter = this.#wintun.symbols.WintunOpenAdapter(wide(name));
    this.lastError = this.#kernel32.symbols.GetLastError();
    return adapter;
  }

  closeAdapter(adapter: Deno.PointerValue): void {
    this.#wintun.symbols.WintunCloseAdapter(adapter);
  }

  luid(adapter: Deno.PointerValue): bigint {
    const out = new BigUint64Array(1);
    this.#wintun.symbols.WintunGetAdapterLUID(adapter, out);
    return out[0] ?? 0n;
  }

  driverVersion(): number {
    return this.#wintun.symbols.WintunGetRunningDriverVersion();
  }

  tryStart(adapter: Deno.PointerValue, capacity: number): Deno.PointerValue {
    const session = this.#wintun.symbols.WintunStartSession(adapter, capacity);
    this.lastError = this.#kernel32.symbols.GetLastError();
    return session;
  }

  end(session: Deno.PointerValue): void {
    this.#wintun.symbols.WintunEndSession(session);
  }

  readWaitEvent(session: Deno.PointerValue): Deno.PointerValue {
    return this.#wintun.symbols.WintunGetReadWaitEvent(session);
  }

  /** Whether the event is set; an auto-reset one is not any more after that. */
  wait(event: Deno.PointerValue): boolean {
    return this.#kernel32.symbols.WaitForSingleObject(event, 0) === 0;
  }

  closeHandle(handle: Deno.PointerValue): void {
    this.#kernel32.symbols.CloseHandle(handle);
  }

  receive(session: Deno.PointerValue): HeldPacket | undefined {
    const size = new Uint32Array(1);
    const pointer = this.#wintun.symbols.WintunReceivePacket(session, size);
    this.lastError = this.#kernel32.symbols.GetLastError();
    if (pointer === null) return undefined;
    const bytes = new Uint8Array(size[0] ?? 0);
    new Deno.UnsafePointerView(pointer).copyInto(bytes);
    return { pointer, bytes };
  }

  release(session: Deno.PointerValue, pointer: Deno.PointerValue): void {
    this.#wintun.symbols.WintunReleaseReceivePacket(session, pointer);
  }

  /** Allocates and fills, without sending. */
  allocate(session: Deno.PointerValue, bytes: Uint8Array): Deno.PointerValue {
    const pointer = this.#wintun.symbols.WintunAllocateSendPacket(session, bytes.length);
    this.lastError = this.#kernel32.symbols.GetLastError();
    if (pointer === null) return null;
    new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, bytes.length)).set(bytes);
    return pointer;
  }

  send(session: Deno.PointerValue, pointer: Deno.PointerValue): void {
    this.#wintun.symbols.WintunSendPacket(session, pointer);
  }

  /** A packet from the operating system; whether it fitted. */
  inject(bytes: Uint8Array<ArrayBuffer>): boolean {
    return this.#wintun.symbols.FakeInject(bytes, bytes.length) !== 0;
  }

  /** The next packet that was sent. */
  take(): Uint8Array | undefined {
    const room = new Uint8Array(0xffff);
    const size = this.#wintun.symbols.FakeTake(room, room.length);
    return size === 0 ? undefined : room.subarray(0, size);
  }

  /** What the library logs meanwhile. */
  logged(run: () => void): string[] {
    const lines: string[] = [];
    const callback = new Deno.UnsafeCallback(
      { parameters: ["i32", "u64", "pointer"], result: "void" },
      (level, _time, message) => {
        lines.push(`${level} ${message === null ? "" : readWide(message)}`);
      },
    );
    this.#wintun.symbols.WintunSetLogger(callback.pointer);
    run();
    this.#wintun.symbols.WintunSetLogger(null);
    callback.close();
    return lines;
  }

  [Symbol.dispose](): void {
    this.#wintun.close();
    this.#kernel32.close();
  }
}

function must(pointer: Deno.PointerValue, what: string): Deno.PointerObject {
  if (pointer === null) throw new Error(what);
  return pointer;
}
