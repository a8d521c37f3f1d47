/** Everything in HCN that is this deployment's: read in one go, decided on elsewhere. */

import type { Guid } from "../../../ffi/windows/guid.ts";
import { describeError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { ContainerSurvey, FoundEndpoint } from "../containers.ts";
import { type Hns, isRefusal } from "./hns.ts";
import { readEndpointName, readNetworkName } from "./names.ts";
import type { NetworkLookup } from "./network_lookup.ts";
import {
  type EndpointReading,
  isSystemNamespace,
  type NamespaceReading,
  readEndpoint,
  readNamespace,
} from "./readings.ts";

/** What a survey needs. */
export interface SurveyParts {
  readonly hns: Hns;
  readonly lookup: NetworkLookup;
  readonly log: Log;
}

/**
 * Looks at all networks, endpoints and namespaces. Ours is an endpoint whose name begins with the deployment's and
 * that is on one of its networks. One object that cannot be read is passed over; a list that cannot be had is an
 * error, since "none" would be a dangerous guess.
 */
export async function surveyContainers(parts: SurveyParts, deployment: string): Promise<ContainerSurvey> {
  const { hns, lookup } = parts;
  const ours = new Map((await lookup.all()).flatMap(({ id, name }) => {
    const key = readNetworkName(deployment, name);
    return key ? [[id, { ...key, name }] as const] : [];
  }));
  const endpoints = await hns.enumerate("Endpoint");
  const readings = await readEach(parts, endpoints, async (id) => {
    const text = await hns.read("Endpoint", id);
    return text === undefined ? undefined : readEndpoint(text);
  });
  const namespaces = await hns.enumerate("Namespace");
  const { homes, empty } = await readHomes(parts, namespaces);
  const found = [...readings].flatMap(([endpoint, reading]): FoundEndpoint[] => {
    const network = reading.network === undefined ? undefined : ours.get(reading.network);
    const containerId = readEndpointName(deployment, reading.name);
    if (!network || containerId === undefined) return [];
    return [toFound(endpoint, reading, { containerId, network, namespace: homes.get(endpoint) })];
  });
  return {
    endpoints: found,
    namespaces: new Set(namespaces),
    allEndpoints: new Set(endpoints),
    emptyNamespaces: empty,
  };
}

function toFound(
  endpoint: Guid,
  reading: EndpointReading,
  { containerId, network, namespace }: {
    readonly containerId: string;
    readonly network: { readonly name: string; readonly service?: string };
    readonly namespace: Guid | undefined;
  },
): FoundEndpoint {
  const home = namespace ?? reading.namespace;
  return {
    endpoint,
    containerId,
    networkName: network.name,
    ...(network.service === undefined ? {} : { service: network.service }),
    ...(home === undefined ? {} : { namespace: home }),
    ...(reading.ip === undefined ? {} : { ip: reading.ip }),
    ...(reading.mac === undefined ? {} : { mac: reading.mac }),
  };
}

/** What the namespaces tell. */
export interface Homes {
  /** Namespace of each endpoint that is in one; not every endpoint tells itself. */
  readonly homes: ReadonlyMap<Guid, Guid>;
  /** Those without a container. */
  readonly empty: ReadonlySet<Guid>;
}

/** Reads namespaces. One that cannot be read is passed over. */
export async function readHomes(
  parts: Omit<SurveyParts, "lookup">,
  namespaces: readonly Guid[],
): Promise<Homes> {
  const readings = await readNamespaces(parts, namespaces);
  const homes = [...readings].flatMap(([id, { endpoints }]) => endpoints.map((one) => [one, id] as const));
  const empty = [...readings].filter(([, { hasContainers }]) => hasContainers === false).map(([id]) => id);
  return { homes: new Map(homes), empty: new Set(empty) };
}

/** Namespaces in which nothing is: no container, and no endpoint but such as are gone. The system's own do not count. */
export async function findOwnerless(parts: Omit<SurveyParts, "lookup">): Promise<Guid[]> {
  const { hns } = parts;
  const namespaces = await hns.enumerate("Namespace");
  const endpoints = new Set(await hns.enumerate("Endpoint"));
  const readings = await readNamespaces(parts, namespaces);
  return [...readings].flatMap(([id, reading]) => {
    const isInUse = reading.hasContainers === true || reading.endpoints.some((one) => endpoints.has(one));
    return isInUse || isSystemNamespace(id, reading) ? [] : [id];
  });
}

function readNamespaces(
  parts: Omit<SurveyParts, "lookup">,
  namespaces: readonly Guid[],
): Promise<Map<Guid, NamespaceReading>> {
  return readEach(parts, namespaces, async (id) => {
    const text = await parts.hns.read("Namespace", id);
    return text === undefined ? undefined : readNamespace(text);
  });
}

async function readEach<T>(
  { log }: Pick<SurveyParts, "log">,
  ids: readonly Guid[],
  read: (id: Guid) => Promise<T | undefined>,
): Promise<Map<Guid, T>> {
  const readings = new Map<Guid, T>();
  for (const id of ids) {
    try {
      const reading = await read(id);
      if (reading !== undefined) readings.set(id, reading);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      log.warn("an object of HCN cannot be read and is passed over", { id, err: describeError(error) });
    }
  }
  return readings;
}
