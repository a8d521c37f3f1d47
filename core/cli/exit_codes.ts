/** Exit codes of the executable. `docs/operator.md` has the same table; a test compares them. */

/** Graceful end, or the command did what it was asked. */
export const EXIT_OK = 0;
/** Fatal error of the daemon; for a command: it failed, or the daemon answered `err`. */
export const EXIT_FAILURE = 1;
/** The command line was not understood. */
export const EXIT_USAGE = 2;
/** Commands only: no daemon listens on the socket. */
export const EXIT_NOT_RUNNING = 3;
/** Commands only: this user may not connect to the socket. */
export const EXIT_DENIED = 4;
