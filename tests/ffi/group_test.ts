import { assertEquals } from "@std/assert";
import { findGroupId } from "../../ffi/group.ts";

Deno.test({
  name: "findGroupId() agrees with /etc/group and knows what is missing",
  ignore: Deno.build.os !== "linux",
  // The library stays open for the life of the process.
  sanitizeResources: false,
  async fn(): Promise<void> {
    const lines = (await Deno.readTextFile("/etc/group")).split("\n").map((line) => line.split(":"));
    for (const [name, , id] of lines.slice(0, 5)) {
      if (name && id) assertEquals(await findGroupId(name), Number(id), name);
    }
    assertEquals(await findGroupId("zt-no-such-group"), undefined);
    assertEquals(await findGroupId(""), undefined);
  },
});
