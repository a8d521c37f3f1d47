/**
 * Windows' event log, for what nobody would see otherwise.
 *
 * A source needs no registration: without one, Event Viewer shows the text behind a remark that it has no description
 * of the event.
 *
 * @see winbase.h `RegisterEventSourceW`, `ReportEventW`.
 */
import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";
import { kernel32 } from "./kernel32.ts";
import { encodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

const ADVAPI32 = {
  /** `HANDLE (LPCWSTR server, LPCWSTR source)` */
  RegisterEventSourceW: { parameters: ["pointer", "buffer"], result: "usize" },
  /**
   * `BOOL (HANDLE, WORD type, WORD category, DWORD id, PSID user, WORD strings, DWORD bytes, LPCWSTR* strings,
   * LPVOID bytes)`
   */
  ReportEventW: {
    parameters: ["usize", "u16", "u16", "u32", "pointer", "u16", "u32", "buffer", "pointer"],
    result: "i32",
  },
  /** `BOOL (HANDLE)` */
  DeregisterEventSource: { parameters: ["usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type EventLogSymbols = Deno.StaticForeignLibraryInterface<typeof ADVAPI32> & {
  readonly GetLastError: () => number;
};

/** `EVENTLOG_ERROR_TYPE`, `EVENTLOG_INFORMATION_TYPE`. */
const TYPES = { error: 1, information: 4 } as const;
/** A string of an event has at most 31,839 characters. */
const MAX_UNITS = 31_000;

const advapi32 = lazyLibrary(["advapi32.dll"], ADVAPI32);

/** An event. */
export interface LoggedEvent {
  readonly type: keyof typeof TYPES;
  /** What kind of event, 0 to 65535; the source's own numbers. */
  readonly id: number;
  readonly text: string;
}

/**
 * Writes an event to the log "Application" of this host.
 *
 * @param source Whose event, as the log names it.
 * @throws {Win32Error} If the log does not take it, as when its service is not running.
 */
export function writeEvent(source: string, event: LoggedEvent, symbols: EventLogSymbols = system()): void {
  const op = `write to the event log as ${source}`;
  const handle = symbols.RegisterEventSourceW(null, encodeWide(source));
  if (handle === 0n) throw new Win32Error(op, "RegisterEventSourceW", symbols.GetLastError());
  try {
    const text = encodeWide(event.text.slice(0, MAX_UNITS).replaceAll("\0", ""));
    const memory = new PinnedBuffer(new Uint8Array(text.buffer));
    const strings = BigUint64Array.of(BigInt(memory.address));
    const type = TYPES[event.type];
    if (symbols.ReportEventW(handle, type, 0, event.id, null, 1, 0, strings, null) === 0) {
      throw new Win32Error(op, "ReportEventW", symbols.GetLastError());
    }
    memory.bytes.fill(0); // Until here its address was in use.
  } finally {
    symbols.DeregisterEventSource(handle);
  }
}

function system(): EventLogSymbols {
  return { ...advapi32(), GetLastError: () => kernel32().GetLastError() };
}
