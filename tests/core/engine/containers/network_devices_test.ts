/** What making and finding networks means for the node's devices, which share an address with the host's adapter. */
import { assertEquals, assertRejects } from "@std/assert";
import type { AddressSharing } from "../../../../core/backend/windows/node_devices.ts";
import { PermissionError } from "../../../../core/errors.ts";
import { formatIp, type IpAddress } from "../../../../core/ip/address.ts";
import type { MarkerEntry } from "../../../../core/marker.ts";
import { BASE, ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";

function baseEntry(changes: Partial<MarkerEntry> = {}): MarkerEntry {
  return { owner: "base", kind: "hcn-internal", name: BASE, id: guid(1), subnet: SLICE, ...changes };
}

/** Devices that tell how many networks there are at each call. */
function devicesOf(rig: ContainerRig, calls: string[]): AddressSharing {
  const note = (what: string) => (address: IpAddress): Promise<void> => {
    calls.push(`${what} ${formatIp(address)} of ${rig.hns.networks.size}`);
    return Promise.resolve();
  };
  return {
    yieldAddress: note("yield"),
    reclaimAddress: (address) => void note("reclaim")(address),
    admitAdapter: note("admit"),
  };
}

Deno.test("devices give up the gateway's address before a network is made, and let its adapter in afterwards, once", async () => {
  const calls: string[] = [];
  await using rig = await ContainerRig.start(SLICE, (rig) => rig.devices = devicesOf(rig, calls));
  await rig.attach("c1");
  await rig.attach("c2");
  assertEquals(calls, ["yield 10.200.0.1 of 0", "admit 10.200.0.1 of 1"]);
});

Deno.test("devices keep their address beside a network that is adopted, and let its adapter in", async () => {
  const calls: string[] = [];
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(2), BASE, "Internal", SLICE);
    rig.devices = devicesOf(rig, calls);
  });
  await rig.attach("c1");
  assertEquals(calls, ["admit 10.200.0.1 of 1"]);
});

Deno.test("devices may have the address back when the network cannot be made", async () => {
  const calls: string[] = [];
  await using rig = await ContainerRig.start(SLICE, (rig) => rig.devices = devicesOf(rig, calls));
  rig.library.next("CreateNetwork", { hresult: 0x80070005 | 0, record: '{"Error":"Access is denied."}' });
  await assertRejects(() => rig.attach("c1"), PermissionError);
  assertEquals(calls, ["yield 10.200.0.1 of 0", "reclaim 10.200.0.1 of 0"]);
});

Deno.test("an address that is not given up fails the attach and makes nothing; an adapter that is not let in does not", async () => {
  const refuse = (): Promise<void> => Promise.reject(new PermissionError("not now"));
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.devices = { ...devicesOf(rig, []), yieldAddress: refuse };
  });
  await assertRejects(() => rig.attach("c1"), PermissionError, "not now");
  assertEquals(rig.hns.networks.size, 0);
  await using other = await ContainerRig.start(SLICE, (rig) => {
    rig.devices = { ...devicesOf(rig, []), admitAdapter: refuse };
  });
  await other.attach("c1");
  assertEquals(other.hns.networks.size, 1);
});

Deno.test("a transparent network gets no adapter of the host: the devices keep their address, nobody waits", async (t) => {
  const rows = [
    { name: "made", plant: undefined, isAsked: false },
    { name: "adopted", plant: "Transparent", isAsked: false },
    { name: "in the marker", plant: "Transparent", isMarked: true, isAsked: false },
    { name: "one that is internal", plant: "Internal", isAsked: true },
  ];
  for (const { name, plant, isMarked, isAsked } of rows) {
    await t.step(name, async () => {
      const calls: string[] = [];
      await using rig = await ContainerRig.start(SLICE, (rig) => {
        rig.uplinkAdapter = "Ethernet 2";
        rig.devices = devicesOf(rig, calls);
        if (plant !== undefined) rig.hns.plant.network(guid(1), BASE, plant, SLICE);
        if (isMarked) rig.plantMarker(baseEntry({ kind: "hcn-transparent" }));
      });
      await rig.attach("c1");
      assertEquals(calls, isAsked ? ["admit 10.200.0.1 of 1"] : []);
    });
  }
});
