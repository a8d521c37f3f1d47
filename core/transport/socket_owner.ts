/** Who may use the IPC socket besides its owner: the group `zlayer`, where the host has one. */
import { describeError } from "../errors.ts";
import { findGroupId } from "../../ffi/group.ts";
import type { Log } from "../log.ts";

/** Members of this group may drive the daemon. */
export const SOCKET_GROUP = "zlayer";

/** How long a directory service may take before the daemon starts without the group, in milliseconds. */
const LOOKUP_TIMEOUT_MS = 2000;

/**
 * The id of the group `zlayer`.
 *
 * Best effort: no group, no C library or a directory service that does not answer are a debug line, and the
 * socket then belongs to its owner alone.
 */
export async function socketGroupId(
  log: Log,
  lookup: (name: string) => Promise<number | undefined> = findGroupId,
): Promise<number | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    const late = (): void => reject(new Error(`no answer within ${LOOKUP_TIMEOUT_MS} ms`));
    timer = setTimeout(late, LOOKUP_TIMEOUT_MS);
  });
  try {
    const id = await Promise.race([lookup(SOCKET_GROUP), timeout]);
    if (id === undefined) {
      log.debug("no such group: the socket is its owner's alone", { group: SOCKET_GROUP });
    }
    return id;
  } catch (error) {
    log.debug("cannot look up the socket's group", { group: SOCKET_GROUP, err: describeError(error) });
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
