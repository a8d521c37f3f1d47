import { assert, assertEquals } from "@std/assert";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeLink, decodeLinkSummary, encodeLink, type Link } from "../../../ffi/netlink/link.ts";
import {
  bridgeInfo,
  decodeBridgeOptions,
  decodeTunOptions,
  decodeVethOptions,
  vethInfo,
  wireguardInfo,
} from "../../../ffi/netlink/link_kind.ts";
import { assertMutationsDecode, assertPrefixesDecode, canonicalAttributes } from "../../support/codec.ts";
import { fromHex, goldenMessage, toHex } from "../../support/golden.ts";
import { type SeededRandom, withSeed } from "../../support/seeded_random.ts";

const IFINFOMSG_BYTES = 16;
const GOLDEN = [
  "request_link_veth",
  "request_link_bridge",
  "request_link_set",
  "reply_link_veth",
  "reply_link_bridge",
  "reply_link_tun",
];

Deno.test("encodeLink() asks for a veth pair as iproute2 does", () => {
  const encoded = encodeLink({ name: "zt0", mtuBytes: 1420, info: vethInfo({ peer: { name: "zt1" } }) });
  assertSameMessage(encoded, goldenMessage("request_link_veth").payload);
});

Deno.test("encodeLink() asks for a bridge as iproute2 does", () => {
  const encoded = encodeLink({ name: "ztb", info: bridgeInfo({ stpState: 0, forwardDelay: 200 }) });
  assertSameMessage(encoded, goldenMessage("request_link_bridge").payload);
});

Deno.test("decodeLinkSummary() tells of a link what decodeLink() tells", () => {
  for (const name of ["reply_link_veth", "reply_link_bridge", "reply_link_tun", "request_link_set"]) {
    const { payload } = goldenMessage(name);
    const summary = decodeLinkSummary(payload);
    const link = decodeLink(payload);
    for (const [key, value] of Object.entries(summary)) assertEquals(value, link[key as keyof Link], key);
    const told = ["index", "flags", "name", "alias", "mtuBytes", "master", "group", "info"] as const;
    for (const key of told) assertEquals(key in summary, key in link, key);
    assertPrefixesDecode(payload, decodeLinkSummary);
  }
});

Deno.test("encodeLink() changes flags, alias and master as iproute2 does", () => {
  const golden = goldenMessage("request_link_set").payload;
  const { index, master } = decodeLink(golden);
  const alias = "zlayer-overlayd/demo/1:web";
  const encoded = encodeLink({
    index,
    flags: nl.IFF_UP,
    change: nl.IFF_UP,
    alias,
    ...master ? { master } : {},
  });
  // iproute2 sends the alias without its NUL; the kernel takes both.
  assertEquals(decodeLink(encoded), decodeLink(golden));
});

Deno.test("encodeLink() puts the peer of a veth pair into its namespace, named and with its address", () => {
  const encoded = encodeLink({
    name: "zt0",
    info: vethInfo({ peer: { name: "eth0", netNsFd: 7, address: fromHex("02 00 00 00 00 05") } }),
  });
  assertEquals(
    toHex(encoded),
    toHex(fromHex(`
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # ifinfomsg
      08 00 03 00 7a 74 30 00                          # IFLA_IFNAME zt0
      48 00 12 00                                      # IFLA_LINKINFO
        09 00 01 00 76 65 74 68 00 00 00 00            #   IFLA_INFO_KIND veth
        38 00 02 00                                    #   IFLA_INFO_DATA
          34 00 01 00                                  #     VETH_INFO_PEER
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            09 00 03 00 65 74 68 30 00 00 00 00        #       IFLA_IFNAME eth0
            0a 00 01 00 02 00 00 00 00 05 00 00        #       IFLA_ADDRESS
            08 00 1c 00 07 00 00 00                    #       IFLA_NET_NS_FD 7`)),
  );
});

Deno.test("decodeLink() reads a captured veth that is a port of a bridge", () => {
  const link = decodeLink(goldenMessage("reply_link_veth").payload);
  assertEquals(
    [link.name, link.mtuBytes, link.alias, link.group, link.info?.kind, link.info?.slaveKind],
    ["zt0", 1420, "zlayer-overlayd/demo/1:web", 0, "veth", "bridge"],
  );
  assertEquals(link.flags & nl.IFF_UP, nl.IFF_UP);
  assertEquals(link.address?.length, 6);
  assert(link.master !== undefined && link.link !== undefined);
  assertEquals(link.afSpec?.inet?.conf?.size, 33);
  assert(link.afSpec?.inet6?.addressGenerationMode !== undefined);
  assert(link.unknown.some((attribute) => attribute.type === 7), "statistics are kept as unknown");
});

Deno.test("decodeLink() reads a captured bridge and its options", () => {
  const link = decodeLink(goldenMessage("reply_link_bridge").payload);
  assertEquals([link.name, link.info?.kind], ["ztb", "bridge"]);
  const bridge = decodeBridgeOptions(link.info!.data!);
  assertEquals([bridge.stpState, bridge.forwardDelay, bridge.vlanFiltering], [0, 200, 0]);
});

Deno.test("decodeLink() reads a captured persistent TUN", () => {
  const link = decodeLink(goldenMessage("reply_link_tun").payload);
  assertEquals([link.name, link.info?.kind], ["ztt", "tun"]);
  const tun = decodeTunOptions(link.info!.data!);
  assertEquals([tun.tunType, tun.persist, tun.packetInformation], [1, 1, 0]);
});

Deno.test("decodeVethOptions() reads the peer that vethInfo() described", () => {
  const peer = { name: "eth0", netNsPid: 42, mtuBytes: 1400 };
  const { peer: decoded } = decodeVethOptions(vethInfo({ peer }).data!);
  assertEquals([decoded?.name, decoded?.netNsPid, decoded?.mtuBytes], ["eth0", 42, 1400]);
});

Deno.test("wireguardInfo() names the kind alone", () => {
  assertEquals(wireguardInfo(), { kind: "wireguard" });
});

Deno.test("captured links survive decoding and encoding, unknown attributes included", () => {
  for (const name of GOLDEN) {
    const { payload } = goldenMessage(name);
    const { afSpec: _, ...link } = decodeLink(payload);
    const bytes = encodeLink(link);
    const drop = (lines: string[]): string[] => lines.filter((line) => !line.startsWith("30 03 1a"));
    // IFLA_IFALIAS and IFLA_INFO_SLAVE_KIND come without a NUL from some senders: compare what they decode to.
    assertEquals(decodeLink(bytes), link, name);
    if (name.startsWith("reply")) {
      const want = drop(canonicalAttributes(payload, IFINFOMSG_BYTES)).map(normaliseKind);
      assertEquals(drop(canonicalAttributes(bytes, IFINFOMSG_BYTES)).map(normaliseKind), want, name);
    }
  }
});

function normaliseKind(line: string): string {
  // IFLA_LINKINFO is compared by the decoded form above: the kernel leaves the NUL off its slave kind.
  return /^.. .. 12 00/.test(line) ? "IFLA_LINKINFO" : line;
}

Deno.test("decodeLink() stands cut and mutated messages", () => {
  for (const name of GOLDEN) {
    const { payload } = goldenMessage(name);
    assertPrefixesDecode(payload, decodeLink);
    assertMutationsDecode(payload, decodeLink);
  }
});

Deno.test("links of any fields round-trip", () => {
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const link = randomLink(random);
      assertEquals(decodeLink(encodeLink(link)), link);
    }
  });
});

function randomLink(random: SeededRandom): Link {
  return {
    family: random.below(256),
    deviceType: random.below(65536),
    index: random.u32(),
    flags: random.u32(),
    change: random.u32(),
    ...random.maybe("name", random.text(15)),
    ...random.maybe("address", random.bytes(6)),
    ...random.maybe("mtuBytes", random.u32()),
    ...random.maybe("linkNetnsId", random.u32() | 0),
    ...random.maybe("alias", random.text(60)),
    ...random.maybe("group", random.u32()),
    ...random.maybe("carrier", random.below(2)),
    ...random.maybe("netNsFd", random.u32()),
    ...random.maybe("info", { kind: random.text(8), data: random.bytes(12), unknown: [] }),
    ...random.maybe("afSpec", {
      inet: { conf: new Map([[random.below(33) + 1, random.u32()]]), unknown: [] },
      inet6: { addressGenerationMode: random.below(4), unknown: [] },
      unknown: [],
    }),
    unknown: [],
  };
}

function assertSameMessage(got: Uint8Array, want: Uint8Array): void {
  assertEquals(
    canonicalAttributes(got, IFINFOMSG_BYTES).map(trimKind),
    canonicalAttributes(want, IFINFOMSG_BYTES).map(trimKind),
  );
}

/** iproute2 sends IFLA_INFO_KIND without its NUL (the kernel takes both): drop it for the comparison. */
function trimKind(line: string): string {
  if (!/^.. .. 12 00/.test(line)) return line;
  const { info } = decodeLink(Uint8Array.from([...new Uint8Array(16), ...fromHex(line)]));
  return `${info?.kind} ${toHex(info?.data ?? new Uint8Array(0))}`;
}
