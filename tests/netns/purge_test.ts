/** `purge` against the kernel: real daemons in the network namespace of the suite. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { DaemonProcess, MAIN, runProgram, withTempDir } from "../process/support/daemon_process.ts";
import { Container, HERE, testName } from "../support/test_netns.ts";

async function linksOfOurs(): Promise<string[]> {
  return (await HERE.links()).map(({ ifname }) => ifname).filter((name) => /^(zl-|veth-)/.test(name))
    .toSorted();
}

/** The node id that service subnets are cut by. */
async function setNodeId(daemon: DaemonProcess): Promise<void> {
  using client = await daemon.connect();
  await client.setLocalNodeId(7n);
}

Deno.test("purge removes what a killed daemon without PATH made, spares the rest, and may be repeated", () =>
  withTempDir(async (dir) => {
    await using container = await Container.start();
    const foreign = `zl-${testName()}`.slice(0, 15);
    await HERE.must(["ip", "link", "add", foreign, "type", "bridge"]);
    try {
      const daemon = await DaemonProcess.start(dir, [], { entry: MAIN, env: { PATH: "" } });
      await using _killed = daemon;
      await setNodeId(daemon);
      const at = ["--data-dir", daemon.dataDir];
      const run = (...args: string[]): ReturnType<typeof runProgram> =>
        runProgram([...args, ...at], { entry: MAIN });
      const added = await run("service", "add", "web");
      assertEquals([added.code, added.stderr], [0, ""]);
      const attached = await run("attach", "--pid", String(container.pid), "--service", "web");
      assertEquals([attached.code, attached.stderr], [0, ""]);
      const links = await linksOfOurs();
      assert(links.length >= 3, links.join());
      await Deno.writeTextFile(join(daemon.dataDir, "daemon.json"), "{}");

      const refused = await run("purge");
      assertEquals(refused.code, 1);
      assertStringIncludes(refused.stderr, `pid ${daemon.pid}`);
      assertStringIncludes(refused.stderr, "--stop-daemon");
      const dry = await run("purge", "--dry-run");
      assertEquals(dry.code, 0);
      for (const name of links.filter((name) => name !== foreign)) {
        assertStringIncludes(dry.stdout, ` ${name}\n`);
      }
      assertStringIncludes(dry.stdout, `leave ${foreign}: carries no tag`);
      assertEquals(await linksOfOurs(), links);

      daemon.kill("SIGKILL");
      await daemon.ended();
      const purged = await run("purge");
      assertEquals([purged.code, purged.stderr], [0, ""]);
      assertEquals(await linksOfOurs(), [foreign]);
      assertEquals([...Deno.readDirSync(daemon.dataDir)].map(({ name }) => name), ["daemon.json"]);
      const again = await run("purge");
      assertEquals([again.code, again.stdout.split("\n")[0]], [0, "nothing to remove"]);
    } finally {
      await HERE.must(["ip", "link", "del", foreign]);
    }
  }));

Deno.test("purge takes a killed daemon's device in user space along, and its control socket", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, ["--wireguard", "userspace"], { entry: MAIN });
    const name = await daemon.connect().then(async (client) => {
      using _closed = client;
      const scope = { deployment: testName(), instanceId: "i" };
      const cidrs = { clusterCidr: "10.213.0.0/16", sliceCidr: "10.213.0.0/28" };
      return await client.setupGlobalOverlay({ ...scope, ...cidrs, wgPort: 51997, natEnabled: false });
    });
    const socket = join(daemon.dataDir, "run", "wireguard", `${name}.sock`);
    assert((await Deno.lstat(socket)).isSocket);
    daemon.kill("SIGKILL");
    await daemon.ended();
    const purged = await runProgram(["purge", "--data-dir", daemon.dataDir], { entry: MAIN });
    assertEquals([purged.code, purged.stderr], [0, ""]);
    assertStringIncludes(purged.stdout, `remove ${socket}\n`);
    assertEquals(await HERE.link(name), undefined);
    await assertRejects(() => Deno.lstat(daemon.dataDir), Deno.errors.NotFound);
  }));

Deno.test("purge --stop-daemon ends the running daemon first", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start(dir, [], { entry: MAIN });
    await setNodeId(daemon);
    const at = ["--data-dir", daemon.dataDir];
    assertEquals((await runProgram(["service", "add", "web", ...at], { entry: MAIN })).code, 0);
    const purged = await runProgram(["purge", "--stop-daemon", ...at], { entry: MAIN });
    assertEquals([purged.code, purged.stderr], [0, ""]);
    assertEquals((await daemon.ended()).code, 0);
    assertEquals(await linksOfOurs(), []);
    await assertRejects(() => Deno.lstat(daemon.dataDir), Deno.errors.NotFound);
  }));

Deno.test("the real daemon answers status and leaves its bridges at SIGTERM [daemon 28] [daemon 32]", () =>
  withTempDir(async (dir) => {
    {
      await using daemon = await DaemonProcess.start(dir, [], { entry: MAIN });
      const at = ["--data-dir", daemon.dataDir];
      const fresh = await runProgram(["call", '{"op":"status"}', ...at], { entry: MAIN });
      assertEquals(JSON.parse(fresh.stdout), {
        result: "status",
        overlay_cidr: "10.200.0.0/16",
        peer_count: 0,
        service_count: 0,
      });
      await setNodeId(daemon);
      assertEquals((await runProgram(["service", "add", "web", ...at], { entry: MAIN })).code, 0);
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
      assertEquals((await linksOfOurs()).length, 1);
    }
    {
      await using daemon = await DaemonProcess.start(dir, ["--cleanup-on-exit"], { entry: MAIN });
      const status = await runProgram(["status", "--json", "--socket", daemon.socket], { entry: MAIN });
      const view = JSON.parse(status.stdout);
      assertEquals(view.services.map(({ name, state }: { name: string; state: string }) => [name, state]), [
        ["web", "ready"],
      ]);
      daemon.kill("SIGTERM");
      assertEquals((await daemon.ended()).code, 0);
    }
    assertEquals(await linksOfOurs(), []);
  }));
