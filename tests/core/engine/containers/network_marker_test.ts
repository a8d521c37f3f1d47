/** What the marker tells of networks when it cannot be written for a while. */
import { assert, assertEquals } from "@std/assert";
import { isHcnEntry, type MarkerEntry } from "../../../../core/marker.ts";
import { BASE, ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";

function baseEntry(changes: Partial<MarkerEntry> = {}): MarkerEntry {
  return { owner: "base", kind: "hcn-internal", name: BASE, id: guid(1), subnet: SLICE, ...changes };
}

Deno.test("a marker that could not be written is written by the next look at the network [windows T33]", async (t) => {
  const later = {
    "the regular reconcile": (rig: ContainerRig) => rig.drive(rig.engine.reconcile()),
    "another attach": (rig: ContainerRig) => rig.attach("c2"),
  };
  for (const [name, work] of Object.entries(later)) {
    await t.step(name, async () => {
      await using rig = await ContainerRig.start();
      rig.files.isReadOnly = true;
      await rig.attach("c1");
      assertEquals(rig.networks, []);
      await work(rig);
      assertEquals(rig.networks, [], "still read-only");
      rig.files.isReadOnly = false;
      rig.library.taken();
      await (name === "another attach" ? rig.attach("c3") : work(rig));
      assertEquals(rig.networks, [baseEntry({ id: [...rig.hns.networks.keys()][0]! })]);
      assert(!rig.library.taken().includes("CreateNetwork"));
    });
  }
});

Deno.test("the id of an earlier deployment's network that is gone is not used again, that of this one's is", async (t) => {
  for (const [name, isReused] of [["zlayer-dev-overlay", false], [BASE, true]] as const) {
    await t.step(name, async () => {
      await using rig = await ContainerRig.start(SLICE, (rig) => rig.plantMarker(baseEntry({ name })));
      await rig.attach("c1");
      assertEquals([...rig.hns.networks.keys()].map((id) => id === guid(1)), [isReused]);
    });
  }
});

Deno.test("an entry of a network that is gone is taken out once the marker can be written", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  await rig.engine.setupServiceOverlay("db", "dedicated");
  rig.files.isReadOnly = true;
  await rig.engine.teardownServiceOverlay("db");
  rig.files.isReadOnly = false;
  await rig.drive(rig.engine.reconcile());
  // The identity of its device is another matter.
  assertEquals(rig.networks.filter(isHcnEntry).map(({ owner }) => owner), ["base"]);
});
