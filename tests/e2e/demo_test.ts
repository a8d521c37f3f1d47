/** `deno task demo` does what the README says of it, from a child process with the lock file frozen. */
import { assertEquals, assertMatch } from "@std/assert";
import { capture, denoArgv, denoEnv } from "../../scripts/support/process.ts";
import { REPO } from "../../scripts/support/repo.ts";
import { LeakAudit } from "../support/leak_audit.ts";

/** Longest that it may take; a quiet machine needs ten seconds, a busy one many times as long. */
const DEADLINE_MS = 10 * 60_000;

/** What it has to have shown, in this order. */
const SHOWN: readonly RegExp[] = [
  /^== Three nodes/m,
  /^ +node 3: .* WireGuard: (kernel|userspace)$/m,
  /^ +ok +ping across services: /m,
  /^ +ok +ping on the node: \d+ sent, 0 lost$/m,
  /^ +ok +ping in web across nodes: 6 of 6 pairs$/m,
  /^ +ok +ping in db across nodes: 6 of 6 pairs$/m,
  /^ +ok +only UDP between the WireGuard ports 51420, 51421/m,
  /^ +ok +the text is in 0 of the packets on the uplink, in [1-9]\d* on /m,
  /^ +PUBLIC KEY +SCOPE +ENDPOINT +ALLOWED IPS +HANDSHAKE/m,
  /^ +ok +4 peers, /m,
  /^ +ok +web: \d+\.\d+ Gbit\/s/m,
  /^ +ok +db: \d+\.\d+ Gbit\/s/m,
  /^ +ok +the TCP stream went on: .* every byte arrived in order$/m,
  /^ +(ok +)?ping across nodes: \d+ sent, \d+ lost/m,
  /^ +ok +nothing is left behind$/m,
  /^demo: everything worked$/m,
];

Deno.test("the demo works, shows what it promises and leaves nothing", async () => {
  await using _audit = await LeakAudit.begin();
  const argv = denoArgv("run", "-A", "--frozen", "--quiet", "scripts/demo.ts");
  const { code, stdout, stderr, timedOut } = await capture(argv, {
    cwd: REPO,
    env: denoEnv(),
    timeoutMs: DEADLINE_MS,
  });
  assertEquals([code, timedOut], [0, false], `${stdout}\n${stderr}`);
  let rest = stdout;
  for (const pattern of SHOWN) {
    assertMatch(rest, pattern);
    rest = rest.slice(rest.search(pattern));
  }
  assertEquals(stdout.match(/FAIL/g), null);
});
