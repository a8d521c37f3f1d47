import { assertEquals, assertThrows } from "@std/assert";
import { AlreadyExistsError, InvalidConfigError } from "../../../core/errors.ts";
import { formatPrefix, parsePrefix } from "../../../core/ip/prefix.ts";
import { ServiceSubnetRegistry } from "../../../core/ipam/subnet_registry.ts";
import { decodeSubnetSnapshot, encodeSubnetSnapshot } from "../../../core/ipam/subnet_snapshot.ts";

const SNAPSHOT = '{"cluster_cidr":"10.200.0.0/16","slice_prefix":28,"assignments":' +
  '[[["api","1"],"10.200.209.176/28"],[["web","0"],"10.200.46.224/28"],[["web","1"],"10.200.74.16/28"]]}';

Deno.test("a snapshot lists the pairs by their bytes, in fixed form [overlay T32]", () => {
  const table = new ServiceSubnetRegistry(parsePrefix("10.200.0.0/16")!, 28);
  for (const [service, node] of [["web", "1"], ["web", "0"], ["api", "1"]] as const) {
    table.assign(service, node);
  }
  assertEquals(encodeSubnetSnapshot(table), SNAPSHOT);
});

Deno.test("snapshot, restore, snapshot gives equal bytes [overlay T32]", () => {
  const table = decodeSubnetSnapshot(SNAPSHOT);
  assertEquals(encodeSubnetSnapshot(table), SNAPSHOT);
  assertEquals(formatPrefix(table.assign("web", "0")), "10.200.46.224/28");

  // UTF-16 would put the crab (d83e…) before U+FF5E; UTF-8 does not.
  const wide = new ServiceSubnetRegistry(parsePrefix("fd00:200::9/48")!, 120);
  for (const service of ["🦀", "～", "", "wéb"]) wide.assign(service, "18446744073709551615");
  const text = encodeSubnetSnapshot(wide);
  assertEquals(encodeSubnetSnapshot(decodeSubnetSnapshot(text)), text);
  assertEquals(wide.assignments().map((one) => one.service), ["", "wéb", "～", "🦀"]);
});

Deno.test("restore refuses other prefixes, subnets outside the cluster and what is no snapshot [overlay T32]", () => {
  const bad: { text: string; says: string }[] = [
    { text: SNAPSHOT.replace("209.176/28", "209.176/27"), says: "is not a /28 of cluster 10.200.0.0/16" },
    { text: SNAPSHOT.replace("10.200.209.176", "10.201.209.176"), says: "is not a /28 of cluster" },
    { text: SNAPSHOT.replace("10.200.209.176/28", "nonsense"), says: '"nonsense" is not a CIDR' },
    { text: SNAPSHOT.replace('"slice_prefix":28', '"slice_prefix":16'), says: "more specific" },
    { text: SNAPSHOT.replace('"slice_prefix":28', '"slice_prefix":"28"'), says: "slice_prefix: " },
    { text: SNAPSHOT.replace("10.200.0.0/16", "x"), says: 'cluster_cidr "x"' },
    { text: "{", says: "no JSON" },
    { text: "[]", says: "not a valid snapshot of service subnets" },
  ];
  for (const { text, says } of bad) {
    assertThrows(() => decodeSubnetSnapshot(text), InvalidConfigError, says, text);
  }
  assertThrows(
    () => decodeSubnetSnapshot(SNAPSHOT.replace("10.200.209.176", "10.200.46.224")),
    AlreadyExistsError,
  );
});
