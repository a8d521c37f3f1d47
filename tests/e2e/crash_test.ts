/**
 * `kill -9` before and after every effect of attach, detach and service set-up, on the real kernel.
 *
 * `tests/core/engine/crash_test.ts` has the whole matrix over the fake host; here the process really dies, the
 * kernel really keeps what was made, and the audit asks `ip`.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { OverlayError } from "../../core/errors.ts";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { reach } from "../support/reach.ts";
import { Container } from "../support/test_netns.ts";

const CRASH_DAEMON = fromFileUrl(new URL("../support/crash_daemon.ts", import.meta.url));

/** A node with a service and an attached bystander, and a container that operations work on. */
interface Scene {
  readonly node: OverlayNode;
  readonly container: Container;
  readonly bystander: Container;
}

interface Operation {
  readonly name: string;
  /** Its name in the engine. */
  readonly method: string;
  readonly prepare: (scene: Scene) => Promise<unknown>;
  readonly run: (scene: Scene) => Promise<unknown>;
  /** What has to hold once `run` was answered. */
  readonly promised: (scene: Scene) => Promise<void>;
  /** Brings the scene back to what it was before `run`. */
  readonly undo: (scene: Scene) => Promise<unknown>;
  /** Points that there are at least: each commit and each datagram, before and after. */
  readonly minPoints: number;
}

const attach = ({ node, container }: Scene): Promise<string> => node.attach(container, "web");
const detach = ({ node, container }: Scene): Promise<void> => node.detach(container);

const OPERATIONS: readonly Operation[] = [
  {
    name: "attach_container",
    method: "attachContainer",
    prepare: () => Promise.resolve(),
    run: attach,
    promised: async ({ container, bystander }) => {
      const [address] = await container.addresses("eth0");
      await reach(bystander, address!.split("/")[0]!);
    },
    undo: detach,
    minPoints: 10,
  },
  {
    name: "detach_container",
    method: "detachContainer",
    prepare: attach,
    run: detach,
    promised: async ({ container }) => assertEquals(await container.link("eth0"), undefined),
    undo: attach,
    minPoints: 6,
  },
  {
    name: "setup_service_overlay",
    method: "setupServiceOverlay",
    prepare: () => Promise.resolve(),
    run: ({ node }) => node.client.setupServiceOverlay("api", "shared"),
    promised: async ({ node }) => {
      const service = (await node.status()).detail.services.find(({ name }) => name === "api");
      assert((await node.host.link(service!.bridge))?.flags.includes("UP"));
    },
    undo: ({ node }) => node.client.teardownServiceOverlay("api"),
    minPoints: 10,
  },
  {
    name: "teardown_service_overlay",
    method: "teardownServiceOverlay",
    prepare: async ({ node, container }) => {
      await node.client.setupServiceOverlay("api", "shared");
      await node.attach(container, "api");
    },
    run: ({ node }) => node.client.teardownServiceOverlay("api"),
    promised: async ({ node }) => assertEquals((await node.status()).serviceCount, 1),
    undo: async ({ node, container }) => {
      await node.client.setupServiceOverlay("api", "shared");
      await node.attach(container, "api");
    },
    minPoints: 10,
  },
];

for (const operation of OPERATIONS) {
  Deno.test(`kill -9 at any point of ${operation.name} loses no promise and leaks nothing`, async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using container = await Container.start();
    await using bystander = await Container.start();
    const scene = { node, container, bystander };
    await node.client.setupServiceOverlay("web", "shared");
    await node.attach(bystander, "web");
    const untouched = (await bystander.link("eth0"))?.ifindex;
    await operation.prepare(scene);
    let points = 0;
    while (!await crashAt(points, operation, scene)) points++;
    assert(points >= operation.minPoints, `only ${points} points`);
    assertEquals((await bystander.link("eth0"))?.ifindex, untouched, "the bystander's link was made anew");
  });
}

/** One round: crash, restart, audit, do it again, undo it. @returns Whether the operation was answered. */
async function crashAt(at: number, operation: Operation, scene: Scene): Promise<boolean> {
  const { node, container, bystander } = scene;
  await node.end("SIGTERM");
  await node.boot({
    entry: CRASH_DAEMON,
    env: { ZLAYER_TEST_CRASH_IN: operation.method, ZLAYER_TEST_CRASH_AT: String(at) },
  });
  const answered = await operation.run(scene).then(() => true, (error) => {
    assert(error instanceof OverlayError && error.code === "unavailable", String(error));
    return false;
  });
  const end = await (answered ? node.end("SIGKILL") : node.ended());
  assertEquals(end.signal, "SIGKILL");
  const where = answered ? "after the reply" : end.stderr.trim();
  assertStringIncludes(where, answered ? "" : "killed");

  await node.boot();
  assertEquals(await auditNode(node, [container, bystander]), [], `${where}, then restarted`);
  if (answered) await operation.promised(scene);
  await operation.run(scene);
  await operation.promised(scene);
  assertEquals(await auditNode(node, [container, bystander]), [], `${where}, then asked for again`);
  await operation.undo(scene);
  assertEquals(await auditNode(node, [container, bystander]), [], `${where}, then undone`);
  return answered;
}

/** Each does what a daemon must not, and has to be found. */
const PLANTS: { name: string; want: RegExp; plant: (scene: Scene) => Promise<unknown> }[] = [
  {
    name: "a tagged link that no record knows",
    want: /^link ztleak leaked$/,
    plant: async ({ node: { host } }) => {
      await host.must(["ip", "link", "add", "ztleak", "type", "veth", "peer", "name", "ztleak2"]);
      // Another installation's, so that the daemon does not collect it.
      await host.must([
        "ip",
        "link",
        "set",
        "ztleak",
        "alias",
        "zlayer-overlayd/x/0123456789abcdef:pid:1/eth0",
      ]);
    },
  },
  {
    name: "an address that is leased to somebody else",
    want: /^pid:\d+ has 10\.[\d.]+,10\.[\d.]+, status says 10\.[\d.]+$/,
    plant: async ({ container, bystander }) => {
      const [address] = await bystander.addresses("eth0");
      await container.must(["ip", "address", "add", address!, "dev", "eth0"]);
    },
  },
  {
    name: "a link in a container that nobody attached",
    want: /^pid:\d+ has links ztpeer,eth0$/,
    plant: async ({ node, container }) => {
      await node.detach(container);
      await container.must(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "ztpeer"]);
    },
  },
  {
    name: "a container that lost the address it was promised",
    want: /^pid:\d+ has no address, status says 10\.[\d.]+$/,
    plant: ({ container }) => container.must(["ip", "address", "flush", "dev", "eth0"]),
  },
];

for (const { name, want, plant } of PLANTS) {
  Deno.test(`the audit sees ${name} (negative control)`, async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using container = await Container.start();
    await using bystander = await Container.start();
    await node.client.setupServiceOverlay("web", "shared");
    await node.attach(bystander, "web");
    await node.attach(container, "web");
    assertEquals(await auditNode(node, [container, bystander]), []);
    await plant({ node, container, bystander });
    const wrong = await auditNode(node, [container, bystander]);
    assert(wrong.some((line) => want.test(line)), `not found among ${JSON.stringify(wrong)}`);
  });
}
