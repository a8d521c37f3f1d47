/**
 * What `ContainerNetworks` are tested with: they act on a Host Networking Service, and an observer that knows nothing
 * of them reads what that has, changes it as another program would, and makes it fail.
 */

import type {
  ContainerEndpointSpec,
  ContainerNetworks,
  ContainerNetworkSpec,
} from "../../../core/backend/containers.ts";
import { type IpPrefix, parsePrefix } from "../../../core/ip/prefix.ts";
import type { MarkerEntry } from "../../../core/marker.ts";

/** A network as the service has it. */
export interface SeenNetwork {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly subnet: string;
}

/** An endpoint as the service has it. */
export interface SeenEndpoint {
  readonly id: string;
  readonly name: string;
  readonly network: string;
  readonly ip: string;
}

/** A namespace as the service has it; `endpoints` that are gone are left out. */
export interface SeenNamespace {
  readonly id: string;
  readonly endpoints: readonly string[];
}

/** Everything, sorted by id; the system's own namespace is left out. */
export interface SeenState {
  readonly networks: readonly SeenNetwork[];
  readonly endpoints: readonly SeenEndpoint[];
  readonly namespaces: readonly SeenNamespace[];
}

/** What a service keeps. */
export type SeenKind = "Network" | "Endpoint" | "Namespace";

/** The service as someone else sees and disturbs it. */
export interface ServiceObserver {
  state(): SeenState;
  /** Functions called since the last time, in order, without `Hcn`; closes are left out. */
  taken(): string[];
  plantNetwork(network: SeenNetwork): void;
  plantEndpoint(endpoint: SeenEndpoint): void;
  plantNamespace(namespace: SeenNamespace): void;
  deleteByHand(kind: SeenKind, id: string): Promise<void>;
  /** The next calls of a function fail so, `times` of them, 1 unless given. */
  fail(name: string, hresult: number, times?: number): void;
  /** The next call of a function comes back only after {@linkcode release}, before or after it has done its work. */
  hang(name: string, when?: "before" | "after"): void;
  release(): void;
  /** Calls that hang now. */
  hanging(): number;
  /** The service starts anew: open handles are dead, and all objects forgotten unless they are to be kept. */
  restart(options?: { readonly keepObjects?: boolean }): void;
  /** The next namespace gets this id, whatever is asked for. */
  assignNamespace(id: string): void;
  /** The next endpoint gets this address, whatever is asked for. */
  assignAddress(ip: string): void;
  /** Handles and strings that are out, and rules that were broken. */
  problems(): string[];
}

/** See the module. The clock stands still unless {@linkcode ContainersRig.drive} or `advance` moves it. */
export interface ContainersRig extends AsyncDisposable {
  readonly containers: ContainerNetworks;
  readonly host: ServiceObserver;
  /** Entries of the file that an uninstaller reads. */
  readonly marker: readonly MarkerEntry[];
  nowMs(): number;
  advance(ms: number): void;
  /** Lets work run, and moves the clock on whenever it waits for that. */
  drive<T>(work: Promise<T>): Promise<T>;
  /** Another process on the same host, as after a restart of the daemon. */
  reopen(): void;
}

/** A test of the contract. */
export type ContainersBody = (rig: ContainersRig) => Promise<void>;

/** Takes the tests of a part. */
export type ContainersRegister = (title: string, body: ContainersBody) => void;

/** The system's own namespace. */
export const SYSTEM_NAMESPACE = "910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc";

/** HRESULTs that tests answer with. */
export const REFUSED = 0x803b001b, ACCESS_DENIED = 0x80070005, NO_SERVER = 0x800706ba, NOT_READY = 0x803b002f;

/** Deployment of the tests. */
export const DEPLOYMENT = "zlayer";

/** The node's network. */
export const BASE: ContainerNetworkSpec = { deployment: DEPLOYMENT, subnet: prefix("10.200.0.0/28") };
/** Name of it. */
export const BASE_NAME = "zlayer-overlay";
/** A dedicated service's. */
export const DB = {
  deployment: DEPLOYMENT,
  service: "db",
  subnet: prefix("10.200.0.16/28"),
} as const satisfies ContainerNetworkSpec;
/** Name of it. */
export const DB_NAME = "zlayer-overlay-svc-db";

/** A prefix of the tests. */
export function prefix(text: string): IpPrefix {
  return parsePrefix(text)!;
}

/** GUID number n. */
export function id(n: number): string {
  return `00000000-2222-4333-8444-${n.toString(16).padStart(12, "0")}`;
}

/** Endpoint of container `c<n>`, with address 10.200.0.<n>, for n from 2 to 14. */
export function endpoint(
  rig: ContainersRig,
  n: number,
  more: Partial<ContainerEndpointSpec> = {},
): ContainerEndpointSpec {
  return {
    network: BASE,
    containerId: `c${n}`,
    endpoint: id(n),
    namespace: id(100 + n),
    address: prefix(`10.200.0.${n}/28`),
    clusterCidr: prefix("10.200.0.0/16"),
    dns: {},
    giveUpAtMs: rig.nowMs() + 25_000,
    onNamespace: () => Promise.resolve(),
    ...more,
  };
}

/** The place that {@linkcode endpoint} makes. */
export function place(n: number): { readonly namespace: string; readonly endpoints: readonly string[] } {
  return { namespace: id(100 + n), endpoints: [id(n)] };
}

/** Names of the networks there are. */
export function networkNames({ host }: ContainersRig): string[] {
  return host.state().networks.map(({ name }) => name).sort();
}

/** How many networks, endpoints, namespaces there are. */
export function counts({ host }: ContainersRig): readonly number[] {
  const { networks, endpoints, namespaces } = host.state();
  return [networks.length, endpoints.length, namespaces.length];
}
