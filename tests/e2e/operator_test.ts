/** A node run by its operator alone, on the command line. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { Container } from "../support/test_netns.ts";

Deno.test("an operator sets a service up, attaches, looks, and takes it all down", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using container = await Container.start();
  const pid = String(container.pid);
  const done = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await node.operate(...args);
    assertEquals([code, stderr], [0, ""], args.join(" "));
    return stdout;
  };

  const [bridge, mode] = (await done("service", "add", "web")).trim().split(" ");
  assertEquals(mode, "shared");
  const ip = (await done("attach", "--pid", pid, "--service", "web")).trim();
  assertEquals(await container.addresses("eth0"), [`${ip}/28`]);

  const json = JSON.parse(await done("status", "--json"));
  assertEquals([json.schema, json.daemon.pid, json.service_count], [1, node.daemon.pid, 1]);
  assertEquals(json.services.map((one: Record<string, unknown>) => [one.name, one.interface, one.state]), [
    ["web", bridge, "ready"],
  ]);
  const [attachment] = json.attachments;
  assertEquals([attachment.handle, attachment.ip, attachment.state], [`pid:${pid}`, ip, "ready"]);
  const links = await node.ownLinkNames();
  assertEquals([bridge, ...attachment.host_links].sort(), links);
  const text = await done("status");
  for (const shown of [bridge!, ip, `pid:${pid}`]) assertStringIncludes(text, shown);
  assertMatch(await done("call", '{"op":"status"}'), /"service_count":\s*1/);
  assertEquals(await auditNode(node, [container]), []);

  await done("detach", "--pid", pid);
  await done("service", "rm", "web");
  assertEquals(await node.ownLinkNames(), []);
  const refused = await node.operate("attach", "--pid", pid, "--service", "web");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, "no service bridge for service web");
  assert(!refused.stderr.includes(" at "), "a stack on the operator's terminal");
});
