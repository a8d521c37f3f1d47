import { assertEquals, assertMatch } from "@std/assert";
import { LeakAudit } from "../../support/leak_audit.ts";
import { OCI_PROGRAMS, OciContainer } from "../../support/oci_container.ts";
import { needing } from "../../support/test_netns.ts";

Deno.test({
  ...needing(OCI_PROGRAMS, "OciContainer is a crun container with a network of its own"),
  fn: async () => {
    await using _audit = await LeakAudit.begin();
    await using container = await OciContainer.start();
    assertEquals((await container.links()).map(({ ifname }) => ifname), ["lo"]);
    assertMatch(await container.exec("ip", "link"), /\blo\b/);
  },
});
