import { assertEquals } from "@std/assert";
import { formatIp, parseIp } from "../../../../core/ip/address.ts";
import {
  chooseEgress,
  type EgressAddress,
  type EgressFacts,
  type EgressLink,
  type EgressRoute,
  isVirtualInterface,
} from "../../../../core/backend/linux/egress_choice.ts";

function link(index: number, name: string, up = true): EgressLink {
  return { index, name, up, mtuBytes: 1500 };
}

function address(interfaceIndex: number, ip: string, more: Partial<EgressAddress> = {}): EgressAddress {
  return { interfaceIndex, scope: 0, flags: 0, address: parseIp(ip)!, ...more };
}

function route(interfaceIndex: number, metric = 0, more: Partial<EgressRoute> = {}): EgressRoute {
  return { destinationLength: 0, table: 254, metric, interfaceIndexes: [interfaceIndex], ...more };
}

function choose(facts: Partial<EgressFacts>): string | undefined {
  const choice = chooseEgress({ routes: [], links: [], addresses: [], ...facts });
  return choice && `${choice.interface} ${formatIp(choice.ip)} ${choice.source}`;
}

const ETH0 = { links: [link(2, "eth0")], addresses: [address(2, "192.0.2.2")] };

Deno.test("isVirtualInterface() knows overlays, VPNs and containers by their names [overlay T36]", () => {
  const virtual = [
    ...["lo", "wt0", "wg0", "zl-dep-i0-g", "utun3", "tun0", "tap0", "docker0", "br-1234", "veth1", "nb0"],
    ...[
      "tailscale0",
      "ztabcd",
      "cni0",
      "cni-podman0",
      "flannel.1",
      "cali123",
      "virbr0",
      "podman0",
      "vmnet8",
      "dummy0",
    ],
  ];
  for (const name of virtual) assertEquals(isVirtualInterface(name), true, name);
  for (const name of ["", "eth0", "en0", "enp3s0", "wlan0", "wlp2s0", "bond0", "br0", "ens192", "ppp0"]) {
    assertEquals(isVirtualInterface(name), false, name);
  }
});

Deno.test("a default route through a VPN does not count, whatever its metric [overlay T37]", () => {
  const facts = {
    routes: [route(9, 50), route(2, 100)],
    links: [link(9, "wg0"), link(2, "eth0")],
    addresses: [address(9, "10.9.0.2"), address(2, "192.0.2.2")],
  };
  assertEquals(choose(facts), "eth0 192.0.2.2 default-route");
});

Deno.test("without a physical default route the first physical link that is up serves [overlay T38]", () => {
  const facts = {
    routes: [route(9)],
    links: [link(1, "lo"), link(9, "tun0"), link(2, "eth0", false), link(3, "eth1"), link(4, "eth2")],
    addresses: [1, 9, 2, 3, 4].map((index) => address(index, `10.0.0.${index}`)),
  };
  assertEquals(choose(facts), "eth1 10.0.0.3 first-link");
  assertEquals(choose({ ...facts, links: facts.links.slice(0, 3) }), undefined);
});

Deno.test("only default routes of the main table count [overlay T39]", () => {
  const links = [link(2, "eth0"), link(3, "eth1")];
  const addresses = [address(2, "192.0.2.2"), address(3, "192.0.2.3")];
  assertEquals(
    choose({ routes: [route(3, 0, { table: 100 }), route(2, 9)], links, addresses }),
    "eth0 192.0.2.2 default-route",
  );
  assertEquals(
    choose({ routes: [route(3, 0, { destinationLength: 8 }), route(2, 9)], links, addresses }),
    "eth0 192.0.2.2 default-route",
  );
});

Deno.test("the IPv4 address of the interface is preferred, else the first IPv6 one [overlay T40]", () => {
  const six = [address(2, "fe80::1", { scope: 253 }), address(2, "2001:db8::1"), address(2, "2001:db8::2")];
  assertEquals(
    choose({ routes: [route(2)], links: ETH0.links, addresses: [...six, ...ETH0.addresses] }),
    "eth0 192.0.2.2 default-route",
  );
  assertEquals(
    choose({ routes: [route(2)], links: ETH0.links, addresses: six }),
    "eth0 2001:db8::1 default-route",
  );
});

Deno.test("the lowest metric wins, wherever it stands in the dump", () => {
  const facts = {
    links: [link(2, "eth0"), link(3, "eth1"), link(4, "eth2")],
    addresses: [address(2, "192.0.2.2"), address(3, "192.0.2.3"), address(4, "192.0.2.4")],
  };
  assertEquals(
    choose({ routes: [route(2, 300), route(3, 7), route(4, 20)], ...facts }),
    "eth1 192.0.2.3 default-route",
  );
});

Deno.test("equal metrics keep the order of the dump, so that IPv4 comes first", () => {
  const links = [link(2, "eth0"), link(3, "eth1")];
  const addresses = [address(2, "192.0.2.2"), address(3, "2001:db8::3")];
  assertEquals(
    choose({ routes: [route(2, 7), route(3, 7)], links, addresses }),
    "eth0 192.0.2.2 default-route",
  );
  assertEquals(
    choose({ routes: [route(3, 7), route(2, 7)], links, addresses }),
    "eth1 2001:db8::3 default-route",
  );
});

Deno.test("every nexthop of a multipath route is tried", () => {
  const facts = {
    routes: [route(0, 0, { interfaceIndexes: [9, 3] })],
    links: [link(9, "wg0"), link(3, "eth1"), link(2, "eth0")],
    addresses: [address(9, "10.9.0.2"), address(3, "192.0.2.3"), address(2, "192.0.2.2")],
  };
  assertEquals(choose(facts), "eth1 192.0.2.3 default-route");
});

Deno.test("a point-to-point link gives its own end", () => {
  const facts = {
    routes: [route(5)],
    links: [link(5, "ppp0")],
    addresses: [address(5, "203.0.113.1", { local: parseIp("203.0.113.99")! })],
  };
  assertEquals(choose(facts), "ppp0 203.0.113.99 default-route");
});

Deno.test("addresses that are link-local, tentative or duplicates do not count", () => {
  const unusable = [
    address(2, "169.254.0.1", { scope: 253 }),
    address(2, "2001:db8::1", { flags: 0x40 }),
    address(2, "2001:db8::2", { flags: 0x08 }),
    { interfaceIndex: 2, scope: 0, flags: 0 },
  ];
  assertEquals(choose({ routes: [route(2)], links: ETH0.links, addresses: unusable }), undefined);
  assertEquals(
    choose({
      routes: [route(2)],
      links: ETH0.links,
      addresses: [...unusable, address(2, "2001:db8::3", { flags: 0x80 })],
    }),
    "eth0 2001:db8::3 default-route",
  );
});

Deno.test("a route without interface, or through one that is gone, is passed over", () => {
  const routes = [route(0, 0, { interfaceIndexes: [] }), route(77), route(2, 5)];
  assertEquals(choose({ routes, ...ETH0 }), "eth0 192.0.2.2 default-route");
  assertEquals(choose({}), undefined);
});

Deno.test("the choice has the link's MTU", () => {
  const links = [{ ...link(2, "eth0"), mtuBytes: 9000 }];
  assertEquals(chooseEgress({ routes: [route(2)], links, addresses: ETH0.addresses })?.mtuBytes, 9000);
});
