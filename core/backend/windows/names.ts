/** Names of what is in HCN, which has no other mark of an owner, and owners in the marker. Pure. */

import { BASE_OWNER, serviceOwner } from "../../marker.ts";

/** Until the caller has said one. */
const DEFAULT_DEPLOYMENT = "zlayer";

/** A network's place: the base network, or that of a dedicated service. */
export interface NetworkKey {
  readonly deployment: string;
  readonly service?: string;
}

/** First part of the names of endpoints. */
export function ownerName(deployment: string): string {
  return deployment || DEFAULT_DEPLOYMENT;
}

/** `zlayer-overlay`, `zlayer-overlay-svc-web`. */
export function networkName({ deployment, service }: NetworkKey): string {
  const base = `${ownerName(deployment)}-overlay`;
  return service === undefined ? base : `${base}-svc-${service}`;
}

/** What the name of a network says of it; `undefined` if it is not of this deployment. */
export function readNetworkName(deployment: string, name: string): NetworkKey | undefined {
  const base = networkName({ deployment });
  if (name === base) return { deployment };
  const prefix = `${base}-svc-`;
  if (!name.startsWith(prefix) || name === prefix) return undefined;
  return { deployment, service: name.slice(prefix.length) };
}

/** The deployment that a network of whatever deployment is named after; `undefined` if it is not named so. */
export function deploymentOf(networkName: string): string | undefined {
  return /^(.+?)-overlay(?:-svc-.+)?$/.exec(networkName)?.[1];
}

/** `zlayer-<container id>`. */
export function endpointName(deployment: string, containerId: string): string {
  return `${ownerName(deployment)}-${containerId}`;
}

/** The container id in an endpoint's name; `undefined` if it is not of this deployment. */
export function readEndpointName(deployment: string, name: string): string | undefined {
  const prefix = `${ownerName(deployment)}-`;
  return name.startsWith(prefix) && name !== prefix ? name.slice(prefix.length) : undefined;
}

/** Owner of the network in the marker. */
export function markerOwner({ service }: Pick<NetworkKey, "service">): string {
  return service === undefined ? BASE_OWNER : serviceOwner(service);
}
