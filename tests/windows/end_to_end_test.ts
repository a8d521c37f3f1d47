/** The daemon as a process, our client on its named pipe, an HNS that outlives both: from nothing to nothing. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { OverlaydClient } from "../../ipc/client.ts";
import { container, DEPLOYMENT, SLICE } from "../support/container_rig.ts";
import { freshPublicKey, globalRequest } from "../support/engine_rig.ts";
import { waitFor } from "../support/wait_for.ts";
import { DaemonRig } from "./support/daemon_rig.ts";

async function setUp(client: OverlaydClient): Promise<void> {
  await client.setLocalNodeId(1n);
  await client.setupGlobalOverlay(globalRequest({ deployment: DEPLOYMENT, sliceCidr: SLICE }));
}

async function attach(client: OverlaydClient, id: string, service = "web"): Promise<string> {
  const reply = await client.attachContainer({ handle: container(id), service, joinGlobal: false });
  assert(reply.kind === "attached" && reply.namespaceGuid !== undefined);
  return reply.namespaceGuid;
}

Deno.test("set up, dedicated service, attach, restart, detach by GUID and by id, purge: nothing is left [windows T54] [windows T76]", async () => {
  await using rig = new DaemonRig();
  const first = await rig.start();
  await setUp(first);
  const service = await first.setupServiceOverlay("db", "dedicated");
  assertEquals(service.name, "zlayer-overlay-svc-db");
  const guids = [await attach(first, "c1"), await attach(first, "c2"), await attach(first, "c3", "db")];
  assertEquals(new Set(guids).size, 3);
  await first.shutdown();
  await rig.ended();
  first.close();
  const { networks, endpoints, namespaces } = rig.system.hns();
  assertEquals([networks.length, endpoints.length, namespaces.length], [2, 3, 4]);

  const second = await rig.start();
  await setUp(second);
  await second.detachContainer(container(`{${guids[0]!.toUpperCase()}}`));
  await second.detachContainer(container("c2"));
  await second.detachContainer(container("c2"));
  const left = rig.system.hns();
  assertEquals([left.endpoints.length, left.namespaces.length], [1, 2]);
  const purged = await rig.run(["purge", "--stop-daemon"]);
  assertEquals(purged.code, 0, purged.out);
  second.close();
  await rig.ended();
  const end = rig.system.hns();
  assertEquals([end.networks, end.endpoints, end.namespaces.length], [[], [], 1]);
  assertEquals(rig.hasDataDir(), false, "the data directory is gone");
});

Deno.test("while a call of HCN hangs, status and peers are answered on other connections [windows T94]", async () => {
  await using rig = new DaemonRig();
  const script = [{ op: "script", function: "HcnCreateEndpoint", action: "hang" }];
  const client = await rig.start(script);
  await setUp(client);
  let isAnswered = false;
  const attached = attach(client, "c1").catch(console.log).finally(() => isAnswered = true);
  await waitFor("the namespace that goes before", () => rig.system.hasNamespaces(2));
  using other = await rig.connect();
  for (let i = 0; i < 20; i++) assertEquals((await other.status(true)).serviceCount, 0);
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
  await client.shutdown();
  await rig.ended();
});
