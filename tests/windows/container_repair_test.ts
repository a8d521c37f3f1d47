/** What somebody deletes from the rig's computenetwork.dll is made again, as it was; which adapter is ours. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type HcnNetworkEntry, withHcnNetwork } from "../../core/marker.ts";
import { callHcn, type HcnFunction, openComputeNetwork } from "../../ffi/computenetwork.ts";
import { openIpHelper } from "../../ffi/iphlpapi.ts";
import { encodeUnicastAddress } from "../../ffi/windows/unicast_address_row.ts";
import { waitFor } from "../support/wait_for.ts";
import { node as deviceNode, specOf } from "./support/device_rig.ts";
import { fakePath } from "./support/fake_library.ts";
import { auditHcn } from "./support/hcn_audit.ts";
import { NETWORK_ID } from "./support/hcn_examples.ts";
import { fakePaths } from "./support/channel_pool.ts";
import { HcnNode, type HnsObject, type HnsState } from "./support/hcn_node.ts";
import { WintunHost } from "./support/wintun_host.ts";

/** Longer than any call is waited for. */
const PATIENCE_MS = 15_001;
/** For so long a repair is put off after its first failure. */
const PAUSE_MS = 30_000;

/** Deletes an object as somebody else would, behind the daemon's back. */
async function deleteByHand(kind: "Network" | "Endpoint" | "Namespace", id: string): Promise<void> {
  const fn: HcnFunction = `HcnDelete${kind}`;
  assertEquals((await callHcn(openComputeNetwork(fakePaths()), { fn, id })).hresult, 0, `${fn} ${id}`);
}

/** A node with two containers. */
async function withContainers(): Promise<HcnNode> {
  const node = await HcnNode.start();
  await node.attach("bystander", "10.200.0.9");
  await node.attach("c1", "10.200.0.5");
  return node;
}

function endpointOf(node: HcnNode, ip: string): HnsObject {
  return node.state().endpoints.find((one) => one.ip === ip)!;
}

/** What has to be so again; numbers and times of making aside. */
function essence({ networks, endpoints, namespaces }: HnsState): unknown {
  const sorted = <T>(rows: T[]): T[] => rows.sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  return {
    networks: sorted(networks.map(({ id, document }) => [id, document])),
    endpoints: sorted(endpoints.map(({ id, document, ip }) => [id, document?.Name, ip])),
    namespaces: sorted(namespaces.map(({ id, resources }) => [id, resources])),
  };
}

Deno.test("an endpoint deleted by hand is made again: its id, address, hardware address, namespace", async () => {
  await using node = await withContainers();
  const before = node.state();
  const record = [...node.rig.store.containerEndpoints.values()].find(({ ip }) => ip === "10.200.0.5")!;
  await deleteByHand("Endpoint", endpointOf(node, "10.200.0.5").id);
  assertEquals(auditHcn(node), ["container c1 is not there"]);
  await node.drive(node.engine.reconcile());
  assertEquals(auditHcn(node), []);
  assertEquals(essence(node.state()), essence(before));
  const { document } = endpointOf(node, "10.200.0.5") as { document?: { MacAddress?: string } };
  assert(record.mac !== undefined);
  assertEquals(document?.MacAddress, record.mac);
  assertEquals([...node.rig.store.containerEndpoints.values()].find(({ ip }) => ip === record.ip), record);
});

Deno.test("networks deleted by hand are made again under their ids, with what was on them", async () => {
  await using node = await withContainers();
  await node.engine.setupServiceOverlay("db", "dedicated");
  await node.attach("c3", undefined, "db");
  const before = node.state();
  for (const { id } of before.endpoints) await deleteByHand("Endpoint", id);
  for (const { id } of before.networks) await deleteByHand("Network", id);
  await node.drive(node.engine.reconcile());
  assertEquals(auditHcn(node), []);
  assertEquals(essence(node.state()), essence(before));
});

Deno.test("a namespace deleted by hand is told of with what to do, and an attach heals it", async () => {
  await using node = await withContainers();
  const namespace = [...node.rig.store.containerEndpoints.values()].find(({ ip }) => ip === "10.200.0.5")!
    .namespace;
  const endpoint = endpointOf(node, "10.200.0.5");
  // HNS does not let one go that holds an endpoint.
  const library = openComputeNetwork(fakePaths());
  const { handle } = await callHcn(library, { fn: "HcnOpenNamespace", id: namespace });
  const text = JSON.stringify({
    ResourceType: "Endpoint",
    RequestType: "Remove",
    Settings: { EndpointId: endpoint.id },
  });
  await callHcn(library, { fn: "HcnModifyNamespace", handle: handle!, text });
  await callHcn(library, { fn: "HcnCloseNamespace", handle: handle! });
  await deleteByHand("Namespace", namespace);
  await node.drive(node.engine.reconcile());
  const { detail } = await node.engine.status(true);
  const { state, problem } = detail!.attachments.find(({ handle }) => handle === "container:c1")!;
  assertEquals(state, "degraded");
  assertStringIncludes(problem!, `its namespace ${namespace} is gone`);
  await node.drive(node.attach("c1", "10.200.0.5"));
  assertEquals(auditHcn(node), []);
  assertEquals((await node.engine.status(true)).detail!.attachments.map(({ state }) => state), [
    "ready",
    "ready",
  ]);
});

Deno.test("a call of a repair that hangs, whichever, ends in a whole container and nothing besides", async () => {
  const calls = await repairCalls();
  assert(calls.includes("HcnCreateEndpoint") && calls.length > 8, calls.join());
  for (const [at, name] of calls.entries()) {
    // A close that hangs keeps nobody waiting but the handle.
    if (name.startsWith("HcnClose")) continue;
    await using node = await withContainers();
    await deleteByHand("Endpoint", endpointOf(node, "10.200.0.5").id);
    node.fake.script({ function: "*", call: at + 1, when: "before", action: "hang" });
    const pass = node.engine.reconcile();
    await waitFor("the call hangs", () => node.fake.counters().hanging === 1);
    node.rig.clock.advance(PATIENCE_MS);
    await node.engine.status(true);
    node.fake.request("release");
    await node.drive(pass);
    await waitFor("HCN is called again", () => node.backend.containers.trouble === undefined);
    // A step at a time and not beside calls that are under way, which would be late then.
    await node.drive(new Promise<void>((done) => void node.rig.clock.after(PAUSE_MS, done)));
    await node.recover();
    const where = `${name} (${at}) hung`;
    // What a late call brought is given back by calls that nobody waits for.
    await waitFor(where, () => auditHcn(node).length === 0).catch(() => {});
    assertEquals(auditHcn(node), [], where);
    assertEquals(node.state().endpoints.map(({ ip }) => ip).sort(), ["10.200.0.5", "10.200.0.9"], where);
  }
});

/** Functions that a repair calls when nothing is wrong. */
async function repairCalls(): Promise<string[]> {
  await using node = await withContainers();
  await deleteByHand("Endpoint", endpointOf(node, "10.200.0.5").id);
  const before = node.fake.calls().length;
  await node.drive(node.engine.reconcile());
  assertEquals(auditHcn(node), []);
  return node.fake.calls().slice(before);
}

Deno.test("an adapter whose name HNS has cut is known for ours by the address it has [windows T82]", async () => {
  const vnic = "1688849977540608";
  await using host = new WintunHost();
  const own = specOf(deviceNode(1), []);
  host.stack.request("interface", { luid: vnic, alias: "vEthernet (zlayer-overlay-)" });
  const address = Uint8Array.of(10, 200, 1, 1);
  const row = encodeUnicastAddress({ luid: BigInt(vnic), address, prefixLength: 28 });
  assertEquals(openIpHelper(fakePath("iphlpapi_fake.dll")).createAddress(row), 0);
  const entry: HcnNetworkEntry = {
    owner: "service:db",
    kind: "hcn-internal",
    name: "zlayer-overlay-svc-db",
    id: NETWORK_ID,
    subnet: "10.200.1.0/28",
  };
  await host.marker.update((marker) => withHcnNetwork(marker, entry));
  await host.backend.ensureDevice(own);
  assertEquals(host.dump().addresses.map(({ luid }) => luid), [vnic]);
  host.stack.request("interface", { luid: vnic, present: false });
});
