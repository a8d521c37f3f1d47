/**
 * The daemon's durable state: `overlayd.db`, SQLite in WAL mode, in the directory that is ours.
 *
 * The store keeps every record in memory too, loaded once, so that reads cost nothing and `status` never
 * touches the disk. Writes are transactions of two strengths:
 *
 * - {@linkcode StateStore.record} survives the death of the process, not a loss of power. That is as much as an
 *   intent needs, or a container's attachment: what they speak of is in the kernel's memory, which a loss of
 *   power takes away as well (identities carry the boot id, so that a later boot knows).
 * - {@linkcode StateStore.commit} survives both (`synchronous=FULL`): settings, services, keys, peers, names. The
 *   WAL is flushed in order, so a commit makes everything recorded before it durable too. Commits that wait
 *   at the same time share one flush.
 *
 * Memory follows only when a transaction has succeeded.
 */

import { ensurePrivateFile } from "../transport/private_path.ts";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { setImmediate } from "node:timers";
import type {
  AttachmentRecord,
  ContainerEndpointRecord,
  DnsRecord,
  GlobalDevice,
  GlobalSettings,
  GuestRecord,
  HeardEndpointRecord,
  KeyRecord,
  LeaseRecord,
  PeerRecord,
  ServiceRecord,
} from "./records.ts";
import { openDatabase } from "./database.ts";
import { peerKey, PeerTable, type PeerView } from "./peer_table.ts";
import { migrate } from "./schema.ts";

/** Single values kept by name. */
export interface Settings {
  readonly nodeId?: string;
  readonly localWgPublicKey?: string;
  readonly globalSettings?: GlobalSettings;
  readonly globalDevice?: GlobalDevice;
  readonly key?: KeyRecord;
  readonly hostSettings?: Readonly<Record<string, string>>;
  readonly dnsDefaults?: { readonly server?: string; readonly domain?: string };
}

/** Changes of one transaction. */
export interface StateWriter {
  /** `undefined` deletes. */
  setting<K extends keyof Settings>(key: K, value: Settings[K] | undefined): void;
  putService(record: ServiceRecord): void;
  deleteService(name: string): void;
  putLease(record: LeaseRecord): void;
  deleteLease(ip: string): void;
  putAttachment(record: AttachmentRecord): void;
  deleteAttachment(handle: string): void;
  putContainerEndpoint(record: ContainerEndpointRecord): void;
  deleteContainerEndpoint(endpoint: string): void;
  putGuest(record: GuestRecord): void;
  deleteGuest(id: string): void;
  putPeer(record: PeerRecord): void;
  /** Also forgets where it was heard from. */
  deletePeer(service: string, publicKey: string): void;
  putHeard(record: HeardEndpointRecord): void;
  deleteHeard(service: string, publicKey: string): void;
  putDns(record: DnsRecord): void;
  deleteDns(name: string): void;
}

/** Read side and commits; what the engine works with. */
export interface StateStore {
  readonly settings: Settings;
  readonly services: ReadonlyMap<string, ServiceRecord>;
  readonly leases: ReadonlyMap<string, LeaseRecord>;
  readonly attachments: ReadonlyMap<string, AttachmentRecord>;
  /** Keyed by the endpoint's GUID. */
  readonly containerEndpoints: ReadonlyMap<string, ContainerEndpointRecord>;
  readonly guests: ReadonlyMap<string, GuestRecord>;
  /** Keyed by {@linkcode peerKey}. */
  readonly peers: PeerView;
  /** Keyed by {@linkcode peerKey}; peers and guests. */
  readonly heard: ReadonlyMap<string, HeardEndpointRecord>;
  readonly dns: ReadonlyMap<string, DnsRecord>;
  /**
   * Records a change at once. `label` says what for, in logs and crash tests.
   * If it throws, neither disk nor memory has changed.
   */
  record(label: string, change: (write: StateWriter) => void): void;
  /** Makes a change durable. When this resolves it survives a loss of power; if it rejects, nothing has changed. */
  commit(label: string, change: (write: StateWriter) => void): Promise<void>;
  close(): void;
}

export { peerKey };

/**
 * Opens or makes the database, private. What SQLite makes beside it has the same mode on Unix; on Windows it has what
 * the directory hands down. The directory must exist.
 *
 * @throws {PreconditionError} If a newer release wrote it.
 */
export function openStateStore(path: string): StateStore {
  ensurePrivateFile(path);
  const db = openDatabase(path);
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 2000");
    migrate(db, path);
    return new SqliteStateStore(db);
  } catch (error) {
    db.close();
    throw error;
  }
}

/** SQL of every statement, by the name it is used under. */
const SQL = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  savepoint: "SAVEPOINT change",
  rollbackToSavepoint: "ROLLBACK TO change",
  releaseSavepoint: "RELEASE change",
  putSetting: "INSERT OR REPLACE INTO settings VALUES (?, ?)",
  deleteSetting: "DELETE FROM settings WHERE key = ?",
  putService: "INSERT OR REPLACE INTO services VALUES (?, ?)",
  deleteService: "DELETE FROM services WHERE name = ?",
  putLease: "INSERT OR REPLACE INTO leases VALUES (?, ?, ?)",
  deleteLease: "DELETE FROM leases WHERE ip = ?",
  putAttachment: "INSERT OR REPLACE INTO attachments VALUES (?, ?)",
  deleteAttachment: "DELETE FROM attachments WHERE handle = ?",
  putContainerEndpoint: "INSERT OR REPLACE INTO container_endpoints VALUES (?, ?)",
  deleteContainerEndpoint: "DELETE FROM container_endpoints WHERE endpoint = ?",
  putGuest: "INSERT OR REPLACE INTO guests VALUES (?, ?)",
  deleteGuest: "DELETE FROM guests WHERE id = ?",
  putPeer: "INSERT OR REPLACE INTO peers VALUES (?, ?, ?)",
  deletePeer: "DELETE FROM peers WHERE service = ? AND public_key = ?",
  putHeard: "INSERT OR REPLACE INTO heard_endpoints VALUES (?, ?, ?)",
  deleteHeard: "DELETE FROM heard_endpoints WHERE service = ? AND public_key = ?",
  putDns: "INSERT OR REPLACE INTO dns_records VALUES (?, ?)",
  deleteDns: "DELETE FROM dns_records WHERE name = ?",
} as const;

type Change = (write: StateWriter) => void;

/** How one change of a transaction went. */
interface Outcome {
  readonly error?: unknown;
}

class SqliteStateStore implements StateStore {
  readonly settings: Settings = {};
  readonly services = new Map<string, ServiceRecord>();
  readonly leases = new Map<string, LeaseRecord>();
  readonly attachments = new Map<string, AttachmentRecord>();
  readonly containerEndpoints = new Map<string, ContainerEndpointRecord>();
  readonly guests = new Map<string, GuestRecord>();
  readonly peers = new PeerTable();
  readonly heard = new Map<string, HeardEndpointRecord>();
  readonly dns = new Map<string, DnsRecord>();
  readonly #db: DatabaseSync;
  readonly #statements: Record<keyof typeof SQL, StatementSync>;
  readonly #waiting: { change: Change; resolve: () => void; reject: (error: unknown) => void }[] = [];
  #synchronous = "";

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)]),
    ) as Record<keyof typeof SQL, StatementSync>;
    this.#load();
  }

  record(_label: string, change: Change): void {
    const [outcome] = this.#transact([change], "NORMAL");
    if (outcome?.error !== undefined) throw outcome.error;
  }

  commit(_label: string, change: Change): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      // A later turn, so that whatever else is ready to commit in this one shares the flush.
      if (this.#waiting.length === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const batch = this.#waiting.splice(0);
    let outcomes: Outcome[];
    try {
      outcomes = this.#transact(batch.map(({ change }) => change), "FULL");
    } catch (error) {
      outcomes = batch.map(() => ({ error }));
    }
    for (const [i, { resolve, reject }] of batch.entries()) {
      const { error } = outcomes[i]!;
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  /** Runs changes as one transaction; one that throws is left out of it and does not spoil the others. */
  #transact(changes: readonly Change[], synchronous: "NORMAL" | "FULL"): Outcome[] {
    if (synchronous !== this.#synchronous) this.#db.exec(`PRAGMA synchronous = ${synchronous}`);
    this.#synchronous = synchronous;
    const applied: (() => void)[] = [];
    this.#statements.begin.run();
    try {
      const outcomes = changes.map((change) => this.#attempt(change, applied));
      this.#statements.commit.run();
      for (const apply of applied) apply();
      return outcomes;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #rollBack(): void {
    try {
      this.#statements.rollback.run();
    } catch {
      // On a full disk, among others, SQLite has rolled back by itself.
    }
  }

  #attempt(change: Change, applied: (() => void)[]): Outcome {
    const mine: (() => void)[] = [];
    this.#statements.savepoint.run();
    try {
      change(this.#writer(mine));
      applied.push(...mine);
      return {};
    } catch (error) {
      this.#statements.rollbackToSavepoint.run();
      return { error };
    } finally {
      this.#statements.releaseSavepoint.run();
    }
  }

  close(): void {
    if (this.#waiting.length > 0) this.#flush();
    this.#db.close();
  }

  #writer(applied: (() => void)[]): StateWriter {
    const s = this.#statements;
    const run = (statement: StatementSync, args: string[], apply: () => void): void => {
      statement.run(...args);
      applied.push(apply);
    };
    const json = JSON.stringify;
    const settings = this.settings as Record<string, unknown>;
    return {
      setting: (key, value): void =>
        value === undefined
          ? run(s.deleteSetting, [key], () => delete settings[key])
          : run(s.putSetting, [key, encode(value)], () => settings[key] = value),
      putService: (r): void => run(s.putService, [r.name, json(r)], () => this.services.set(r.name, r)),
      deleteService: (name): void => run(s.deleteService, [name], () => this.services.delete(name)),
      putLease: (r): void => run(s.putLease, [r.ip, r.pool, r.owner], () => this.leases.set(r.ip, r)),
      deleteLease: (ip): void => run(s.deleteLease, [ip], () => this.leases.delete(ip)),
      putAttachment: (r): void =>
        run(s.putAttachment, [r.handle, encode(r)], () => this.attachments.set(r.handle, r)),
      deleteAttachment: (handle): void =>
        run(s.deleteAttachment, [handle], () => this.attachments.delete(handle)),
      putContainerEndpoint: (r): void =>
        run(s.putContainerEndpoint, [r.endpoint, json(r)], () => this.containerEndpoints.set(r.endpoint, r)),
      deleteContainerEndpoint: (id): void =>
        run(s.deleteContainerEndpoint, [id], () => this.containerEndpoints.delete(id)),
      putGuest: (r): void => run(s.putGuest, [r.id, json(r)], () => this.guests.set(r.id, r)),
      deleteGuest: (id): void => run(s.deleteGuest, [id], () => this.guests.delete(id)),
      putPeer: (r): void =>
        run(
          s.putPeer,
          [r.service, r.publicKey, json(r)],
          () => this.peers.put(r),
        ),
      deletePeer: (service, publicKey): void => {
        run(s.deletePeer, [service, publicKey], () => this.peers.delete(peerKey(service, publicKey)));
        run(s.deleteHeard, [service, publicKey], () => this.heard.delete(peerKey(service, publicKey)));
      },
      putHeard: (r): void =>
        run(
          s.putHeard,
          [r.service, r.publicKey, json(r)],
          () => this.heard.set(peerKey(r.service, r.publicKey), r),
        ),
      deleteHeard: (service, publicKey): void =>
        run(s.deleteHeard, [service, publicKey], () => this.heard.delete(peerKey(service, publicKey))),
      putDns: (r): void => run(s.putDns, [r.name, r.ip], () => this.dns.set(r.name, r)),
      deleteDns: (name): void => run(s.deleteDns, [name], () => this.dns.delete(name)),
    };
  }

  #load(): void {
    const rows = (table: string): Record<string, string>[] =>
      this.#db.prepare(`SELECT * FROM ${table}`).all() as Record<string, string>[];
    for (const row of rows("settings")) {
      (this.settings as Record<string, unknown>)[row.key!] = decode(row.document!);
    }
    for (const row of rows("services")) this.services.set(row.name!, decode<ServiceRecord>(row.document!));
    for (const row of rows("leases")) {
      this.leases.set(row.ip!, { ip: row.ip!, pool: row.pool!, owner: row.owner! });
    }
    for (const row of rows("attachments")) {
      this.attachments.set(row.handle!, decode<AttachmentRecord>(row.document!));
    }
    for (const row of rows("container_endpoints")) {
      this.containerEndpoints.set(row.endpoint!, decode<ContainerEndpointRecord>(row.document!));
    }
    for (const row of rows("guests")) this.guests.set(row.id!, decode<GuestRecord>(row.document!));
    for (const row of rows("peers")) this.peers.put(decode<PeerRecord>(row.document!));
    for (const row of rows("heard_endpoints")) {
      this.heard.set(peerKey(row.service!, row.public_key!), decode<HeardEndpointRecord>(row.document!));
    }
    for (const row of rows("dns_records")) this.dns.set(row.name!, { name: row.name!, ip: row.ip! });
  }
}

/** JSON with u64 values (ticks, inodes) as `{"$u64":"…"}`: a double would round them. */
function encode(value: unknown): string {
  return JSON.stringify(value, (_key, v) => typeof v === "bigint" ? { $u64: v.toString() } : v);
}

function decode<T>(text: string): T {
  return JSON.parse(text, (_key, v) => {
    const u64 = v !== null && typeof v === "object" ? (v as { $u64?: unknown }).$u64 : undefined;
    return typeof u64 === "string" ? BigInt(u64) : v;
  }) as T;
}
