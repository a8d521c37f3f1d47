/** What the parts of the engine share. */

import type { NetworkBackend, OwnerTag } from "../backend/backend.ts";
import type { Clock } from "../clock.ts";
import { fnv1a64, hex64 } from "../hash/fnv.ts";
import type { KeyedLock } from "../keyed_lock.ts";
import type { Log } from "../log.ts";
import type { MarkerFile } from "../marker_file.ts";
import type { NodeFiles } from "../node_config.ts";
import type { KeyRecord } from "../state/records.ts";
import type { StateStore } from "../state/state_store.ts";
import type { Turnstile } from "../turnstile.ts";
import { encodeKey, generateKeyPair, type KeyPair } from "../wireguard/keys.ts";
import type { AddressBook } from "./address_book.ts";
import type { LostContainers } from "./lost_containers.ts";

/** Handed to every part of the engine. */
export interface EngineContext {
  readonly backend: NetworkBackend;
  readonly store: StateStore;
  readonly marker: MarkerFile;
  readonly addresses: AddressBook;
  readonly locks: KeyedLock;
  /** Work on containers, one by one, so that a crowd of them keeps nobody else waiting. */
  readonly turns: Turnstile;
  readonly clock: Clock;
  readonly log: Log;
  /** 16 hex digits made of the data directory. */
  readonly installation: string;
  /** Reads `node_config.json` and `overlay_bootstrap.json` anew: the caller may rewrite them. */
  readonly readNodeFiles: () => Promise<NodeFiles>;
  /** Trouble with an object that should be fine, by object id; shown in `status`. */
  readonly problems: Map<string, string>;
  /** Containers of Windows that the host lost whole; shown in `status`. */
  readonly lost: LostContainers;
}

/** Object id of what containers of Windows depend on. */
export const CONTAINERS = "containers";

/** Key of a container of Windows in locks, leases and what operators see. */
export function containerHandle(containerId: string): string {
  return `container:${containerId}`;
}

/** A fresh key pair as it is kept. */
export function newKeyRecord(): KeyRecord {
  return toKeyRecord(generateKeyPair((bytes) => void crypto.getRandomValues(bytes)));
}

/** A key pair as it is kept: base64. */
export function toKeyRecord(pair: KeyPair): KeyRecord {
  return { privateKey: encodeKey(pair.privateKey), publicKey: encodeKey(pair.publicKey) };
}

/** All owner tags start so, whoever the deployment. */
export const TAG_PREFIX = "zlayer-overlayd/";

/** Name of this installation: 16 hex digits of the FNV-1a hash of its data directory. */
export function installationId(dataDir: string): string {
  return hex64(fnv1a64(new TextEncoder().encode(dataDir)));
}

/** Owner tag of an object of this installation. */
export function ownerTag(context: EngineContext, object: string): OwnerTag {
  const deployment = context.store.settings.globalSettings?.deployment ?? "";
  return `${TAG_PREFIX}${deployment}/${context.installation}:${object}`;
}

/** Whether the tag was made by this installation, under any deployment. */
export function isTagOf(installation: string, tag: OwnerTag): boolean {
  return tag.startsWith(TAG_PREFIX) && tag.includes(`/${installation}:`);
}
