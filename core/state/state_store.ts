/**
 * The daemon's durable state: `<data_dir>/overlayd.db`, SQLite in WAL mode with `synchronous=FULL`.
 *
 * The store keeps every record in memory too, loaded once, so that reads cost nothing and `status` never
 * touches the disk. Writes go through {@linkcode StateStore.commit} only: what the callback changes is one
 * transaction, durable when `commit` returns, and memory follows only then.
 */

import { DatabaseSync, type StatementSync } from "node:sqlite";
import type {
  AttachmentRecord,
  DnsRecord,
  GlobalDevice,
  GlobalSettings,
  GuestRecord,
  KeyRecord,
  LeaseRecord,
  PeerRecord,
  ServiceRecord,
} from "./records.ts";
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
  putGuest(record: GuestRecord): void;
  deleteGuest(id: string): void;
  putPeer(record: PeerRecord): void;
  deletePeer(service: string, publicKey: string): void;
  putDns(record: DnsRecord): void;
  deleteDns(name: string): void;
}

/** Read side and commits; what the engine works with. */
export interface StateStore {
  readonly settings: Settings;
  readonly services: ReadonlyMap<string, ServiceRecord>;
  readonly leases: ReadonlyMap<string, LeaseRecord>;
  readonly attachments: ReadonlyMap<string, AttachmentRecord>;
  readonly guests: ReadonlyMap<string, GuestRecord>;
  /** Keyed by {@linkcode peerKey}. */
  readonly peers: ReadonlyMap<string, PeerRecord>;
  readonly dns: ReadonlyMap<string, DnsRecord>;
  /**
   * Runs `change` as one durable transaction. `label` says what for, in logs and crash tests.
   * If it throws, neither disk nor memory has changed.
   */
  commit(label: string, change: (write: StateWriter) => void): void;
  close(): void;
}

/** Key of a peer in {@linkcode StateStore.peers}. */
export function peerKey(service: string, publicKey: string): string {
  return `${service}\u0000${publicKey}`;
}

/**
 * Opens or makes the database with mode 0600 (SQLite gives its WAL the same); the directory must exist.
 *
 * @throws {PreconditionError} If a newer release wrote it.
 */
export function openStateStore(path: string): StateStore {
  Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
  if (Deno.build.os !== "windows") Deno.chmodSync(path, 0o600);
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000");
    migrate(db, path);
    return new SqliteStateStore(db);
  } catch (error) {
    db.close();
    throw error;
  }
}

/** SQL of every statement, by the name it is used under. */
const SQL = {
  putSetting: "INSERT OR REPLACE INTO settings VALUES (?, ?)",
  deleteSetting: "DELETE FROM settings WHERE key = ?",
  putService: "INSERT OR REPLACE INTO services VALUES (?, ?)",
  deleteService: "DELETE FROM services WHERE name = ?",
  putLease: "INSERT OR REPLACE INTO leases VALUES (?, ?, ?)",
  deleteLease: "DELETE FROM leases WHERE ip = ?",
  putAttachment: "INSERT OR REPLACE INTO attachments VALUES (?, ?)",
  deleteAttachment: "DELETE FROM attachments WHERE handle = ?",
  putGuest: "INSERT OR REPLACE INTO guests VALUES (?, ?)",
  deleteGuest: "DELETE FROM guests WHERE id = ?",
  putPeer: "INSERT OR REPLACE INTO peers VALUES (?, ?, ?)",
  deletePeer: "DELETE FROM peers WHERE service = ? AND public_key = ?",
  putDns: "INSERT OR REPLACE INTO dns_records VALUES (?, ?)",
  deleteDns: "DELETE FROM dns_records WHERE name = ?",
} as const;

class SqliteStateStore implements StateStore {
  readonly settings: Settings = {};
  readonly services = new Map<string, ServiceRecord>();
  readonly leases = new Map<string, LeaseRecord>();
  readonly attachments = new Map<string, AttachmentRecord>();
  readonly guests = new Map<string, GuestRecord>();
  readonly peers = new Map<string, PeerRecord>();
  readonly dns = new Map<string, DnsRecord>();
  readonly #db: DatabaseSync;
  readonly #statements: Record<keyof typeof SQL, StatementSync>;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)]),
    ) as Record<keyof typeof SQL, StatementSync>;
    this.#load();
  }

  commit(_label: string, change: (write: StateWriter) => void): void {
    const applied: (() => void)[] = [];
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      change(this.#writer(applied));
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
    for (const apply of applied) apply();
  }

  close(): void {
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
      putGuest: (r): void => run(s.putGuest, [r.id, json(r)], () => this.guests.set(r.id, r)),
      deleteGuest: (id): void => run(s.deleteGuest, [id], () => this.guests.delete(id)),
      putPeer: (r): void =>
        run(
          s.putPeer,
          [r.service, r.publicKey, json(r)],
          () => this.peers.set(peerKey(r.service, r.publicKey), r),
        ),
      deletePeer: (service, publicKey): void =>
        run(s.deletePeer, [service, publicKey], () => this.peers.delete(peerKey(service, publicKey))),
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
    for (const row of rows("guests")) this.guests.set(row.id!, decode<GuestRecord>(row.document!));
    for (const row of rows("peers")) {
      this.peers.set(peerKey(row.service!, row.public_key!), decode<PeerRecord>(row.document!));
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
