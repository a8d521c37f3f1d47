/** Databases of other releases: what an update finds, and what going back finds. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import { PreconditionError } from "../../../core/errors.ts";
import { openStateStore } from "../../../core/state/state_store.ts";

/** What the first release wrote; never to be edited, as files of it exist. */
const VERSION_1 = `
  CREATE TABLE settings   (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE services   (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE leases     (ip TEXT PRIMARY KEY, pool TEXT NOT NULL, owner TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX leases_by_owner ON leases (owner);
  CREATE TABLE attachments(handle TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE guests     (id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE peers      (service TEXT NOT NULL, public_key TEXT NOT NULL, document TEXT NOT NULL,
                           PRIMARY KEY (service, public_key)) STRICT, WITHOUT ROWID;
  CREATE TABLE dns_records(name TEXT PRIMARY KEY, ip TEXT NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO leases VALUES ('10.200.0.5', 'node', 'pid:42');
  INSERT INTO peers VALUES ('', 'key', '{"service":"","publicKey":"key","endpoint":"192.0.2.1:51420",
                            "allowedIps":["10.200.1.0/28"],"keepaliveSeconds":25}');
  INSERT INTO dns_records VALUES ('web.test', '10.200.0.5');
  PRAGMA user_version = 1;
`;
const PEER = {
  service: "",
  publicKey: "key",
  endpoint: "192.0.2.1:51420",
  allowedIps: ["10.200.1.0/28"],
  keepaliveSeconds: 25,
};

/** Runs a body on a database of the first release, changed by `sql`. */
async function withDatabase(sql: string, body: (path: string) => Promise<void> | void): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  try {
    const path = join(dir, "overlayd.db");
    const db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(VERSION_1 + sql);
    db.close();
    await body(path);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function version(path: string): unknown {
  const db = new DatabaseSync(path);
  try {
    return db.prepare("PRAGMA user_version").get()?.user_version;
  } finally {
    db.close();
  }
}

Deno.test("openStateStore() brings a database of the first release up to date and keeps all that is in it", async () => {
  await withDatabase("", async (path) => {
    for (let i = 0; i < 2; i++) {
      const store = openStateStore(path);
      assertEquals([...store.peers.values()], [PEER]);
      assertEquals([...store.leases.keys(), ...store.dns.keys()], ["10.200.0.5", "web.test"]);
      assertEquals([store.heard.size, store.containerEndpoints.size], [i, 0]);
      const heard = { service: "", publicKey: "key", endpoint: "192.0.2.9:1", heardUnixSecs: 7 };
      await store.commit("heard", (write) => write.putHeard(heard));
      store.close();
    }
    assertEquals(version(path), 3);
  });
});

Deno.test("openStateStore() refuses a database of a newer release and leaves it as it is", async () => {
  await withDatabase("PRAGMA user_version = 99;", (path) => {
    const before = Deno.readFileSync(path);
    const error = assertThrows(() => openStateStore(path), PreconditionError);
    for (const part of [path, "version 99", "knows 3", "release that wrote it"]) {
      assertStringIncludes(error.message, part);
    }
    assertEquals(Deno.readFileSync(path), before);
  });
});

Deno.test("a migration that fails half-way leaves the version before it", async () => {
  await withDatabase("CREATE TABLE container_endpoints (x TEXT);", (path) => {
    assertThrows(() => openStateStore(path), Error, "container_endpoints");
    assertEquals(version(path), 2, "the one before it is done");
    const db = new DatabaseSync(path);
    db.exec("DROP TABLE container_endpoints");
    db.close();
    const store = openStateStore(path);
    assertEquals([...store.peers.values()], [PEER]);
    store.close();
    assertEquals(version(path), 3);
  });
});
