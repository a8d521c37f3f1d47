/**
 * What HCN answers, read leniently: both versions of the documents, keys in any case, unknown keys and types.
 *
 * Version 1 comes where a service ignores the version asked for. It keeps a namespace's endpoints in
 * `ResourceList`, has an object of another kind under `Resources`, and calls an endpoint's network
 * `VirtualNetwork`.
 */

import { z } from "zod";
import { type Guid, NIL_GUID, parseGuid } from "../../../ffi/windows/guid.ts";
import { OverlayError } from "../../errors.ts";
import { quote } from "../../quote.ts";

/** A network as it is. */
export interface NetworkReading {
  /** Absent when the answer has none that can be read. */
  readonly id?: Guid;
  readonly name: string;
  /** `Internal`, `Transparent`, `NAT`…; empty where HCN says none. */
  readonly type: string;
  /** CIDRs as written. */
  readonly subnets: readonly string[];
}

/** An endpoint as it is. */
export interface EndpointReading {
  readonly id?: Guid;
  readonly name: string;
  readonly network?: Guid;
  /** Absent when it is in none, or the answer does not say. */
  readonly namespace?: Guid;
  readonly ip?: string;
  readonly prefixLength?: number;
  /** As written: six bytes in hex, dashes or colons between. */
  readonly mac?: string;
}

/** A namespace as it is. */
export interface NamespaceReading {
  readonly id?: Guid;
  /** `Host`, `HostDefault`, `Guest`…; empty where HCN says none. */
  readonly type: string;
  readonly endpoints: readonly Guid[];
  /** Whether containers are in it; `undefined` where the answer has no word for that. */
  readonly hasContainers?: boolean;
}

/** The one namespace that belongs to the system. */
const HOST_DEFAULT: Guid = "910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc";

const text = z.string().catch("");
const guid = z.string().transform((value) => {
  const id = parseGuid(value);
  return id === NIL_GUID ? undefined : id;
}).optional().catch(undefined);
/** A list, or nothing where there is none; elements that do not fit are left out. */
const list = <T extends z.ZodType>(element: T): z.ZodType<z.output<T>[]> =>
  z.array(z.unknown()).catch([]).transform((items) =>
    items.flatMap((item) => {
      const result = element.safeParse(item);
      return result.success ? [result.data as z.output<T>] : [];
    })
  );

const NETWORK = z.object({
  id: guid,
  name: text,
  type: text,
  ipams: list(z.object({ subnets: list(z.object({ ipaddressprefix: z.string() })) })),
  subnets: list(z.object({ addressprefix: z.string() })),
});

const IP_CONFIGURATION = z.object({ ipaddress: text, prefixlength: z.number().optional().catch(undefined) });

const ENDPOINT = z.object({
  id: guid,
  name: text,
  hostcomputenetwork: guid,
  virtualnetwork: guid,
  hostcomputenamespace: guid,
  macaddress: text,
  ipconfigurations: list(IP_CONFIGURATION),
  ...IP_CONFIGURATION.shape,
});

/** A container's id is not always a GUID. */
const RESOURCES = list(z.object({ type: text, data: z.object({ id: guid }).catch({ id: undefined }) }));

const NAMESPACE = z.object({
  id: guid,
  type: text,
  isdefault: z.boolean().catch(false),
  resources: RESOURCES,
  resourcelist: RESOURCES,
  containers: z.array(z.unknown()).optional().catch(undefined),
});

/** Reads a network. @throws {OverlayError} If the text is no JSON object. */
export function readNetwork(answer: string): NetworkReading {
  const network = parse(answer, NETWORK, "a network");
  const subnets = network.ipams.flatMap((ipam) => ipam.subnets.map((subnet) => subnet.ipaddressprefix));
  return {
    ...withId(network.id),
    name: network.name,
    type: network.type,
    subnets: subnets.length > 0 ? subnets : network.subnets.map((subnet) => subnet.addressprefix),
  };
}

/** Reads an endpoint. @throws {OverlayError} If the text is no JSON object. */
export function readEndpoint(answer: string): EndpointReading {
  const endpoint = parse(answer, ENDPOINT, "an endpoint");
  const network = endpoint.hostcomputenetwork ?? endpoint.virtualnetwork;
  const namespace = endpoint.hostcomputenamespace;
  const configuration = endpoint.ipconfigurations[0] ?? endpoint;
  const { ipaddress: ip, prefixlength: prefixLength } = configuration;
  return {
    ...withId(endpoint.id),
    name: endpoint.name,
    ...(network ? { network } : {}),
    ...(namespace ? { namespace } : {}),
    ...(ip === "" ? {} : { ip }),
    ...(prefixLength === undefined ? {} : { prefixLength }),
    ...(endpoint.macaddress === "" ? {} : { mac: endpoint.macaddress }),
  };
}

/** Reads a namespace. @throws {OverlayError} If the text is no JSON object. */
export function readNamespace(answer: string): NamespaceReading {
  const namespace = parse(answer, NAMESPACE, "a namespace");
  const isV2 = namespace.resources.length > 0;
  const resources = isV2 ? namespace.resources : namespace.resourcelist;
  const isOf = (kind: string) => ({ type }: { type: string }): boolean => type.toLowerCase() === kind;
  const isOccupied = resources.some(isOf("container")) || (namespace.containers?.length ?? 0) > 0;
  return {
    ...withId(namespace.id),
    ...(isOccupied || isV2 || namespace.containers ? { hasContainers: isOccupied } : {}),
    type: namespace.type === "" && namespace.isdefault ? "HostDefault" : namespace.type,
    endpoints: resources.filter(isOf("endpoint")).flatMap(({ data }) => data.id ? [data.id] : []),
  };
}

/** Whether a network is a switch of its own, on which the host has an adapter with the gateway's address. */
export function isInternal({ type }: Pick<NetworkReading, "type">): boolean {
  return /^internal$/i.test(type);
}

/** Whether a network is bridged to an adapter of the host, which keeps the address it has. */
export function isTransparent({ type }: Pick<NetworkReading, "type">): boolean {
  return /^transparent$/i.test(type);
}

/** Whether a namespace is the system's own: it is never changed. */
export function isSystemNamespace(id: Guid, { type }: Pick<NamespaceReading, "type">): boolean {
  return id === HOST_DEFAULT || /default$/i.test(type);
}

/**
 * Reads the answer of an enumeration.
 *
 * @param onBad Told of each element that is no GUID; the others count.
 * @throws {OverlayError} If it is no list: "nothing there" would be a dangerous guess.
 */
export function readGuidList(answer: string, onBad: (element: unknown) => void): Guid[] {
  if (answer === "") return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer);
  } catch {
    parsed = undefined;
  }
  if (!Array.isArray(parsed)) {
    throw new OverlayError("internal", `HCN answered ${quote(answer)} where a list of ids was expected`);
  }
  return parsed.flatMap((element: unknown) => {
    const id = typeof element === "string" ? parseGuid(element) : undefined;
    if (id === undefined) onBad(element);
    return id === undefined ? [] : [id];
  });
}

function withId(id: Guid | undefined): { id?: Guid } {
  return id === undefined ? {} : { id };
}

function parse<T extends z.ZodType>(answer: string, schema: T, what: string): z.output<T> {
  let parsed: unknown;
  try {
    parsed = lowerKeys(JSON.parse(answer));
  } catch {
    parsed = undefined;
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data as z.output<T>;
  throw new OverlayError("internal", `HCN answered ${quote(answer)} where ${what} was expected`);
}

/** Services differ in how they write keys (`ID`, `Id`; `IPConfigurations`, `IpConfigurations`). */
function lowerKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerKeys);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key.toLowerCase(), lowerKeys(inner)]),
  );
}
