/** The Host Networking Service is no longer there, or its library cannot be loaded, and there are records. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { libraryChannel } from "../../../../core/backend/windows/channel.ts";
import { UnsupportedError } from "../../../../core/errors.ts";
import { openComputeNetwork } from "../../../../ffi/computenetwork.ts";
import { ContainerRig } from "../../../support/container_rig.ts";

const ABSENT = "/nonexistent/computenetwork.dll";
/** A file that is there and is no library. */
const UNUSABLE = decodeURIComponent(new URL(import.meta.url).pathname).replace(/^\/(?=[A-Za-z]:)/, "");

/** Ends the engine and starts another one, whose service's library is this file. */
async function restartWith(rig: ContainerRig, computenetwork: string): Promise<void> {
  const library = openComputeNetwork({ computenetwork, ole32: "/nonexistent/ole32.dll" });
  rig.openChannel = () => libraryChannel(library);
  await rig.restart();
}

/** A node with two containers, one of which could not be detached yet. */
async function withTwo(): Promise<ContainerRig> {
  const rig = await ContainerRig.start();
  await rig.attach("c1");
  await rig.attach("c2");
  rig.library.next("DeleteEndpoint", { hresult: 0x80070005 | 0 });
  await rig.detach("c1");
  assertEquals(phases(rig), ["c1 removing", "c2 ready"]);
  return rig;
}

function phases({ store }: ContainerRig): string[] {
  return [...store.containerEndpoints.values()].map(({ containerId, phase }) => `${containerId} ${phase}`)
    .sort();
}

async function problem({ engine }: ContainerRig): Promise<string | undefined> {
  return (await engine.status(true)).detail!.containers!.problem;
}

Deno.test("without the service what is detached is gone, and status says why; what is attached is kept", async () => {
  await using rig = await withTwo();
  await restartWith(rig, ABSENT);
  assertEquals(phases(rig), ["c2 ready"]);
  assertEquals(rig.leased().length, 1);
  assertStringIncludes(await problem(rig) ?? "", "this Windows has no Host Networking Service");
  const lines = rig.node.log.records.filter(({ level }) => level === "warn").map(({ message }) => message);
  assert(lines.some((line) => line.includes("counts as gone")), lines.join("\n"));
  await rig.detach("c2");
  assertEquals([phases(rig), rig.leased()], [[], []]);
  await rig.drive(rig.engine.reconcile());
  assertStringIncludes(await problem(rig) ?? "", "this Windows has no Host Networking Service");
});

Deno.test("without the service a dedicated service is taken down with what is attached to it", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("db", "dedicated");
  await rig.attach("c1", undefined, { service: "db" });
  await restartWith(rig, ABSENT);
  await rig.engine.teardownServiceOverlay("db");
  assertEquals([rig.store.services.size, phases(rig), rig.leased()], [0, [], []]);
});

Deno.test("once the service is back, what it has kept of a container is looked after, and status is quiet", async () => {
  await using rig = await withTwo();
  const { openChannel } = rig;
  await restartWith(rig, ABSENT);
  await rig.detach("c2");
  rig.openChannel = openChannel;
  await rig.restart();
  await rig.engine.sweepContainers();
  assertEquals(await problem(rig), undefined);
  // The endpoint of the first was out of its namespace, and is collected.
  assertEquals([phases(rig), rig.hns.endpoints.size], [["c2 ready"], 1]);
  await rig.detach("c2");
  assertEquals([rig.leased(), rig.hns.endpoints.size], [[], 0]);
});

Deno.test("a library that cannot be loaded is no reason to take anything for gone", async () => {
  await using rig = await withTwo();
  await restartWith(rig, UNUSABLE);
  assertEquals(phases(rig), ["c1 removing", "c2 ready"]);
  assertStringIncludes(await problem(rig) ?? "", "cannot be loaded");
  await rig.detach("c2");
  assertEquals(phases(rig), ["c1 removing", "c2 removing"]);
  const attachments = (await rig.engine.status(true)).detail!.attachments;
  for (const one of attachments) assertStringIncludes(one.problem ?? "", "cannot be loaded");
});

Deno.test("without the service purge has nothing to remove; a library that cannot be loaded fails it", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  const places = [...rig.store.containerEndpoints.values()]
    .map(({ namespace, endpoint }) => ({ namespace, endpoints: [endpoint] }));
  await restartWith(rig, ABSENT);
  assertEquals(await rig.containers.purge("zlayer", places), []);
  await restartWith(rig, UNUSABLE);
  const failures = await rig.containers.purge("zlayer", places);
  assert(failures.length >= 3, failures.join("\n"));
  await assertRejects(() => rig.containers.survey("zlayer"), UnsupportedError, "cannot be loaded");
});
