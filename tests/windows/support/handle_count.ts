/** How many handles a process has open. Of `GetProcessHandleCount` Wine has no more than the name: it says 0. */
import { assertEquals } from "@std/assert";

const SYMBOLS = {
  /** `NTSTATUS (SYSTEM_INFORMATION_CLASS, void* info, ULONG size, ULONG* needed)` */
  NtQuerySystemInformation: { parameters: ["i32", "buffer", "u32", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `SystemProcessInformation`: entries, each with where the next one begins. */
const SYSTEM_PROCESS_INFORMATION = 5;
const PROCESS_ID = 0x50;
const HANDLE_COUNT = 0x60;

/** Room for a few hundred processes with their threads. */
const BYTES = 1024 * 1024;

/** Counts the handles of one process, this one or another. */
export class HandleCount implements Disposable {
  readonly #library = Deno.dlopen("ntdll.dll", SYMBOLS);
  readonly #view = new DataView(new ArrayBuffer(BYTES));
  readonly #pid: number;

  /** @param pid Process id. */
  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Handles that it has open now; 0 when it is gone. */
  now(): number {
    const info = new Uint8Array(this.#view.buffer);
    const { NtQuerySystemInformation: query } = this.#library.symbols;
    assertEquals(query(SYSTEM_PROCESS_INFORMATION, info, BYTES, new Uint32Array(1)), 0);
    for (let at = 0, next = -1; next !== 0; at += next) {
      if (Number(this.#view.getBigUint64(at + PROCESS_ID, true)) === this.#pid) {
        return this.#view.getUint32(at + HANDLE_COUNT, true);
      }
      next = this.#view.getUint32(at, true);
    }
    return 0;
  }

  [Symbol.dispose](): void {
    this.#library.close();
  }
}
