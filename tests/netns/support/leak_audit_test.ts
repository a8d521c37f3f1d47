/** Negative controls: the leak audit sees each kind of thing that a test could leave behind. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LeakAudit } from "../../support/leak_audit.ts";
import { Container, HERE, NamedNetns, testName } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";

Deno.test("LeakAudit finds nothing where nothing is left", async () => {
  await using _audit = await LeakAudit.begin();
  await using container = await Container.start();
  await using netns = await NamedNetns.create();
  assert(await netns.ping("127.0.0.1"));
  assert(!(await container.ping("127.0.0.1")), "lo of a new container is down");
});

/** Each leaves something, expects a line that matches, and removes it. */
const PLANTS: { name: string; want: RegExp; plant: () => Promise<() => Promise<unknown> | void> }[] = [
  {
    name: "a link, with its address and routes",
    want: /^link zt\w+ veth$/,
    plant: async () => {
      const name = testName();
      await HERE.must(["ip", "link", "add", name, "type", "veth", "peer", "name", testName()]);
      return () => HERE.must(["ip", "link", "del", name]);
    },
  },
  {
    name: "an address on lo",
    want: /^address 192\.0\.2\.77 on lo$/,
    plant: async () => {
      await HERE.must(["ip", "address", "add", "192.0.2.77/32", "dev", "lo"]);
      return () => HERE.must(["ip", "address", "del", "192.0.2.77/32", "dev", "lo"]);
    },
  },
  {
    name: "a route",
    want: /^route blackhole 198\.51\.100\.0\/24 dev/,
    plant: async () => {
      await HERE.must(["ip", "route", "add", "blackhole", "198.51.100.0/24"]);
      return () => HERE.must(["ip", "route", "del", "blackhole", "198.51.100.0/24"]);
    },
  },
  {
    name: "a rule",
    want: /^rule 4 .*7777/,
    plant: async () => {
      await HERE.must(["ip", "rule", "add", "fwmark", "7777", "table", "7777"]);
      return () => HERE.must(["ip", "rule", "del", "fwmark", "7777", "table", "7777"]);
    },
  },
  {
    name: "a named namespace",
    want: /^netns zt/,
    plant: async () => {
      const netns = await NamedNetns.create();
      return () => netns[Symbol.asyncDispose]();
    },
  },
  {
    name: "a process",
    want: /^process \d+ sleep$/,
    plant: async () => {
      const container = await Container.start();
      // The shell that it begins as.
      const name = (): string => Deno.readTextFileSync(`/proc/${container.pid}/comm`).trim();
      await waitFor("it to sleep", () => name() === "sleep");
      return () => container.kill();
    },
  },
  {
    name: "a Unix socket",
    want: /^socket unix .*\/zt\.sock$/,
    plant: async () => {
      const dir = await Deno.makeTempDir({ prefix: "zt" });
      const listener = Deno.listen({ transport: "unix", path: `${dir}/zt.sock` });
      return () => {
        listener.close();
        Deno.removeSync(dir, { recursive: true });
      };
    },
  },
  {
    name: "a listening TCP socket",
    want: /^socket tcp 0100007F:/,
    plant: () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      return Promise.resolve(() => listener.close());
    },
  },
  {
    name: "a temporary directory",
    want: /^file .*\/zt[0-9a-f]+$/,
    plant: async () => {
      const dir = await Deno.makeTempDir({ prefix: "zt" });
      return () => Deno.removeSync(dir);
    },
  },
];

for (const { name, want, plant } of PLANTS) {
  Deno.test(`LeakAudit sees ${name}`, async () => {
    const audit = await LeakAudit.begin();
    const remove = await plant();
    try {
      const leaks = await audit.leaks();
      assert(leaks.some((line) => want.test(line)), `not found among ${JSON.stringify(leaks)}`);
      await assertRejects(() => audit.assertNoLeaks({ timeoutMs: 0 }), Error, "left behind");
    } finally {
      await remove();
    }
    await audit.assertNoLeaks();
    assertEquals(await audit.leaks(), []);
  });
}
