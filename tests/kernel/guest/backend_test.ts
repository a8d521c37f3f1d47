/** The Linux backend where the kernel has WireGuard: its contract, devices included, and large devices. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { DevicePeer, DeviceSpec } from "../../../core/backend/backend.ts";
import { LinuxBackend } from "../../../core/backend/linux.ts";
import { AlreadyExistsError, InvalidConfigError, PreconditionError } from "../../../core/errors.ts";
import { parseIp } from "../../../core/ip/address.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { backendContract } from "../../contract/backend_contract.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { openLinuxRig } from "../../support/linux_rig.ts";
import { HERE } from "../../support/test_netns.ts";
// This kernel has no per-link switch for IPv6 forwarding: the other way has to carry packets too.
import "../../netns/backend/data_path_test.ts";

// The guest shows the host's /tmp, where others come and go: the audit is to see this test's own files only.
Deno.env.set("TMPDIR", Deno.makeTempDirSync({ dir: "/run" }));

backendContract("LinuxBackend with kernel WireGuard", openLinuxRig);

const DEVICE: DeviceSpec = {
  name: "ztwg0",
  tag: "zlayer-overlayd/guest/0123456789abcdef:global",
  privateKey: Uint8Array.from({ length: 32 }, (_, i) => i === 31 ? 0x40 : 8),
  listenPort: 51777,
  address: parsePrefix("10.215.0.1/16")!,
  mtuBytes: 1420,
  peers: [],
  routes: [],
};

function manyPeers(count: number): DevicePeer[] {
  return Array.from({ length: count }, (_, i) => ({
    publicKey: Uint8Array.from({ length: 32 }, (_, at) => at === 0 ? i & 0xff : at === 1 ? i >> 8 : 9),
    endpoint: { ip: parseIp(i % 2 === 0 ? "192.0.2.1" : "2001:db8::1")!, port: 1024 + i },
    allowedIps: [
      parsePrefix(`10.${216 + (i >> 8)}.${i & 0xff}.0/24`)!,
      parsePrefix(`fd00:${i.toString(16)}::/64`)!,
    ],
    keepaliveSeconds: 25,
  }));
}

async function withBackend(body: (backend: LinuxBackend) => Promise<void>): Promise<void> {
  await using _audit = await LeakAudit.begin();
  const backend = await LinuxBackend.open(SILENT_LOG);
  try {
    await body(backend);
  } finally {
    await backend.removeDevice(DEVICE.name, DEVICE.tag);
    backend.close();
  }
}

async function dump(): Promise<string[]> {
  return (await HERE.must(["wg", "show", DEVICE.name, "dump"])).trim().split("\n");
}

Deno.test("ensureDevice() writes 1,000 peers in several messages, and wg agrees", async () => {
  await withBackend(async (backend) => {
    await backend.ensureDevice({ ...DEVICE, peers: manyPeers(1000) });
    assertEquals((await dump()).length, 1001);
    const state = await backend.readDevice(DEVICE.name);
    assertEquals(state.peers.length, 1000);
    assert(state.peers.every((peer) => peer.allowedIps.length === 2 && peer.keepaliveSeconds === 25));
    await backend.ensureDevice({ ...DEVICE, peers: manyPeers(3) });
    assertEquals((await dump()).length, 4);
  });
});

Deno.test("ensureDevice() gives one peer 5,000 allowed IPs, split and joined", async () => {
  await withBackend(async (backend) => {
    const [peer] = manyPeers(1);
    const allowedIps = Array.from(
      { length: 5000 },
      (_, i) => parsePrefix(`10.220.${i >> 8}.${i & 0xff}/32`)!,
    );
    await backend.ensureDevice({ ...DEVICE, peers: [{ ...peer!, allowedIps }] });
    const state = await backend.readDevice(DEVICE.name);
    assertEquals([state.peers.length, state.peers[0]?.allowedIps.length], [1, 5000]);
    assertEquals((await dump())[1]!.split("\t")[3]!.split(",").length, 5000);
  });
});

Deno.test("a prefix moves from one peer to another in one change", async () => {
  await withBackend(async (backend) => {
    const [a, b] = manyPeers(2) as [DevicePeer, DevicePeer];
    await backend.ensureDevice({ ...DEVICE, peers: [a, b] });
    const prefix = a.allowedIps[0]!;
    await backend.ensureDevice({
      ...DEVICE,
      peers: [{ ...a, allowedIps: [] }, { ...b, allowedIps: [...b.allowedIps, prefix] }],
    });
    const { peers } = await backend.readDevice(DEVICE.name);
    assertEquals(new Set(peers.map((peer) => peer.allowedIps.length)), new Set([0, 3]));
  });
});

Deno.test("routes are exactly those wanted, within the address's network too, ours alone and never the default", async () => {
  await withBackend(async (backend) => {
    const routes = ["10.215.7.0/24", "10.230.0.0/16", "fd00:230::/64"].map((text) => parsePrefix(text)!);
    await backend.ensureDevice({ ...DEVICE, routes });
    const listed = async (): Promise<string[]> => {
      const [v4, v6] = [await HERE.ip("route"), await HERE.ip("-6", "route")];
      return [...v4, ...v6].filter((route) => route.dev === DEVICE.name && route.protocol === "122")
        .map((route) => route.dst);
    };
    assertEquals(await listed(), ["10.215.7.0/24", "10.230.0.0/16", "fd00:230::/64"]);
    await HERE.must(["ip", "route", "add", "10.231.0.0/16", "dev", DEVICE.name]);
    await backend.ensureDevice({ ...DEVICE, routes: [parsePrefix("10.232.0.0/16")!] });
    assertEquals(await listed(), ["10.232.0.0/16"]);
    await HERE.must(["ip", "route", "show", "10.231.0.0/16"]);
    const everything = parsePrefix("0.0.0.0/0")!;
    await assertRejects(
      () => backend.ensureDevice({ ...DEVICE, routes: [everything] }),
      InvalidConfigError,
      "0.0.0.0/0",
    );
    const change = { set: [], remove: [], addRoutes: [parsePrefix("127.0.0.0/8")!], removeRoutes: [] };
    await backend.changeDevice(DEVICE.name, change);
    await HERE.must(["ip", "route", "add", "10.233.0.0/16", "dev", "lo"]);
    const taken = { ...change, addRoutes: [parsePrefix("10.234.0.0/16")!, parsePrefix("10.233.0.0/16")!] };
    await assertRejects(() => backend.changeDevice(DEVICE.name, taken), AlreadyExistsError, "10.233.0.0/16");
    assertEquals(await listed(), ["10.232.0.0/16", "127.0.0.0/8"].sort());
    await HERE.must(["ip", "route", "del", "10.233.0.0/16", "dev", "lo"]);
  });
});

Deno.test("a port that another holds is an error that says so", async () => {
  await withBackend(async (backend) => {
    const other = { ...DEVICE, name: "ztwg1" };
    await backend.ensureDevice(DEVICE);
    await assertRejects(() => backend.ensureDevice(other), PreconditionError, "in use");
    await backend.removeDevice(other.name, other.tag);
  });
});

Deno.test("a peer keeps its endpoint and session when the device is put right again", async () => {
  await withBackend(async (backend) => {
    const [a, b] = manyPeers(2) as [DevicePeer, DevicePeer];
    await backend.ensureDevice({ ...DEVICE, peers: [a] });
    const before = (await dump())[1];
    await backend.ensureDevice({ ...DEVICE, peers: [a, b] });
    assertEquals((await dump()).find((line) => line === before), before);
  });
});

Deno.test("IPv6 forwarding without a per-link switch is host-wide, recorded and taken back", async () => {
  await using _audit = await LeakAudit.begin();
  const backend = await LinuxBackend.open(SILENT_LOG);
  const path = "/proc/sys/net/ipv6/conf/all/forwarding";
  const network = {
    name: "ztbr6",
    tag: "zlayer-overlayd/guest/0123456789abcdef:service",
    gateway: parsePrefix("fd00:213::1/120")!,
    mtuBytes: 1420,
  };
  try {
    assertEquals((await Deno.readTextFile(path)).trim(), "0");
    await backend.ensureServiceNetwork(network);
    assertEquals((await Deno.readTextFile(path)).trim(), "1");
    assertEquals(backend.changedHostSettings()[path], "0");
    await backend.restoreHostSettings(backend.changedHostSettings());
    assertEquals([(await Deno.readTextFile(path)).trim(), backend.changedHostSettings()], ["0", {}]);
  } finally {
    await backend.removeServiceNetwork(network.name, network.tag);
    backend.close();
  }
});
