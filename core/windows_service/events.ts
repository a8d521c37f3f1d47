/** What is told of a service where an operator looks first, and where a service without a log can be heard. */

/** Takes what happened to the service. None of these throws. */
export interface ServiceEvents {
  /** It serves. */
  started(text: string): void;
  /** It has stopped, as it was asked to. */
  stopped(text: string): void;
  /** It ends, or does not even start, for this reason. */
  failed(text: string): void;
}

/** For a daemon that is no service. */
export const NO_EVENTS: ServiceEvents = {
  started(): void {},
  stopped(): void {},
  failed(): void {},
};
