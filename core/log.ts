/**
 * The log as the rest of the program sees it: four levels, a constant message and its facts as fields.
 *
 * The implementation is in `core/logging/`; nothing here knows where records go, so that every module can
 * take a `Log` as an argument and every test can pass its own.
 */

/** Facts of a record, by name. Names that look like secrets are redacted by the implementation. */
export type LogFields = Readonly<Record<string, unknown>>;

/** One target's log. Calls never throw and never block. */
export interface Log {
  /** Detail for someone who looks for a fault. */
  debug(message: string, fields?: LogFields): void;
  /** A change of state that an operator may want to see. */
  info(message: string, fields?: LogFields): void;
  /** Something went wrong and was dealt with. */
  warn(message: string, fields?: LogFields): void;
  /** Something went wrong and needs a person. */
  error(message: string, fields?: LogFields): void;
}

/** A log that drops everything. */
export const SILENT_LOG: Log = {
  debug(): void {},
  info(): void {},
  warn(): void {},
  error(): void {},
};
