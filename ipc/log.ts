/** What the IPC layer needs of a log: two levels, a constant message and facts in fields. Never a key. */
export interface IpcLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** A log that keeps nothing. */
export const SILENT_LOG: IpcLog = { debug(): void {}, warn(): void {} };
