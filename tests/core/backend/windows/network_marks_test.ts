/** Entries of HCN networks in the marker, when some of their saves fail. */
import { assertEquals } from "@std/assert";
import { NetworkMarks } from "../../../../core/backend/windows/network_marks.ts";
import { parsePrefix } from "../../../../core/ip/prefix.ts";
import { MarkerFile } from "../../../../core/marker_file.ts";
import { guid, MemoryFiles } from "../../../support/container_rig.ts";

const BASE = { owner: "base", name: "zlayer-overlay", subnet: parsePrefix("10.200.0.0/28")! };

/** Marks in a file of which the writes of these numbers fail, counted from 1. */
function failing(...numbers: readonly number[]): {
  marks: NetworkMarks;
  written: () => number;
  entries: () => Promise<string[]>;
} {
  const files = new MemoryFiles();
  const { writeFile } = files;
  let count = 0;
  files.writeFile = (...args) =>
    numbers.includes(++count) ? Promise.reject(new Deno.errors.PermissionDenied("no")) : writeFile(...args);
  const file = new MarkerFile("agent_network.json", { log: { warn: () => {} }, files });
  return {
    marks: new NetworkMarks(file),
    written: () => count,
    entries: async () => (await file.load()).networks.map(({ owner, id }) => `${owner} ${id}`),
  };
}

Deno.test("a save that failed is repeated until it succeeds, and then no more", async () => {
  const { marks, written } = failing(1, 2);
  await marks.enter(BASE, guid(1), "Internal");
  assertEquals(await marks.idOf("base"), undefined);
  await marks.repeat();
  assertEquals([await marks.idOf("base"), written()], [undefined, 2]);
  await marks.repeat();
  assertEquals([await marks.idOf("base"), written()], [guid(1), 3]);
  await marks.repeat();
  assertEquals(written(), 3);
});

Deno.test("of several changes the last one is repeated, also where one before it was saved while it waited", async () => {
  const { marks } = failing(2);
  await Promise.all([marks.enter(BASE, guid(1), "Internal"), marks.enter(BASE, guid(2), "Internal")]);
  assertEquals(await marks.idOf("base"), guid(1));
  await marks.repeat();
  assertEquals(await marks.idOf("base"), guid(2));
});

Deno.test("an entry that is there already is not written again, unless something in it has changed", async () => {
  const { marks, written } = failing();
  await marks.enter(BASE, guid(1), "Internal");
  await marks.enter(BASE, guid(1), "internal");
  assertEquals(written(), 1);
  const prod = { ...BASE, name: "prod-overlay" };
  const changes = [
    { network: BASE, id: guid(1), type: "Transparent" },
    { network: prod, id: guid(1), type: "Transparent" },
    { network: prod, id: guid(2), type: "Transparent" },
    { network: { ...prod, subnet: parsePrefix("10.200.9.0/28")! }, id: guid(2), type: "Transparent" },
  ];
  for (const [i, { network, id, type }] of changes.entries()) {
    await marks.enter(network, id, type);
    assertEquals([await marks.idOf("base"), written()], [id, 2 + i]);
  }
});

Deno.test("an entry is put back as it was, and a new one is taken out", async () => {
  const { marks, entries } = failing();
  const forget = await marks.enter(BASE, guid(1), "Internal");
  const restore = await marks.enter(
    { ...BASE, subnet: parsePrefix("10.200.9.0/28")! },
    guid(2),
    "Transparent",
  );
  await restore();
  const { id, kind, subnet } = (await marks.entryOf("base"))!;
  assertEquals([id, kind, subnet], [guid(1), "hcn-internal", "10.200.0.0/28"]);
  const another = await marks.enter({ ...BASE, name: "prod-overlay" }, guid(3), "Internal");
  await another();
  assertEquals(await entries(), [`base ${guid(1)}`], "none is kept as an earlier deployment's");
  await forget();
  assertEquals(await entries(), []);
});
