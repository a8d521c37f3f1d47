import { assertEquals } from "@std/assert";
import { isOwnVnic } from "../../../../core/backend/windows/own_vnic.ts";
import type { MarkerEntry } from "../../../../core/marker.ts";

const GATEWAY = Uint8Array.of(10, 200, 0, 1), SERVICE_GATEWAY = Uint8Array.of(10, 200, 4, 17);
const HYPER_V = "Hyper-V Virtual Ethernet Adapter";

function entry(changes: Partial<MarkerEntry>): MarkerEntry {
  const id = "6c1f0d3e-1111-4222-8333-944455556666";
  return {
    owner: "base",
    kind: "hcn-internal",
    name: "zlayer-overlay",
    id,
    subnet: "10.200.0.0/28",
    ...changes,
  };
}

const NETWORKS = [
  entry({}),
  entry({ owner: "service:db", name: "zlayer-overlay-svc-db", subnet: "10.200.4.16/28" }),
  entry({ owner: "service:web", kind: "wg-dedicated", name: "zl-web", subnet: "10.200.5.0/28" }),
  entry({ owner: "service:odd", name: "odd", subnet: "no subnet" }),
];

const ROWS: { name: string; alias: string; address: Uint8Array; description?: string; want: boolean }[] = [
  { name: "named after its network", alias: "vEthernet (zlayer-overlay)", address: GATEWAY, want: true },
  {
    name: "the same, whatever the address",
    alias: "vEthernet (zlayer-overlay)",
    address: Uint8Array.of(10, 9, 9, 9),
    want: true,
  },
  { name: "its name cut", alias: "vEthernet (zlayer-overlay-)", address: SERVICE_GATEWAY, want: true },
  {
    name: "as older versions call it",
    alias: "vEthernet (HNS Internal NIC) 2",
    address: GATEWAY,
    want: true,
  },
  { name: "renamed", alias: "Overlay", address: GATEWAY, description: HYPER_V, want: true },
  {
    name: "renamed, and the second",
    alias: "Overlay",
    address: GATEWAY,
    description: `${HYPER_V} #2`,
    want: true,
  },
  { name: "renamed, and nothing told of it", alias: "Overlay", address: GATEWAY, want: false },
  {
    name: "the gateway on the adapter of another switch",
    alias: "vEthernet (Default Switch)",
    address: GATEWAY,
    description: HYPER_V,
    want: false,
  },
  { name: "its name, and a number", alias: "vEthernet (zlayer-overlay) 2", address: GATEWAY, want: true },
  {
    name: "a name cut shorter than names are",
    alias: "vEthernet (zlayer)",
    address: SERVICE_GATEWAY,
    want: false,
  },
  {
    name: "a virtual one with an address that is no gateway of ours",
    alias: "vEthernet (nat)",
    address: Uint8Array.of(10, 200, 0, 2),
    description: HYPER_V,
    want: false,
  },
  {
    name: "the gateway on the adapter of a virtual machine",
    alias: "Ethernet",
    address: GATEWAY,
    description: "Microsoft Hyper-V Network Adapter",
    want: false,
  },
  {
    name: "the gateway on a card",
    alias: "Ethernet 2",
    address: GATEWAY,
    description: "Intel(R) I219",
    want: false,
  },
  {
    name: "the first address of a service without a network",
    alias: "vEthernet (x)",
    address: Uint8Array.of(10, 200, 5, 1),
    description: HYPER_V,
    want: false,
  },
];

Deno.test("isOwnVnic() goes by address and name, or kind of adapter where it was renamed", async (t) => {
  for (const { name, alias, address, description = "", want } of ROWS) {
    await t.step(name, () => assertEquals(isOwnVnic({ alias, address }, NETWORKS, description), want));
  }
  assertEquals(isOwnVnic({ alias: "vEthernet (zlayer-overlay)", address: GATEWAY }, [], HYPER_V), false);
});
