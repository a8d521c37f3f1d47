/** The test's namespace and another one as two hosts, joined by a veth pair. */
import { HERE, type NamedNetns, testName } from "./test_netns.ts";

/** Our end of the veth pair and its end, IPv4 and IPv6. */
export const UNDERLAY = { ours: ["10.99.0.1", "fd99::1"], its: ["10.99.0.2", "fd99::2"] } as const;

/** Addresses inside the tunnel. */
export const OVERLAY = { ours: ["10.0.0.1", "fd00::1"], its: ["10.0.0.2", "fd00::2"] } as const;

/** Its UDP port. */
export const ITS_PORT = 51820;

/** Makes a veth pair between the test's namespace and another. @returns Our end. */
export async function joinUnderlay(netns: NamedNetns): Promise<string> {
  const [ours, its] = [testName("u"), testName("u")];
  await HERE.must(["ip", "link", "add", ours, "type", "veth", "peer", "name", its, "netns", netns.name]);
  const ends = [{ place: HERE, link: ours, addresses: UNDERLAY.ours }, {
    place: netns,
    link: its,
    addresses: UNDERLAY.its,
  }];
  for (const { place, link, addresses: [v4, v6] } of ends) {
    await place.must(["ip", "address", "add", `${v4}/24`, "dev", link]);
    await place.must(["ip", "address", "add", `${v6}/64`, "dev", link, "nodad"]);
    await place.must(["ip", "link", "set", link, "up"]);
  }
  return ours;
}
