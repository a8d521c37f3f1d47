/**
 * What the caller's files say about this node: `node_config.json` and `overlay_bootstrap.json`.
 *
 * Callers of today send node id 0, no slice and no key over IPC, while the cluster advertises those of the
 * files; so a node that reads them fits into its cluster. Both belong to the caller: they are read, never
 * written, and one that is missing or odd is no reason to stop.
 */

import { z } from "zod";
import { describeError, InvalidConfigError } from "./errors.ts";
import type { IpAddress } from "./ip/address.ts";
import { formatIp, parseIp } from "./ip/address.ts";
import {
  formatPrefix,
  type IpPrefix,
  lastAddress,
  networkAddress,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixEquals,
} from "./ip/prefix.ts";
import { decodeJson } from "./json.ts";
import { quote } from "./quote.ts";
import { decodeKeyPair, type KeyPair } from "./wireguard/keys.ts";

/** Name of the file that holds the node's key pair and id. */
export const NODE_CONFIG_FILE = "node_config.json";
/** Name of the file that holds the node's place in the overlay. */
export const BOOTSTRAP_FILE = "overlay_bootstrap.json";

const U64_MAX = (1n << 64n) - 1n;

const NODE_CONFIG = z.object({
  raft_node_id: z.union([z.int(), z.bigint()]).nullish(),
  wireguard_private_key: z.string().nullish(),
  wireguard_public_key: z.string().nullish(),
});

const BOOTSTRAP = z.object({
  config: z.object({
    cidr: z.string(),
    node_ip: z.string(),
    slice_cidr: z.string().nullish(),
  }),
});

/** The part of `node_config.json` that concerns us. */
export interface NodeConfig {
  /** 0 to 2^64-1. */
  readonly raftNodeId?: bigint;
  /** The pair that the cluster advertises for this node. */
  readonly keys?: KeyPair;
}

/** The part of `overlay_bootstrap.json` that concerns us. */
export interface OverlayBootstrap {
  readonly clusterCidr: IpPrefix;
  readonly nodeIp: IpAddress;
  readonly sliceCidr?: IpPrefix;
}

/** Both files, as far as they could be read. */
export interface NodeFiles {
  readonly nodeConfig?: NodeConfig;
  readonly bootstrap?: OverlayBootstrap;
  /** What is wrong with files that exist, for the log; never a key. */
  readonly problems: readonly string[];
}

/**
 * Reads `node_config.json`.
 *
 * @throws {InvalidConfigError} If it is none, or its key pair is broken; the message holds no key.
 */
export function decodeNodeConfig(text: string): NodeConfig {
  const file = decodeJson(text, NODE_CONFIG, "node configuration");
  const id = file.raft_node_id === null || file.raft_node_id === undefined
    ? undefined
    : BigInt(file.raft_node_id);
  if (id !== undefined && (id < 0n || id > U64_MAX)) {
    throw new InvalidConfigError(`raft_node_id ${id} does not fit into 64 bits`);
  }
  const keys = file.wireguard_private_key
    ? decodeKeyPair(file.wireguard_private_key, file.wireguard_public_key ?? "")
    : undefined;
  return { ...(id === undefined ? {} : { raftNodeId: id }), ...(keys ? { keys } : {}) };
}

/**
 * Reads `overlay_bootstrap.json`.
 *
 * @throws {InvalidConfigError} If it is none; the message names the field.
 */
export function decodeBootstrap(text: string): OverlayBootstrap {
  const { config } = decodeJson(text, BOOTSTRAP, "overlay bootstrap");
  const nodeIp = parseIp(config.node_ip);
  if (!nodeIp) throw new InvalidConfigError(`config.node_ip ${quote(config.node_ip)} is not an IP address`);
  const sliceCidr = config.slice_cidr ? cidr("config.slice_cidr", config.slice_cidr) : undefined;
  return { clusterCidr: cidr("config.cidr", config.cidr), nodeIp, ...(sliceCidr ? { sliceCidr } : {}) };
}

function cidr(field: string, text: string): IpPrefix {
  const prefix = parsePrefix(text);
  if (prefix) return prefix;
  throw new InvalidConfigError(`${field} ${quote(text)} is not a CIDR`);
}

/**
 * Reads both files. Missing ones are silent, broken ones become a problem each.
 *
 * @param readFile Text of a file of the data directory by its name, `undefined` if there is none.
 */
export async function readNodeFiles(
  readFile: (name: string) => Promise<string | undefined>,
): Promise<NodeFiles> {
  const problems: string[] = [];
  const read = async <T>(name: string, decode: (text: string) => T): Promise<T | undefined> => {
    try {
      const text = await readFile(name);
      return text === undefined ? undefined : decode(text);
    } catch (error) {
      problems.push(`${name} is not used: ${describeError(error)}`);
      return undefined;
    }
  };
  const nodeConfig = await read(NODE_CONFIG_FILE, decodeNodeConfig);
  const bootstrap = await read(BOOTSTRAP_FILE, decodeBootstrap);
  return { ...(nodeConfig ? { nodeConfig } : {}), ...(bootstrap ? { bootstrap } : {}), problems };
}

/** The addresses a node takes its own from, and the one it is known by. */
export interface NodePlan {
  /** What the node pool is cut from: the slice where there is one, else the whole cluster. */
  readonly pool: IpPrefix;
  /** Slice in force; absent if neither the request nor the files have one. */
  readonly slice?: IpPrefix;
  /** Address that the cluster knows this node by; absent: the pool's first. */
  readonly nodeIp?: IpAddress;
  /** Why something of the bootstrap file was left out, for the log. */
  readonly problems: readonly string[];
}

/**
 * Fits the bootstrap file to a `setup_global_overlay`: what the request says holds, the file fills the gaps
 * where it speaks of the same cluster.
 *
 * @param request CIDRs of the request.
 */
export function planNode(
  request: { readonly cluster: IpPrefix; readonly slice?: IpPrefix },
  bootstrap: OverlayBootstrap | undefined,
): NodePlan {
  const asRequested = (problems: string[]): NodePlan => ({
    pool: request.slice ?? request.cluster,
    ...(request.slice ? { slice: request.slice } : {}),
    problems,
  });
  if (!bootstrap) return asRequested([]);
  if (!prefixEquals(bootstrap.clusterCidr, request.cluster)) {
    return asRequested([
      `${BOOTSTRAP_FILE} is not used: its cluster ${
        formatPrefix(bootstrap.clusterCidr)
      } is not the requested ` +
      formatPrefix(request.cluster),
    ]);
  }
  const fromFile = bootstrap.sliceCidr;
  if (!request.slice && fromFile && !prefixCovers(request.cluster, fromFile)) {
    return asRequested([
      `${BOOTSTRAP_FILE} is not used: its slice ${formatPrefix(fromFile)} is outside cluster ` +
      formatPrefix(request.cluster),
    ]);
  }
  const slice = request.slice ?? fromFile;
  const pool = slice ?? request.cluster;
  const usable = isHostAddress(pool, bootstrap.nodeIp);
  return {
    pool,
    ...(slice ? { slice } : {}),
    ...(usable ? { nodeIp: bootstrap.nodeIp } : {}),
    problems: usable ? [] : [
      `${BOOTSTRAP_FILE}: node_ip ${formatIp(bootstrap.nodeIp)} is not used: no host address of ${
        formatPrefix(pool)
      }`,
    ],
  };
}

function isHostAddress(pool: IpPrefix, ip: IpAddress): boolean {
  if (!prefixContains(pool, ip) || ip.value === networkAddress(pool).value) return false;
  return ip.family === 6 || ip.value !== lastAddress(pool).value;
}
