/** What the backend says when the service manager left it too few capabilities. */

import { assertMatch } from "@std/assert";
import { LeakAudit } from "../../support/leak_audit.ts";
import { Container, HERE, needing } from "../../support/test_netns.ts";

/** Runs a line of code with a backend as root with these capabilities alone; returns what it prints. */
async function runWith(capabilities: string, code: string): Promise<string> {
  const linux = import.meta.resolve("../../../core/backend/linux.ts");
  const log = import.meta.resolve("../../../core/log.ts");
  const script = `import { LinuxBackend } from "${linux}"; import { SILENT_LOG } from "${log}";
    const backend = await LinuxBackend.open(SILENT_LOG);
    try { ${code} } catch (error) { console.log(error.name, error.message); }
    backend.close();`;
  const drop = ["setpriv", `--bounding-set=-all,${capabilities}`, "--inh-caps=-all"];
  return await HERE.must([...drop, Deno.execPath(), "eval", "--no-lock", script], { timeoutMs: 60_000 });
}

Deno.test({
  ...needing(["setpriv"], "a missing CAP_SYS_PTRACE is named when a container may not be looked at"),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    await using container = await Container.start();
    const text = await runWith("+net_admin,+sys_admin", `await backend.identify(${container.pid});`);
    assertMatch(text, /^PermissionError cannot open the network namespace .* CAP_SYS_PTRACE is missing/);
  },
});

Deno.test({
  ...needing(["setpriv"], "a missing CAP_NET_ADMIN is named when a bridge is to be made"),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    const spec = `{ name: "zt0", tag: "zlayer-overlayd/x/0:y", mtuBytes: 1420,
      gateway: { address: { family: 4, value: 0x0a000001n }, length: 24 } }`;
    const text = await runWith("+sys_admin", `await backend.ensureServiceNetwork(${spec});`);
    assertMatch(
      text,
      /^PermissionError cannot set up bridge zt0: create link zt0: EPERM .*CAP_NET_ADMIN is missing/,
    );
  },
});
