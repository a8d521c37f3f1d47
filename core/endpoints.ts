/** Which sockets the daemon listens on, and to whom each belongs. */
import type { DaemonConfig } from "./config.ts";
import { describeError } from "./errors.ts";
import type { Log } from "./log.ts";
import { type HostFacts, secondarySocket } from "./paths.ts";

/** One socket to listen on. */
export interface Endpoint {
  readonly path: string;
  /** Absent: the process's own group. */
  readonly groupId?: number;
  /** Absent: the process's own user. */
  readonly ownerUid?: number;
  /** Whether the daemon runs without it when another one answers there or it cannot be bound. */
  readonly optional: boolean;
}

/** What decides about the sockets besides the configuration. */
export interface EndpointFacts {
  readonly host: HostFacts;
  /** User id of the data directory's owner; `undefined` if there is no such directory. */
  readonly dataDirOwner: number | undefined;
  /** Id of the group `zlayer`, if there is one. */
  readonly groupId: number | undefined;
}

/**
 * The endpoint of the configuration, and a second one where the data directory is a user's (see
 * {@linkcode secondarySocket}). Without the group `zlayer` a user who owns the data directory owns the socket
 * too: that is who drives the daemon. Pure.
 */
export function planEndpoints(config: DaemonConfig, facts: EndpointFacts): readonly Endpoint[] {
  const { host, dataDirOwner, groupId } = facts;
  const group = groupId === undefined ? {} : { groupId };
  const userOwns = host.euid === 0 && groupId === undefined && dataDirOwner !== undefined &&
    dataDirOwner !== 0;
  const primary: Endpoint = {
    path: config.socket,
    ...group,
    ...(userOwns ? { ownerUid: dataDirOwner } : {}),
    optional: false,
  };
  const second = secondarySocket({
    host,
    dataDir: config.dataDir,
    dataDirOwner,
    socketGiven: config.socketGiven,
  });
  if (!second || second.path === primary.path) return [primary];
  return [primary, { path: second.path, ownerUid: second.ownerUid, ...group, optional: true }];
}

/**
 * Binds all endpoints, or none: when one that is not optional fails, those bound before are closed again.
 *
 * @param listen Claims a path; throws if another daemon answers there.
 * @throws What `listen` threw for an endpoint that is not optional.
 */
export async function bindEndpoints<Listener extends { close(): void }>(
  endpoints: readonly Endpoint[],
  listen: (endpoint: Endpoint) => Promise<Listener>,
  log: Log,
): Promise<Listener[]> {
  const listeners: Listener[] = [];
  for (const endpoint of endpoints) {
    try {
      listeners.push(await listen(endpoint));
      log.info("listening", { socket: endpoint.path });
    } catch (error) {
      if (!endpoint.optional) {
        for (const listener of listeners) listener.close();
        throw error;
      }
      log.warn("not listening on the second socket", { socket: endpoint.path, err: describeError(error) });
    }
  }
  return listeners;
}
