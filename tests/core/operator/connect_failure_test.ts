import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  explainConnectFailure,
  readSocketFacts,
  type SocketFacts,
} from "../../../core/operator/connect_failure.ts";
import { unixTest } from "../../support/unix_test.ts";

const PATH = "/run/x/zlayer-overlayd.sock";
const NAMES = {
  passwd: "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
  group: "zlayer:x:990:\n",
};

Deno.test("explainConnectFailure() tells what happened, where, and what to do", async (t) => {
  const wrapped = new Error("connect", { cause: new Deno.errors.PermissionDenied("x") });
  const cases: { name: string; error: Error; facts: Partial<SocketFacts>; code: number; says: string[] }[] = [
    {
      name: "no socket",
      error: new Deno.errors.NotFound("x"),
      facts: {},
      code: 3,
      says: [`not running at ${PATH}`, "no such socket", "systemctl start zlayer-overlayd"],
    },
    {
      name: "no socket, but one elsewhere",
      error: new Deno.errors.NotFound("x"),
      facts: { elsewhere: "/var/run/zlayer-overlayd.sock" },
      code: 3,
      says: ["try --socket /var/run/zlayer-overlayd.sock"],
    },
    {
      name: "stale socket",
      error: new Deno.errors.ConnectionRefused("x"),
      facts: {},
      code: 3,
      says: ["stale"],
    },
    {
      name: "socket of root and a group",
      error: wrapped,
      facts: { owner: { uid: 0, gid: 990, mode: 0o140660 } },
      code: 4,
      says: ["user 'root', group 'zlayer', mode 0660", "join the group 'zlayer'"],
    },
    {
      name: "socket of a user without a name",
      error: wrapped,
      facts: { owner: { uid: 4711, gid: 0, mode: 0o140660 } },
      code: 4,
      says: ["user '4711', group '0'", "Run the command as '4711' or root.\n"],
    },
    {
      name: "directory that may not be entered",
      error: wrapped,
      facts: {},
      code: 4,
      says: ["may not look into /run/x"],
    },
    { name: "anything else", error: new TypeError("odd"), facts: {}, code: 1, says: [`${PATH}: odd`] },
  ];
  for (const { name, error, facts, code, says } of cases) {
    await t.step(name, () => {
      const got = explainConnectFailure(PATH, error, { ...NAMES, ...facts });
      assertEquals(got.exitCode, code);
      for (const part of says) assertStringIncludes(got.text, part);
      assert(got.text.endsWith("\n"));
    });
  }
});

unixTest("readSocketFacts() finds the owner and another endpoint", async () => {
  const dir = await Deno.makeTempDir({ prefix: "zt-facts-" });
  try {
    using _first = Deno.listen({ transport: "unix", path: `${dir}/a.sock` });
    using _second = Deno.listen({ transport: "unix", path: `${dir}/b.sock` });
    const facts = await readSocketFacts(`${dir}/a.sock`, [`${dir}/a.sock`, `${dir}/none`, `${dir}/b.sock`]);
    assertEquals(facts.owner?.uid, Deno.uid());
    assertEquals(facts.elsewhere, `${dir}/b.sock`);
    assertEquals((await readSocketFacts(`${dir}/none`, [])).owner, undefined);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("explainConnectFailure() speaks of pipes where the endpoint is one, and looks at none", async () => {
  const pipe = "\\\\.\\pipe\\zlayer-overlayd";
  const facts = await readSocketFacts(pipe, ["/var/run/zlayer-overlayd.sock"]);
  assertEquals(facts, { passwd: "", group: "" });
  const missing = explainConnectFailure(pipe, new Deno.errors.NotFound("x"), facts);
  assertEquals(missing.exitCode, 3);
  assertStringIncludes(missing.text, `not running at ${pipe}: there is no such pipe`);
  assertStringIncludes(missing.text, "'sc.exe start ZLayerDaemon-Overlayd'");
  const denied = explainConnectFailure(pipe, new Deno.errors.PermissionDenied("x"), facts);
  assertEquals(denied.exitCode, 4);
  assertStringIncludes(denied.text, "Run the command as Administrator.");
});
