/**
 * A subnet table as JSON text, and back:
 * `{"cluster_cidr":"10.200.0.0/16","slice_prefix":28,"assignments":[[["web","0"],"10.200.46.224/28"]]}`.
 */

import { z } from "zod";
import { InvalidConfigError } from "../errors.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import { decodeJson } from "../json.ts";
import { quote } from "../quote.ts";
import { ServiceSubnetRegistry, type SubnetRegistryOptions } from "./subnet_registry.ts";

const SNAPSHOT = z.object({
  cluster_cidr: z.string(),
  slice_prefix: z.int().min(0),
  assignments: z.array(z.tuple([z.tuple([z.string(), z.string()]), z.string()])),
});

/** Writes the table; equal tables give equal bytes. */
export function encodeSubnetSnapshot(registry: ServiceSubnetRegistry): string {
  return JSON.stringify({
    cluster_cidr: formatPrefix(registry.cluster),
    slice_prefix: registry.subnetLength,
    assignments: registry.assignments().map((one) => [[one.service, one.node], formatPrefix(one.subnet)]),
  });
}

/**
 * Builds a registry from a snapshot.
 *
 * @throws {InvalidConfigError} If it is no snapshot, or a subnet has another length or lies outside the cluster.
 * @throws {AlreadyExistsError} If two pairs hold one subnet.
 */
export function decodeSubnetSnapshot(
  text: string,
  options: SubnetRegistryOptions = {},
): ServiceSubnetRegistry {
  const snapshot = decodeJson(text, SNAPSHOT, "snapshot of service subnets");
  const registry = new ServiceSubnetRegistry(
    cidr(snapshot.cluster_cidr, "cluster_cidr"),
    snapshot.slice_prefix,
    options,
  );
  for (const [[service, node], subnet] of snapshot.assignments) {
    registry.adopt(service, node, cidr(subnet, `assignments[${quote(service)}]`));
  }
  return registry;
}

function cidr(text: string, field: string): IpPrefix {
  const prefix = parsePrefix(text);
  if (prefix) return prefix;
  throw new InvalidConfigError(`snapshot of service subnets: ${field} ${quote(text)} is not a CIDR`);
}
