/**
 * How many handles a process has open, counted in the list that Windows gives of all. Of `GetProcessHandleCount` Wine
 * has no more than the name, and the count in its list of processes is the room of their tables.
 */
import { assert } from "@std/assert";

const SYMBOLS = {
  /** `NTSTATUS (SYSTEM_INFORMATION_CLASS, void* info, ULONG size, ULONG* needed)` */
  NtQuerySystemInformation: { parameters: ["i32", "buffer", "u32", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** ntexapi.h `SystemExtendedHandleInformation`: a count u64 @0, and entries from @16 on. */
const SYSTEM_EXTENDED_HANDLE_INFORMATION = 64;
const FIRST_ENTRY = 16;
const ENTRY_BYTES = 40;
const ENTRY_PROCESS_ID = 8;
const STATUS_INFO_LENGTH_MISMATCH = 0xc000_0004;

/** Counts the handles of one process, this one or another. */
export class HandleCount implements Disposable {
  readonly #library = Deno.dlopen("ntdll.dll", SYMBOLS);
  readonly #pid: number;
  #memory = new Uint8Array(256 * 1024);

  /** @param pid Process id. */
  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Handles that it has open now; 0 when it is gone. */
  now(): number {
    const view = this.#list();
    let open = 0;
    for (let i = Number(view.getBigUint64(0, true)) - 1; i >= 0; i--) {
      const pid = view.getBigUint64(FIRST_ENTRY + i * ENTRY_BYTES + ENTRY_PROCESS_ID, true);
      if (Number(pid) === this.#pid) open++;
    }
    return open;
  }

  [Symbol.dispose](): void {
    this.#library.close();
  }

  /** Handles of all processes. */
  #list(): DataView {
    const { NtQuerySystemInformation: query } = this.#library.symbols;
    for (;;) {
      const size = this.#memory.length;
      const status = query(SYSTEM_EXTENDED_HANDLE_INFORMATION, this.#memory, size, new Uint32Array(1));
      if (status === 0) return new DataView(this.#memory.buffer);
      assert(status === STATUS_INFO_LENGTH_MISMATCH, `no list of handles: ${status.toString(16)}`);
      this.#memory = new Uint8Array(2 * size);
    }
  }
}
