/**
 * Containers that join by an endpoint and a network namespace of the host's own making (HCN), instead of by a
 * process's namespace: the part of a backend that only Windows has.
 *
 * As everywhere in the backend, "ensure" adopts or makes, removal of what is gone is success, and whatever an
 * operation has made it undoes before it throws. Ids are GUIDs: 36 characters, lower case, no braces.
 */

import type { IpPrefix } from "../ip/prefix.ts";

/** A network that containers are attached to. */
export interface ContainerNetworkSpec {
  /** Empty until the caller has said one. */
  readonly deployment: string;
  /** The dedicated service it belongs to; absent: the node's base network. */
  readonly service?: string;
  /** Host bits are ignored. */
  readonly subnet: IpPrefix;
}

/** A dedicated service's network to remove. */
export interface RemovedNetwork extends Pick<ContainerNetworkSpec, "deployment"> {
  readonly service: string;
  /** Only if it has this one; absent: whatever it has. */
  readonly subnet?: IpPrefix;
}

/** An endpoint to make. The ids are the caller's, so that it knows what to look for if it dies meanwhile. */
export interface ContainerEndpointSpec {
  readonly network: ContainerNetworkSpec;
  readonly containerId: string;
  readonly endpoint: string;
  readonly namespace: string;
  /** Address with the length of the subnet. */
  readonly address: IpPrefix;
  readonly clusterCidr: IpPrefix;
  readonly dns: { readonly server?: string; readonly domain?: string };
  /** Monotonic time after which to give up and undo. */
  readonly giveUpAtMs: number;
  /** Told, before anything is put into it, when the host has given the namespace another id. */
  readonly onNamespace: (namespace: string) => Promise<void>;
}

/** A container's connection. */
export interface ContainerConnection {
  /** Id of the namespace, which is not always the one that was asked for. */
  readonly namespace: string;
  /** Hardware address of the endpoint, as the host writes it, if it says one. */
  readonly mac?: string;
}

/** An endpoint that has to be there, in a namespace that has been made. */
export interface ContainerRepairSpec extends Omit<ContainerEndpointSpec, "onNamespace"> {
  /** Hardware address that it had. */
  readonly mac?: string;
}

/** Where a container is. */
export interface ContainerPlace {
  /** Absent: its endpoints are in none. */
  readonly namespace?: string;
  readonly endpoints: readonly string[];
}

/** An endpoint of this deployment, on one of its networks. */
export interface FoundEndpoint {
  readonly endpoint: string;
  readonly containerId: string;
  /** Network it is on, by name. */
  readonly networkName: string;
  /** Absent: of the base network. */
  readonly service?: string;
  /** Absent: it is in none. */
  readonly namespace?: string;
  readonly ip?: string;
  readonly mac?: string;
}

/** Ids of what the host has. */
export interface ContainerPresence {
  readonly namespaces: ReadonlySet<string>;
  readonly allEndpoints: ReadonlySet<string>;
}

/** Everything of this deployment that was found. */
export interface ContainerSurvey extends ContainerPresence {
  readonly endpoints: readonly FoundEndpoint[];
  /** Namespaces that say that no container is in them. One that does not tell is not among them. */
  readonly emptyNamespaces: ReadonlySet<string>;
}

/** See the module. All methods may throw `OverlayError`s. */
export interface ContainerNetworks {
  /** Why every call fails at once; `undefined` while they do not. */
  readonly trouble: string | undefined;
  /** Why there is no such service on this host, if the last call found none. */
  readonly absence: string | undefined;
  /** Calls back each time after such trouble has ended. */
  onRecovered(listener: () => void): void;
  /** A fresh id. */
  newId(): string;
  /** The id in a text, braces and case as may be; `undefined` if it is none. */
  parseId(text: string): string | undefined;
  /** Name of a network, also where there is none. */
  networkName(network: Pick<ContainerNetworkSpec, "deployment" | "service">): string;

  /**
   * Makes the network right: adopted, made, or made anew where nothing is on it.
   * @throws {PreconditionError} If one of that name has another subnet, or another type, and is in use.
   */
  ensureNetwork(network: ContainerNetworkSpec): Promise<void>;
  /** Removes a dedicated service's network with every endpoint of ours on it. */
  removeNetwork(network: RemovedNetwork): Promise<void>;

  /**
   * Connects a container. All or nothing.
   * @throws {IncompleteUndoError} If it failed and so did undoing it.
   */
  attach(spec: ContainerEndpointSpec): Promise<ContainerConnection>;
  /**
   * Makes a connection whole that was damaged from outside: the endpoint is made again as it was, and put into its
   * namespace. What is there already is kept, so it may be tried again after an error.
   * @returns `lost` if the namespace is gone: a container cannot be given another one.
   */
  repair(spec: ContainerRepairSpec): Promise<"whole" | "lost">;
  /** Whether a place is whole, gone, or neither. */
  inspect(place: ContainerPlace): Promise<"whole" | "gone" | "broken">;
  /**
   * Removes endpoints and their namespace; the system's own and one that holds others stays. Where there is no such
   * service any more, they are gone.
   * @throws {TeardownError} When all was tried and something failed.
   */
  detach(place: ContainerPlace): Promise<void>;
  /**
   * Endpoints in a namespace, if all of them that are there are this deployment's; `undefined` if not, or if there is
   * none. A host may keep ids of endpoints that are gone, and those prove nothing.
   */
  claim(deployment: string, namespace: string): Promise<readonly string[] | undefined>;
  /** Lists ids: three calls, however much there is. Networks that are gone are believed in no longer. */
  present(): Promise<ContainerPresence>;
  /** Lists what there is, and reads all of it. */
  survey(deployment: string): Promise<ContainerSurvey>;
  /**
   * Removes everything of this installation, for good: networks that the marker knows, or that are named as the
   * deployment's, endpoints first.
   * @param places Of containers that there are records of: nothing else tells whose a namespace is once its endpoints
   * are out of it.
   * @returns What could not be removed, in words.
   */
  purge(deployment: string, places?: readonly ContainerPlace[]): Promise<string[]>;
  /**
   * Namespaces in which neither container nor endpoint is, whoever made them: nothing shows whose they are.
   */
  ownerless(): Promise<readonly string[]>;
  close(): void;
}
