import { assertEquals, assertNotEquals } from "@std/assert";
import {
  dataFile,
  defaultDataDir,
  type HostFacts,
  logDir,
  overlaydSocket,
  platformDefault,
  samePath,
  secondarySocket,
  uapiDir,
} from "../../core/paths.ts";

const ROOT: HostFacts = { os: "linux", euid: 0, env: {} };
const USER: HostFacts = { os: "linux", euid: 1000, env: { HOME: "/home/u" } };
const MAC: HostFacts = { os: "darwin", euid: 501, env: { HOME: "/Users/x" } };
const WINDOWS: HostFacts = { os: "windows", euid: 0, env: { PROGRAMDATA: "C:\\TestProgramData" } };

const SYSTEM_SOCKET = "/var/run/zlayer-overlayd.sock";
const LONG =
  "/var/lib/forgejo-runner/workdir/9dbc274201705d7d/hostexecutor/target/zlayer-e2e/cluster_3node/node1/data";

function withDataDir(host: HostFacts, value: string): HostFacts {
  return { ...host, env: { ...host.env, ZLAYER_DATA_DIR: value } };
}

Deno.test("root without flags uses the system's places [daemon 1]", () => {
  assertEquals(defaultDataDir(ROOT), "/var/lib/zlayer");
  assertEquals(overlaydSocket("/var/lib/zlayer", ROOT), SYSTEM_SOCKET);
  assertEquals(uapiDir("/var/lib/zlayer", ROOT), "/var/run/wireguard");
  assertEquals(logDir("/var/lib/zlayer", ROOT), "/var/log/zlayer");
});

Deno.test("a user without flags has the data at home and the system's socket [daemon 2]", () => {
  assertEquals(defaultDataDir(USER), "/home/u/.zlayer");
  assertEquals(overlaydSocket("/home/u/.zlayer", USER), SYSTEM_SOCKET);
});

Deno.test("a home that is not set leaves a place below the system's", () => {
  for (const env of [{}, { HOME: "" }]) {
    assertEquals(platformDefault({ ...USER, env }), "/var/lib/zlayer/.zlayer");
    assertEquals(platformDefault({ ...MAC, env }), "/var/lib/zlayer/.zlayer");
  }
  assertEquals(platformDefault({ ...USER, env: { HOME: "/" } }), "/.zlayer");
});

Deno.test("another data directory has everything below it [daemon 3]", () => {
  assertEquals(overlaydSocket("/tmp/foo", ROOT), "/tmp/foo/run/zlayer-overlayd.sock");
  assertEquals(uapiDir("/tmp/foo", ROOT), "/tmp/foo/run/wireguard");
  assertEquals(logDir("/tmp/foo", ROOT), "/tmp/foo/logs");
});

Deno.test("a trailing slash makes no other directory [daemon 4]", () => {
  for (const dir of ["/var/lib/zlayer/", "/var//lib/zlayer", "/var/lib/./zlayer", "//var/lib/zlayer/."]) {
    assertEquals(overlaydSocket(dir, ROOT), SYSTEM_SOCKET, dir);
    assertEquals(uapiDir(dir, ROOT), "/var/run/wireguard", dir);
  }
  for (const dir of ["/var/lib/x/../zlayer", "/var/lib/Zlayer", "var/lib/zlayer", "./var/lib/zlayer"]) {
    assertNotEquals(overlaydSocket(dir, ROOT), SYSTEM_SOCKET, dir);
  }
});

Deno.test("ZLAYER_DATA_DIR isolates an instance, its control sockets too [daemon 5]", () => {
  const host = withDataDir(ROOT, "/tmp/foo");
  assertEquals(defaultDataDir(host), "/tmp/foo");
  assertEquals(overlaydSocket(defaultDataDir(host), host), "/tmp/foo/run/zlayer-overlayd.sock");
  assertEquals(uapiDir(defaultDataDir(host), host), "/tmp/foo/run/wireguard");
});

Deno.test("an empty ZLAYER_DATA_DIR is none [daemon 6]", () => {
  assertEquals(defaultDataDir(withDataDir(ROOT, "")), "/var/lib/zlayer");
  assertEquals(platformDefault(withDataDir(ROOT, "/tmp/foo")), "/var/lib/zlayer");
});

Deno.test("a socket path of 103 bytes is natural [daemon 7]", () => {
  const dir = "/" + "a".repeat(77);
  assertEquals(overlaydSocket(dir, ROOT), `${dir}/run/zlayer-overlayd.sock`);
  assertEquals(overlaydSocket(dir, ROOT).length, 103);
});

Deno.test("a longer socket path is a hash, bytes counted [daemon 8]", () => {
  assertEquals(overlaydSocket("/" + "a".repeat(78), ROOT), "/tmp/zlayer-overlayd-4a4b5d45d2015a24.sock");
  assertEquals(overlaydSocket("/" + "é".repeat(38), ROOT).startsWith("/é"), true); // 77 bytes
  assertEquals(overlaydSocket("/" + "é".repeat(39), ROOT).startsWith("/tmp/"), true);
});

Deno.test("the hash is of the data directory as given [daemon 9]", () => {
  assertEquals(overlaydSocket(LONG, ROOT), "/tmp/zlayer-overlayd-8c71ef019112ff6f.sock");
  assertEquals(uapiDir(LONG, ROOT), "/tmp/zlayer-wg-105f6222880a80f1");
  assertNotEquals(overlaydSocket(LONG.slice(0, -"/data".length), ROOT), overlaydSocket(LONG, ROOT));
  assertNotEquals(overlaydSocket(`${LONG}/`, ROOT), overlaydSocket(LONG, ROOT));
});

Deno.test("a directory of control sockets has 82 bytes at most [daemon 10]", () => {
  assertEquals(uapiDir("/" + "a".repeat(68), ROOT), "/tmp/zlayer-wg-39e3ee3dc857e650");
  assertEquals(uapiDir("/" + "a".repeat(67), ROOT), `/${"a".repeat(67)}/run/wireguard`);
});

Deno.test("macOS keeps its socket in the data directory, however long [daemon 12]", () => {
  assertEquals(overlaydSocket(defaultDataDir(MAC), MAC), "/Users/x/.zlayer/run/zlayer-overlayd.sock");
  assertEquals(uapiDir(defaultDataDir(MAC), MAC), "/Users/x/.zlayer/run/wireguard");
  assertEquals(logDir(defaultDataDir(MAC), MAC), "/Users/x/.zlayer/logs");
  assertEquals(platformDefault({ ...MAC, euid: 0 }), "/Users/x/.zlayer");
  const deep = { ...MAC, env: { HOME: "/" + "h".repeat(90) } };
  assertEquals(
    overlaydSocket(platformDefault(deep), deep),
    `${deep.env.HOME}/.zlayer/run/zlayer-overlayd.sock`,
  );
});

Deno.test("Windows has its directory and one pipe for any data directory [daemon 13]", () => {
  assertEquals(defaultDataDir(WINDOWS), "C:\\TestProgramData\\ZLayer");
  assertEquals(defaultDataDir({ ...WINDOWS, env: {} }), "C:\\ProgramData\\ZLayer");
  for (const dir of ["C:\\TestProgramData\\ZLayer", "D:\\elsewhere"]) {
    assertEquals(overlaydSocket(dir, WINDOWS), "\\\\.\\pipe\\zlayer-overlayd");
  }
  assertEquals(uapiDir("D:\\x", WINDOWS), "D:\\x\\run\\wireguard");
  assertEquals(logDir("D:\\x\\", WINDOWS), "D:\\x\\logs");
});

Deno.test("files of the data directory are joined without doubling the separator", () => {
  assertEquals(dataFile("/tmp/foo", "agent_network.json", ROOT), "/tmp/foo/agent_network.json");
  assertEquals(dataFile("/tmp/foo/", "agent_network.json", ROOT), "/tmp/foo/agent_network.json");
  assertEquals(dataFile("/", "x", ROOT), "/x");
  assertEquals(dataFile("C:\\z", "x", WINDOWS), "C:\\z\\x");
});

Deno.test("samePath() compares components", () => {
  const same = [["/a/b", "/a//b/"], ["/a/./b", "/a/b/."], ["/", "//"], ["a", "a/"], ["./a", "./a/."]];
  const different = [["/a/b", "/a/b/c"], ["/a", "a"], ["./a", "a"], ["/a/../a", "/a"], ["/A", "/a"], [
    "",
    "/",
  ]];
  for (const [a, b] of same) assertEquals(samePath(a!, b!), true, `${a} ${b}`);
  for (const [a, b] of different) assertEquals(samePath(a!, b!), false, `${a} ${b}`);
});

Deno.test("a root daemon with a user's data directory listens where the user's caller dials, too", () => {
  const facts = { host: ROOT, dataDir: "/home/u/.zlayer", dataDirOwner: 1000, socketGiven: false };
  assertEquals(secondarySocket(facts), { path: SYSTEM_SOCKET, ownerUid: 1000 });
  const none = [
    { ...facts, host: USER },
    { ...facts, host: MAC },
    { ...facts, host: { ...ROOT, os: "freebsd" } },
    { ...facts, dataDir: "/var/lib/zlayer/" },
    { ...facts, dataDirOwner: 0 },
    { ...facts, dataDirOwner: undefined },
    { ...facts, socketGiven: true },
  ];
  for (const one of none) assertEquals(secondarySocket(one), undefined, JSON.stringify(one));
});
