import { assertEquals } from "@std/assert";
import type { InventoryEntry } from "../../../core/backend/backend.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { type DesiredDevice, planRepair } from "../../../core/network/reconcile.ts";

const prefix = (text: string) => parsePrefix(text)!;

const WANT: DesiredDevice = {
  service: "",
  name: "zl-a-g",
  tag: "ours:global",
  address: prefix("10.200.0.1/16"),
  mtuBytes: 1420,
  routes: [prefix("10.201.0.0/16")],
};

const HAVE: InventoryEntry = {
  kind: "wireguard",
  name: WANT.name,
  tag: WANT.tag,
  up: true,
  mtuBytes: WANT.mtuBytes,
  addresses: [WANT.address],
  routes: WANT.routes,
};

const CASES: { name: string; have: Partial<InventoryEntry>; want: string | undefined }[] = [
  { name: "as it should be", have: {}, want: undefined },
  { name: "another's tag", have: { tag: "theirs" }, want: "belongs to someone else" },
  { name: "no tag", have: { tag: "" }, want: "lost its tag" },
  { name: "down", have: { up: false }, want: "is down" },
  { name: "no data path", have: { isDead: true }, want: "has lost its data path" },
  { name: "forwarding off", have: { isBarred: true }, want: "does not forward" },
  { name: "another MTU", have: { mtuBytes: 1280 }, want: "MTU is 1280" },
  { name: "no address", have: { addresses: [] }, want: "lost its address" },
  { name: "another prefix", have: { addresses: [prefix("10.200.0.1/24")] }, want: "lost its address" },
  { name: "no route", have: { routes: [] }, want: "has other routes" },
];

Deno.test("planRepair() says of a device what is wrong with it, and nothing of one that is right", async (t) => {
  for (const { name, have, want } of CASES) {
    await t.step(name, () => {
      const desired = {
        isOurs: (tag: string) => tag.startsWith("ours"),
        devices: [WANT],
        networks: [],
        attachments: [],
        busy: new Set<string>(),
      };
      const actions = planRepair(desired, [{ ...HAVE, ...have }]);
      assertEquals(actions, want === undefined ? [] : [{ kind: "device", service: "", why: want }]);
    });
  }
});
