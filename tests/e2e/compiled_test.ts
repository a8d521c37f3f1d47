/** The shipped form: one executable, which serves and operates, with nothing beside it and an empty environment. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { OverlaydClient } from "../../ipc/client.ts";
import { compileForTest } from "../support/compiled.ts";
import { LeakAudit } from "../support/leak_audit.ts";
import { Container, NamedNetns } from "../support/test_netns.ts";

Deno.test("the compiled executable attaches containers by its own commands, and brings WireGuard up", async () => {
  await using _ = await LeakAudit.begin();
  await using built = await compileForTest("main.ts");
  await using host = await NamedNetns.create();
  await using a = await Container.start();
  await using b = await Container.start();
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  const socket = join(dir, "overlayd.sock");
  const flags = ["--data-dir", join(dir, "data"), "--socket", socket];
  const daemon = new Deno.Command("nsenter", {
    args: [`--net=${host.path}`, "--", built.path, ...flags],
    stdin: "null",
    stdout: "null",
    env: { RUST_LOG: "warn", PATH: "/usr/bin:/bin" },
    clearEnv: true,
  }).spawn();
  const operate = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await host.run([built.path, ...args, "--socket", socket]);
    assertEquals(code, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  try {
    await (await OverlaydClient.connect(socket, { attempts: 100 }))[Symbol.asyncDispose]();
    await operate("call", '{"op":"set_local_node_id","node_id":1}');
    await operate("service", "add", "web");
    for (const { pid } of [a, b]) await operate("attach", "--pid", String(pid), "--service", "web");
    assert(await a.ping("10.200.74.19"));
    assertStringIncludes(await operate("status"), "10.200.74.18");
    const setup = {
      op: "setup_global_overlay",
      deployment: "prod",
      instance_id: "42",
      cluster_cidr: "10.200.0.0/16",
      slice_cidr: "10.200.0.0/28",
      wg_port: 51420,
      nat_enabled: false,
    };
    assertStringIncludes(await operate("call", JSON.stringify(setup)), "zl-prod-42-g");
    assertEquals(await host.addresses("zl-prod-42-g"), ["10.200.0.1/16"]);
    for (const { pid } of [a, b]) await operate("detach", "--pid", String(pid));
    await operate("service", "rm", "web");
    await operate("call", '{"op":"teardown_global_overlay"}');
    const left = (await host.links()).map(({ ifname }) => ifname);
    assertEquals(left, ["lo"]);
  } finally {
    daemon.kill("SIGTERM");
    assertEquals((await daemon.status).code, 0);
    await Deno.remove(dir, { recursive: true });
  }
});
