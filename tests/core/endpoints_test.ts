import { assertEquals, assertRejects } from "@std/assert";
import { resolveConfig } from "../../core/config.ts";
import { bindEndpoints, type Endpoint, type EndpointFacts, planEndpoints } from "../../core/endpoints.ts";
import { type Log, SILENT_LOG } from "../../core/log.ts";

const ROOT = { os: "linux", euid: 0, env: { HOME: "/root" }, terminal: false };
const USER = { os: "linux", euid: 1000, env: { HOME: "/home/u" }, terminal: false };
const SYSTEM = "/var/run/zlayer-overlayd.sock";

Deno.test("planEndpoints() finds the sockets and their owners", async (t) => {
  const cases: {
    name: string;
    host: typeof ROOT;
    flags: { dataDir?: string; socket?: string };
    facts: Omit<EndpointFacts, "host">;
    want: Endpoint[];
  }[] = [
    {
      name: "root, system directory, group",
      host: ROOT,
      flags: {},
      facts: { dataDirOwner: 0, groupId: 990 },
      want: [{ path: SYSTEM, groupId: 990, optional: false }],
    },
    {
      name: "root, system directory, no group",
      host: ROOT,
      flags: {},
      facts: { dataDirOwner: 0, groupId: undefined },
      want: [{ path: SYSTEM, optional: false }],
    },
    {
      name: "root, a user's directory, no group: the user owns both sockets",
      host: ROOT,
      flags: { dataDir: "/home/u/.zlayer" },
      facts: { dataDirOwner: 1000, groupId: undefined },
      want: [
        { path: "/home/u/.zlayer/run/zlayer-overlayd.sock", ownerUid: 1000, optional: false },
        { path: SYSTEM, ownerUid: 1000, optional: true },
      ],
    },
    {
      name: "root, a user's directory, group",
      host: ROOT,
      flags: { dataDir: "/home/u/.zlayer" },
      facts: { dataDirOwner: 1000, groupId: 990 },
      want: [
        { path: "/home/u/.zlayer/run/zlayer-overlayd.sock", groupId: 990, optional: false },
        { path: SYSTEM, ownerUid: 1000, groupId: 990, optional: true },
      ],
    },
    {
      name: "root, a user's directory, socket given: that one only",
      host: ROOT,
      flags: { dataDir: "/home/u/.zlayer", socket: "/x.sock" },
      facts: { dataDirOwner: 1000, groupId: undefined },
      want: [{ path: "/x.sock", ownerUid: 1000, optional: false }],
    },
    {
      name: "root, root's other directory",
      host: ROOT,
      flags: { dataDir: "/srv/z" },
      facts: { dataDirOwner: 0, groupId: undefined },
      want: [{ path: "/srv/z/run/zlayer-overlayd.sock", optional: false }],
    },
    {
      name: "root, no such directory",
      host: ROOT,
      flags: { dataDir: "/srv/z" },
      facts: { dataDirOwner: undefined, groupId: undefined },
      want: [{ path: "/srv/z/run/zlayer-overlayd.sock", optional: false }],
    },
    {
      name: "a user with its own directory",
      host: USER,
      flags: { dataDir: "/home/u/other" },
      facts: { dataDirOwner: 1000, groupId: undefined },
      want: [{ path: "/home/u/other/run/zlayer-overlayd.sock", optional: false }],
    },
  ];
  for (const { name, host, flags, facts, want } of cases) {
    await t.step(
      name,
      () => assertEquals(planEndpoints(resolveConfig(flags, host), { host, ...facts }), want),
    );
  }
});

Deno.test("bindEndpoints() goes on without an optional one and undoes all when another fails", async () => {
  const lines: string[] = [];
  const log: Log = { ...SILENT_LOG, info: (m) => void lines.push(m), warn: (m) => void lines.push(m) };
  const closed: string[] = [];
  const listen = (endpoint: Endpoint): Promise<{ close(): void }> =>
    endpoint.path.startsWith("bad")
      ? Promise.reject(new Error("taken"))
      : Promise.resolve({ close: () => void closed.push(endpoint.path) });
  const good = { path: "good", optional: false };
  const bound = await bindEndpoints([good, { path: "bad", optional: true }], listen, log);
  assertEquals([bound.length, closed.length], [1, 0]);
  assertEquals(lines, ["listening", "not listening on the second socket"]);
  await assertRejects(
    () => bindEndpoints([good, { path: "bad", optional: false }], listen, log),
    Error,
    "taken",
  );
  assertEquals(closed, ["good"]);
});
