import { assert, assertEquals, assertRejects } from "@std/assert";
import { AlreadyExistsError, OverlayError, PreconditionError } from "../../../core/errors.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import type { AttachRequest } from "../../../core/service.ts";
import { EngineRig, globalRequest } from "../../support/engine_rig.ts";

function attachRequest(pid: number, changes: Partial<AttachRequest> = {}): AttachRequest {
  return { handle: { platform: "linux_pid", pid }, service: "web", joinGlobal: false, ...changes };
}

async function attach(rig: EngineRig, pid: number, changes: Partial<AttachRequest> = {}): Promise<string> {
  const reply = await rig.engine.attachContainer(attachRequest(pid, changes));
  assert(reply.kind === "attached");
  return reply.ip;
}

Deno.test("attachContainer() gives eth0 an address of the service's subnet and a port of its bridge", async () => {
  await using rig = await EngineRig.start();
  const service = await rig.engine.setupServiceOverlay("web", "auto");
  const process = rig.host.spawn(100);
  assertEquals(await attach(rig, 100), "10.200.74.18");
  assertEquals(formatPrefix(process.links.get("eth0")!.address), "10.200.74.18/28");
  const veth = rig.host.links.get("veth-100-s")!;
  assertEquals(veth.master, service.name);
  assert(veth.up);
  const { detail } = await rig.engine.status(true);
  assertEquals(detail!.attachments, [
    { handle: "pid:100", service: "web", ip: "10.200.74.18", hostLinks: ["veth-100-s"], state: "ready" },
  ]);
});

Deno.test("attachContainer() with join_global adds eth1 on the node's pool while the global device is up", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/28" }), rig.context);
  await rig.engine.setupServiceOverlay("web", "shared");
  const process = rig.host.spawn(100);
  await attach(rig, 100, { joinGlobal: true });
  assertEquals(formatPrefix(process.links.get("eth1")!.address), "10.200.0.2/32");
  assertEquals(rig.host.links.get("veth-100-g")!.routes.map(formatPrefix), ["10.200.0.2/32"]);
});

Deno.test("attachContainer() again for the same pid gives the same address, another service is refused", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  await rig.engine.setupServiceOverlay("api", "shared");
  rig.host.spawn(100);
  assertEquals(await attach(rig, 100), await attach(rig, 100));
  assertEquals(rig.store.leases.size, 1);
  await assertRejects(
    () => attach(rig, 100, { service: "api" }),
    AlreadyExistsError,
    "already attached to service web",
  );
});

Deno.test("attachContainer() lets go of an earlier process that had the pid", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  const first = await attach(rig, 100);
  rig.host.kill(100);
  const second = rig.host.spawn(100);
  assertEquals(await attach(rig, 100), first);
  assert(second.links.has("eth0"));
  assertEquals(rig.store.leases.size, 1);
});

Deno.test("attachContainer() names what is missing: service, process, namespace of its own", async () => {
  await using rig = await EngineRig.start();
  rig.host.spawn(100);
  const error = await assertRejects(() => attach(rig, 100), PreconditionError);
  assert(error.message.startsWith("no service bridge for service web"));
  await rig.engine.setupServiceOverlay("web", "shared");
  await assertRejects(() => attach(rig, 101), OverlayError, "101");
  await assertRejects(() => attach(rig, 1), OverlayError, "own network namespace");
  assertEquals(rig.store.leases.size, 0);
});

Deno.test("attachContainer() undoes everything when the namespace already has an eth0", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  const process = rig.host.spawn(100);
  process.links.set("eth0", {
    address: { address: { family: 4, value: 1n }, length: 32 },
    mac: new Uint8Array(6),
  });
  await assertRejects(() => attach(rig, 100), AlreadyExistsError, "eth0");
  assertEquals([...rig.host.links.keys()].filter((name) => name.startsWith("veth-")), []);
  assertEquals(rig.store.leases.size, 0);
  assertEquals(rig.store.attachments.size, 0);
  process.links.delete("eth0");
  assertEquals(await attach(rig, 100), "10.200.74.18");
});

Deno.test("attachContainer() of a windows container off Windows is an error [daemon 37]", async () => {
  await using rig = await EngineRig.start();
  await assertRejects(
    () =>
      rig.engine.attachContainer({
        handle: { platform: "windows_container", containerId: "c1" },
        service: "web",
        joinGlobal: false,
      }),
    OverlayError,
    "only supported on Windows",
  );
});

Deno.test("detachContainer() twice, and of an unknown pid, is success [daemon 38]", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  await attach(rig, 100);
  await rig.engine.detachContainer({ platform: "linux_pid", pid: 100 });
  await rig.engine.detachContainer({ platform: "linux_pid", pid: 100 });
  await rig.engine.detachContainer({ platform: "linux_pid", pid: 4242 });
  assertEquals(rig.store.leases.size, 0);
  assertEquals([...rig.host.links.keys()], ["zl---web-b"]);
});

Deno.test("200 attaches at once all succeed with different addresses, and status answers meanwhile", async () => {
  await using rig = await EngineRig.start();
  const services = Array.from({ length: 20 }, (_, i) => `svc-${i}`);
  await Promise.all(services.map((service) => rig.engine.setupServiceOverlay(service, "shared")));
  const pids = Array.from({ length: 200 }, (_, i) => 1000 + i);
  for (const pid of pids) rig.host.spawn(pid);
  const work = pids.map((pid, i) => attach(rig, pid, { service: services[i % 20]! }));
  const status = await rig.engine.status(false);
  assertEquals(status.serviceCount, 20);
  assertEquals(new Set(await Promise.all(work)).size, 200);
});
