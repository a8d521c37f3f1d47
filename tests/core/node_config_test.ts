import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InvalidConfigError } from "../../core/errors.ts";
import { formatIp } from "../../core/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../core/ip/prefix.ts";
import { decodeBootstrap, decodeNodeConfig, planNode, readNodeFiles } from "../../core/node_config.ts";
import { encodeKey, generateKeyPair, type KeyPair } from "../../core/wireguard/keys.ts";

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

const KEYS = newKeys();
const PRIVATE = encodeKey(KEYS.privateKey);
const PUBLIC = encodeKey(KEYS.publicKey);

function nodeConfig(change: Record<string, unknown> = {}): string {
  return JSON.stringify({
    node_id: "8d1c",
    raft_node_id: 7,
    advertise_addr: "192.0.2.1",
    overlay_cidr: "10.200.0.0/16",
    wireguard_private_key: PRIVATE,
    wireguard_public_key: PUBLIC,
    is_leader: true,
    ...change,
  });
}

function bootstrap(change: Record<string, unknown> = {}): string {
  const config = { cidr: "10.200.0.0/16", node_ip: "10.200.0.17", slice_cidr: "10.200.0.16/28", port: 51420 };
  return JSON.stringify({ config: { ...config, ...change }, peers: [] });
}

Deno.test("decodeNodeConfig() reads the id exactly and the key pair", () => {
  assertEquals(decodeNodeConfig(nodeConfig()), { raftNodeId: 7n, keys: KEYS });
  const big = nodeConfig().replace('"raft_node_id":7', '"raft_node_id":18446744073709551615');
  assertEquals(decodeNodeConfig(big).raftNodeId, 18446744073709551615n);
  assertEquals(decodeNodeConfig("{}"), {});
  assertEquals(decodeNodeConfig('{"raft_node_id":null,"wireguard_private_key":""}'), {});
});

Deno.test("decodeNodeConfig() refuses broken keys and ids without showing them", () => {
  const other = encodeKey(newKeys().publicKey);
  const bad: { text: string; says: string }[] = [
    { text: nodeConfig({ wireguard_public_key: other }), says: "does not derive" },
    { text: nodeConfig({ wireguard_public_key: undefined }), says: "expected 32 bytes, got 0" },
    { text: nodeConfig({ wireguard_private_key: PRIVATE.slice(4) }), says: "expected 32 bytes, got 29" },
    { text: nodeConfig({ wireguard_private_key: [PRIVATE] }), says: "wireguard_private_key: " },
    { text: nodeConfig({ raft_node_id: -1 }), says: "does not fit" },
    { text: nodeConfig({ raft_node_id: 1.5 }), says: "raft_node_id" },
    {
      text: nodeConfig().replace('"raft_node_id":7', '"raft_node_id":18446744073709551616'),
      says: "does not fit",
    },
    { text: nodeConfig().slice(0, -1), says: "no JSON" },
  ];
  for (const { text, says } of bad) {
    const error = assertThrows(() => decodeNodeConfig(text), InvalidConfigError, says);
    assertEquals(error.message.includes(PRIVATE.slice(4, 20)), false, error.message);
  }
});

Deno.test("decodeBootstrap() reads the node's place", () => {
  const read = decodeBootstrap(bootstrap());
  assertEquals(
    [formatPrefix(read.clusterCidr), formatIp(read.nodeIp), formatPrefix(read.sliceCidr!)],
    ["10.200.0.0/16", "10.200.0.17", "10.200.0.16/28"],
  );
  assertEquals("sliceCidr" in decodeBootstrap(bootstrap({ slice_cidr: null })), false);
  for (const change of [{ cidr: "x" }, { node_ip: "10.200.0.17/16" }, { slice_cidr: "y" }, { cidr: 5 }]) {
    assertThrows(() => decodeBootstrap(bootstrap(change)), InvalidConfigError, Object.keys(change)[0]);
  }
});

Deno.test("readNodeFiles() takes what it can, and says what is wrong with the rest", async () => {
  const files: Record<string, string> = {
    "node_config.json": nodeConfig(),
    "overlay_bootstrap.json": bootstrap(),
  };
  const both = await readNodeFiles((name) => Promise.resolve(files[name]));
  assertEquals([both.nodeConfig?.raftNodeId, both.bootstrap !== undefined, both.problems], [7n, true, []]);
  assertEquals(await readNodeFiles(() => Promise.resolve(undefined)), { problems: [] });
  const half = await readNodeFiles((name) =>
    name === "node_config.json" ? Promise.reject(new Error("permission denied")) : Promise.resolve("{}")
  );
  assertEquals(Object.keys(half), ["problems"]);
  assertEquals(half.problems[0], "node_config.json is not used: permission denied");
  assertStringIncludes(
    half.problems[1]!,
    "overlay_bootstrap.json is not used: not a valid overlay bootstrap: config: ",
  );
});

Deno.test("planNode() lets the request lead and the file fill the gaps", () => {
  const cases: {
    name: string;
    cluster?: string;
    slice?: string;
    file?: Record<string, unknown>;
    want: string;
    problem?: string;
  }[] = [
    { name: "no file", want: "10.200.0.0/16 - -" },
    { name: "no file, slice", slice: "10.200.1.0/28", want: "10.200.1.0/28 10.200.1.0/28 -" },
    { name: "file", file: {}, want: "10.200.0.16/28 10.200.0.16/28 10.200.0.17" },
    { name: "file without slice", file: { slice_cidr: null }, want: "10.200.0.0/16 - 10.200.0.17" },
    {
      name: "same slice",
      file: {},
      slice: "10.200.0.16/28",
      want: "10.200.0.16/28 10.200.0.16/28 10.200.0.17",
    },
    {
      name: "another slice",
      file: {},
      slice: "10.200.1.0/28",
      want: "10.200.1.0/28 10.200.1.0/28 -",
      problem: "node_ip 10.200.0.17 is not used",
    },
    {
      name: "another cluster",
      cluster: "10.42.0.0/16",
      file: {},
      want: "10.42.0.0/16 - -",
      problem: "its cluster 10.200.0.0/16 is not the requested 10.42.0.0/16",
    },
    {
      name: "slice elsewhere",
      file: { slice_cidr: "10.42.0.0/28" },
      want: "10.200.0.0/16 - -",
      problem: "its slice 10.42.0.0/28 is outside cluster",
    },
    {
      name: "network address",
      file: { node_ip: "10.200.0.16" },
      want: "10.200.0.16/28 10.200.0.16/28 -",
      problem: "no host address",
    },
    {
      name: "broadcast address",
      file: { node_ip: "10.200.0.31" },
      want: "10.200.0.16/28 10.200.0.16/28 -",
      problem: "no host address",
    },
    {
      name: "IPv6",
      cluster: "fd00:200::/48",
      file: { cidr: "fd00:200::/48", slice_cidr: "fd00:200::/120", node_ip: "fd00:200::ff" },
      want: "fd00:200::/120 fd00:200::/120 fd00:200::ff",
    },
  ];
  for (const { name, cluster, slice, file, want, problem } of cases) {
    const plan = planNode(
      { cluster: parsePrefix(cluster ?? "10.200.0.0/16")!, ...(slice ? { slice: parsePrefix(slice)! } : {}) },
      file && decodeBootstrap(bootstrap(file)),
    );
    const shown = [
      formatPrefix(plan.pool),
      plan.slice ? formatPrefix(plan.slice) : "-",
      plan.nodeIp ? formatIp(plan.nodeIp) : "-",
    ];
    assertEquals(shown.join(" "), want, name);
    assertEquals(plan.problems.length, problem ? 1 : 0, name);
    assertStringIncludes(plan.problems.join(), problem ?? "", name);
  }
});
