/** {@linkcode ServiceEvents} in the event log of Windows. */
import { type LoggedEvent, writeEvent } from "../../ffi/windows/event_log.ts";
import type { ServiceEvents } from "../windows_service/events.ts";

/** Numbers of the events; operators may filter by them. */
export const EVENT_IDS = { started: 1, stopped: 2, failed: 3 } as const;

/**
 * The events of a source, such as the service's name. What the log does not take is lost: it is the last place to tell
 * anybody.
 */
export function eventLog(
  source: string,
  write: (source: string, event: LoggedEvent) => void = writeEvent,
): ServiceEvents {
  const report = (kind: keyof typeof EVENT_IDS, type: LoggedEvent["type"], text: string): void => {
    try {
      write(source, { type, id: EVENT_IDS[kind], text });
    } catch {
      // The log is off, or this is no Windows that has one.
    }
  };
  return {
    started: (text) => report("started", "information", text),
    stopped: (text) => report("stopped", "information", text),
    failed: (text) => report("failed", "error", text),
  };
}
