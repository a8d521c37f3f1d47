/** What SQLite is given for the path of a database. */
import { assertEquals } from "@std/assert";
import { databaseLocation } from "../../../core/state/database.ts";

const LONG = `C:\\data\\${"d".repeat(130)}\\${"e".repeat(130)}\\50% #1?.db`;

Deno.test("databaseLocation() gives long paths of Windows verbatim, plain or as a URI", async (t) => {
  const rows = [
    { name: "Linux", os: "linux", path: "/var/lib/zlayer/overlayd.db", want: "/var/lib/zlayer/overlayd.db" },
    { name: "a short path", os: "windows", path: "C:/data/overlayd.db", want: "C:/data/overlayd.db" },
    { name: "a long path", os: "windows", path: LONG.replaceAll("\\", "/"), want: `\\\\?\\${LONG}` },
  ];
  for (const { name, os, path, want } of rows) {
    await t.step(name, () => {
      assertEquals(databaseLocation(path, { os }), want);
      const uri = databaseLocation(path, { os, immutable: true });
      const [, text, query] = /^file:([^/?#]*)\?(.*)$/.exec(uri) ?? [];
      assertEquals([decodeURIComponent(text ?? ""), query], [want, "immutable=1"]);
    });
  }
});
