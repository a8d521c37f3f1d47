/**
 * The daemon as a process, `main.ts` as it is, our client on its named pipe, an HNS that outlives both, and Wintun,
 * whose adapters do not: from nothing to nothing.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { OverlaydClient } from "../../ipc/client.ts";
import { container, DEPLOYMENT, SLICE } from "../support/container_rig.ts";
import { freshPublicKey, globalRequest } from "../support/engine_rig.ts";
import { waitFor } from "../support/wait_for.ts";
import { DaemonRig } from "./support/daemon_rig.ts";
import type { HostDump } from "./support/device_rig.ts";
import { UPLINK_IP } from "./support/fake_system.ts";

async function setUp(client: OverlaydClient): Promise<string> {
  await client.setLocalNodeId(1n);
  return await client.setupGlobalOverlay(globalRequest({ deployment: DEPLOYMENT, sliceCidr: SLICE }));
}

async function attach(client: OverlaydClient, id: string, service = "web"): Promise<string> {
  const reply = await client.attachContainer({ handle: container(id), service, joinGlobal: false });
  assert(reply.kind === "attached" && reply.namespaceGuid !== undefined);
  return reply.namespaceGuid;
}

/** An IP stack in short: who has an address, and how packets pass. */
interface Stack {
  readonly addresses: readonly string[];
  readonly passes: Readonly<Record<string, string>>;
  readonly routes: readonly string[];
}

function inShort({ interfaces, addresses, routes }: HostDump): Stack {
  const alias = (luid: string): string => interfaces.find((one) => one.luid === luid)!.alias;
  return {
    addresses: addresses.map(({ address, prefixLength, luid }) => `${address}/${prefixLength} ${alias(luid)}`)
      .sort(),
    passes: Object.fromEntries(interfaces.map(({ alias, v4 }) => [
      alias,
      `${v4.forwarding}${v4.weakHostSend}${v4.weakHostReceive} ${v4.mtu}`,
    ])),
    routes: routes.map(({ destination, prefixLength, luid }) =>
      `${destination}/${prefixLength} ${alias(luid)}`
    ).sort(),
  };
}

/** What the IP stack of the daemon has. */
async function stackOf(rig: DaemonRig): Promise<Stack> {
  return inShort(await rig.system.dump());
}

/**
 * The same, once every device takes packets for the address that it has given up, which is a moment later.
 *
 * @param routes That are there then, too.
 */
async function settled(rig: DaemonRig, ...routes: string[]): Promise<Stack> {
  return await waitFor(`devices to take packets for their addresses, and ${routes}`, async () => {
    const stack = await stackOf(rig);
    const devices = Object.entries(stack.passes).filter(([name]) => name.startsWith("zl-"));
    const isThere = (route: string): boolean => stack.routes.includes(route);
    return devices.every(([, how]) => how === "111 1420") && routes.every(isThere) && stack;
  });
}

/** Waits until it is like that. */
async function becomes(rig: DaemonRig, want: Stack): Promise<void> {
  const check = async (): Promise<void> => assertEquals(await stackOf(rig), want);
  await waitFor("the stack", () => check().then(() => true, () => false)).catch(check);
}

const GLOBAL = "zl-zlayer-42-g";
const BASE_VNIC = "vEthernet (zlayer-overlay)";
const SERVICE_VNIC = "vEthernet (zlayer-overlay-svc-db)";
const UPLINK = [`${UPLINK_IP}/24 Ethernet`];

Deno.test("set up, dedicated service, attach, restart, detach by GUID and by id, purge: nothing is left [windows T54] [windows T76]", async () => {
  await using rig = new DaemonRig();
  const first = await rig.start();
  assertEquals(await setUp(first), GLOBAL);
  assertEquals((await stackOf(rig)).addresses, [`10.200.0.1/16 ${GLOBAL}`, ...UPLINK]);
  const guids = [await attach(first, "c1"), await attach(first, "c2")];
  // Forwarding, weak host both ways, MTU of the way out less what WireGuard adds.
  await becomes(rig, {
    addresses: [`10.200.0.1/28 ${BASE_VNIC}`, ...UPLINK],
    passes: { [GLOBAL]: "111 1420", [BASE_VNIC]: "111 65535", Ethernet: "000 1500" },
    routes: ["0.0.0.0/0 Ethernet", `10.200.0.0/16 ${GLOBAL}`],
  });
  const service = await first.setupServiceOverlay("db", "dedicated");
  assertEquals(service.name, "zlayer-overlay-svc-db");
  guids.push(await attach(first, "c3", "db"));
  assertEquals(new Set(guids).size, 3);
  const peer = { publicKey: freshPublicKey(), endpoint: "192.0.2.7:51420", persistentKeepaliveSecs: 0 };
  await first.addPeer({ ...peer, allowedIps: "10.200.7.0/28,172.30.0.0/16" });
  await first.addPeer({ ...peer, allowedIps: "10.200.9.0/28" }, { scope: "service", service: "db" });
  const before = await first.status(true);
  const device = before.dedicatedServices[0]!.interface;
  const stack = await settled(rig, `172.30.0.0/16 ${GLOBAL}`, `10.200.9.0/28 ${device}`);
  assert(
    stack.addresses.includes(`${service.dedicated!.overlayIp}/28 ${SERVICE_VNIC}`),
    stack.addresses.join(),
  );
  assertEquals([stack.passes[device], stack.passes[SERVICE_VNIC]], ["111 1420", "111 65535"]);
  const { detail } = before;
  assertEquals([detail!.wireguard, detail!.containers], [{ kind: "userspace" }, { kind: "hcn" }]);
  assertEquals(detail!.devices.map(({ kind, crypto, drops }) => `${kind} ${crypto} ${drops.length}`), [
    "userspace node:crypto 0",
    "userspace node:crypto 0",
  ]);
  assertEquals(
    new Set(detail!.attachments.map(({ handle, state }) => `${handle} ${state}`)),
    new Set([
      "container:c1 ready",
      "container:c2 ready",
      "container:c3 ready",
    ]),
  );
  await rig.shutdown(first);
  await rig.ended();
  first.close();
  const { networks, endpoints, namespaces } = rig.system.hns();
  assertEquals([networks.length, endpoints.length, namespaces.length], [2, 3, 4]);

  const second = await rig.start();
  assertEquals(await setUp(second), GLOBAL);
  assertEquals(identityOf(await second.status(true)), identityOf(before));
  await becomes(rig, stack);
  await second.detachContainer(container(`{${guids[0]!.toUpperCase()}}`));
  await second.detachContainer(container("c2"));
  await second.detachContainer(container("c2"));
  const left = rig.system.hns();
  assertEquals([left.endpoints.length, left.namespaces.length], [1, 2]);
  await rig.quiet();
  const purged = await rig.run(["purge", "--stop-daemon"]);
  assertEquals(purged.code, 0, purged.out + purged.err);
  second.close();
  const reports = await rig.ended();
  assertEquals(new Set(reports.map(({ fake }) => fake)), new Set(["computenetwork", "iphlpapi", "wintun"]));
  const end = rig.system.hns();
  assertEquals([end.networks, end.endpoints, end.namespaces.length], [[], [], 1]);
  assertEquals(rig.hasDataDir(), false, "the data directory is gone");
});

/** What a node is to others, and what its containers were told; lists in one order. */
function identityOf(status: Awaited<ReturnType<OverlaydClient["status"]>>): unknown {
  const { interface: name, nodeIp, publicKey, dedicatedServices, detail } = status;
  const texts = (list: readonly unknown[]): string[] => list.map((one) => JSON.stringify(one)).sort();
  const peers = [...status.peers, ...detail!.servicePeers].map((
    { publicKey, allowedIps },
  ) => [publicKey, allowedIps]);
  const { attachments, leases } = detail!;
  return {
    ...{ name, nodeIp, publicKey, dedicatedServices },
    ...{ peers: texts(peers), attachments: texts(attachments), leases: texts(leases) },
  };
}

Deno.test("purge --deployment removes the networks of one whose data directory is lost, and of no other", async () => {
  await using rig = new DaemonRig();
  const client = await rig.start();
  await client.setLocalNodeId(1n);
  await client.setupGlobalOverlay(globalRequest({ deployment: "prod", sliceCidr: SLICE }));
  await attach(client, "c1");
  client.close();
  await rig.kill();
  Deno.removeSync(rig.dataDir, { recursive: true });
  const bad = await rig.run(["purge", "--deployment", "a/b"]);
  assertEquals(bad.code, 1);
  assertStringIncludes(bad.err, "a/b");
  assertEquals((await rig.run(["purge"])).code, 0);
  assertEquals(rig.system.hns().endpoints.length, 1, "nothing tells of it");
  const purged = await rig.run(["purge", "--deployment", "prod"]);
  assertEquals(purged.code, 0, purged.out + purged.err);
  const { networks, endpoints, namespaces } = rig.system.hns();
  assertEquals([networks, endpoints, namespaces.length], [[], [], 1]);
  rig.checkReports();
});

Deno.test("a host's adapter that gets its address late: the device has given it up and keeps off it [windows T82]", async () => {
  await using rig = new DaemonRig();
  using client = await rig.start([{ op: "vnics", ms: 1500 }]);
  await setUp(client);
  await attach(client, "c1");
  assertEquals((await stackOf(rig)).addresses, [`10.200.0.1/28 ${BASE_VNIC}`, ...UPLINK]);
  assertEquals((await stackOf(rig)).passes[BASE_VNIC], "111 65535");
  await settled(rig);
  await rig.shutdown(client);
  await rig.ended();
});

Deno.test("a network that HNS refuses leaves the address on the device", async () => {
  await using rig = new DaemonRig();
  using client = await rig.start([
    { op: "script", function: "HcnCreateNetwork", action: "fail", code: 0x80070005 - 2 ** 32 },
  ]);
  await setUp(client);
  await assertRejects(() => attach(client, "c1"), Error, "0x80070005");
  await waitFor(
    "the address",
    async () => (await stackOf(rig)).addresses.includes(`10.200.0.1/16 ${GLOBAL}`),
  );
  await attach(client, "c1");
  assertEquals((await stackOf(rig)).addresses, [`10.200.0.1/28 ${BASE_VNIC}`, ...UPLINK]);
  await rig.shutdown(client);
  await rig.ended();
});

/** What somebody does to the device, given its LUID. */
const MEDDLING: { name: string; op: string; more: Record<string, unknown> }[] = [
  { name: "its address", op: "address", more: { address: "10.200.0.1", present: false } },
  { name: "the route to its network", op: "route", more: { destination: "10.200.0.0/16", present: false } },
  { name: "a peer's route", op: "route", more: { destination: "172.30.0.0/16", present: false } },
  { name: "its MTU", op: "mtu", more: { bytes: 1280 } },
  { name: "its forwarding", op: "flags", more: { forwarding: false } },
];

Deno.test("what somebody changes of a device, or all of it, is put right at once; at rest nothing is repaired", async () => {
  await using rig = new DaemonRig();
  using client = await rig.start();
  await setUp(client);
  const peer = {
    publicKey: freshPublicKey(),
    endpoint: "192.0.2.7:51420",
    allowedIps: "172.30.0.0/16",
    persistentKeepaliveSecs: 0,
  };
  await client.addPeer(peer);
  const before = await stackOf(rig);
  const json = JSON.stringify(before);
  const isRight = (stack: Stack): boolean => JSON.stringify(stack) === json;
  const becomesRight = (what: string) => waitFor(what, async () => isRight(await stackOf(rig)));
  for (const { name, op, more } of MEDDLING) {
    const { interfaces } = await rig.system.dump();
    const { luid } = interfaces.find(({ alias }) => alias === GLOBAL);
    // The daemon may be quicker than another look.
    assert(!isRight(inShort(await rig.system.ask("iphlpapi", op, { luid, ...more }))), name);
    await becomesRight(name);
    // A change of the same device waits for the end of the repair.
    await client.addPeer(peer);
  }
  await rig.system.ask("wintun", "vanish", { adapter: GLOBAL });
  await becomesRight("the adapter");
  // What status has read of a device is good for a moment.
  await waitFor("the peer", async () => (await client.status()).peerCount === 1);
  await rig.shutdown(client);
  const { out } = await rig.exited();
  const repairs = out.split("\n").flatMap((line) => /repairing.*why="(.*)"/.exec(line)?.[1] ?? []);
  assertEquals(repairs, [
    "lost its address",
    "lost its address",
    "has other routes",
    "MTU is 1280",
    "does not forward",
    "is down",
  ]);
});

Deno.test("a daemon that is killed: the next one has the same keys, containers and addresses [daemon 31]", async () => {
  await using rig = new DaemonRig();
  using first = await rig.start();
  await setUp(first);
  await attach(first, "c1");
  await first.setupServiceOverlay("db", "dedicated");
  await attach(first, "c2", "db");
  const before = identityOf(await first.status(true));
  const stack = await settled(rig);
  await rig.kill();
  using second = await rig.start();
  assertEquals(identityOf(await second.status(true)), before);
  await becomes(rig, stack);
  await rig.shutdown(second);
  await rig.ended();
});

Deno.test("an operator asks the daemon, and a second one is refused: texts and exit codes", async () => {
  await using rig = new DaemonRig();
  using client = await rig.start();
  await setUp(client);
  await attach(client, "c1");
  const status = await rig.run(["status"]);
  assertEquals([status.code, status.err], [0, ""]);
  for (const text of ["wireguard    userspace", "containers   hcn", GLOBAL, "container:c1", "node:crypto"]) {
    assertStringIncludes(status.out, text);
  }
  const json = JSON.parse((await rig.run(["status", "--json"])).out);
  assertEquals([json.global.node_ip, json.daemon.containers.kind], ["10.200.0.1", "hcn"]);
  const added = await rig.run(["service", "add", "cache"]);
  assertEquals([added.code, added.err], [0, ""]);
  assertEquals((await client.status()).serviceCount, 1);
  assertEquals((await rig.run(["service", "rm", "cache"])).code, 0);
  const second = await rig.run([]);
  assertEquals(second.code, 1);
  assertStringIncludes(second.err, "Error: ");
  const dry = await rig.run(["purge", "--dry-run", "--stop-daemon"]);
  assertEquals(dry.code, 0, dry.err);
  assertEquals((await client.status()).nodeIp, "10.200.0.1", "nothing was stopped");
  await rig.shutdown(client);
  await rig.ended();
});

Deno.test("while a call of HCN hangs, status and peers are answered on other connections [windows T94]", async () => {
  await using rig = new DaemonRig();
  const script = [{ op: "script", function: "HcnCreateEndpoint", action: "hang" }];
  const client = await rig.start(script);
  await setUp(client);
  let isAnswered = false;
  const attached = attach(client, "c1").catch(() => {}).finally(() => isAnswered = true);
  await waitFor("the namespace that goes before", () => rig.system.hasNamespaces(2));
  using other = await rig.connect();
  const asked = await Promise.all(Array.from({ length: 20 }, () => other.status(true)));
  assert(asked.every(({ serviceCount }) => serviceCount === 0));
  await other.addPeer({
    publicKey: freshPublicKey(),
    endpoint: "192.0.2.7:51420",
    allowedIps: "10.200.7.0/28",
    persistentKeepaliveSecs: 0,
  });
  assertEquals(isAnswered, false, "the attach still hangs");
  client.close();
  await attached;
});

Deno.test("where there is no HNS the daemon runs; an attach says so [windows T35]", async () => {
  await using rig = new DaemonRig({ hasHns: false });
  using client = await rig.start();
  await setUp(client);
  const error = await assertRejects(() => attach(client, "c1"));
  assertStringIncludes((error as Error).message, "no Host Networking Service");
  assertEquals((await client.status()).serviceCount, 0);
  await rig.shutdown(client);
  await rig.ended();
});

Deno.test("a program that keeps what it should not is reported by every fake (negative control)", async () => {
  await using rig = new DaemonRig();
  const { code, out, err } = await rig.runModule("./leaky.ts");
  assertEquals(code, 0, out + err);
  const wrong = await assertRejects(() => Promise.resolve().then(() => rig.checkReports()));
  for (
    const text of [
      "computenetwork: handlesOpen 1",
      "computenetwork: stringsKept 1",
      "iphlpapi: notificationsOpen 3",
      "iphlpapi: interfaces 1",
      "wintun: adaptersOpen 1",
      "wintun: sessionsOpen 1",
    ]
  ) {
    assertStringIncludes((wrong as Error).message, text);
  }
});
