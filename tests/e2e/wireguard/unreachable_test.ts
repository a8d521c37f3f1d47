/** Who sends to nobody is told, as by the kernel's WireGuard. */
import { assertMatch } from "@std/assert";
import { LeakAudit } from "../../support/leak_audit.ts";
import { NamedNetns, needing } from "../../support/test_netns.ts";
import { newKeys, TunnelEnd } from "../../support/tunnel_end.ts";

Deno.test({
  ...needing(
    ["ip", "ping", "wg"],
    "a packet to no peer, or to one that is nowhere, is answered as unreachable",
  ),
  fn: async () => {
    await using _audit = await LeakAudit.begin();
    await using place = await NamedNetns.create();
    const addresses = ["10.10.0.1/24", "fd10::1/64"] as const;
    await using end = await TunnelEnd.start(place, "ours", { addresses });
    // Of the first two nobody knows where they are, the others are nobody's.
    await end.set("peer", newKeys().public, "allowed-ips", "10.10.0.2/32,fd10::2/128");
    for (const host of ["10.10.0.2", "fd10::2", "10.10.0.3", "fd10::3"]) {
      const { stdout } = await place.run(["ping", "-n", "-c", "1", "-W", "5", host]);
      assertMatch(stdout, /Destination Host Unreachable|Destination unreachable: Address unreachable/, host);
    }
  },
});
