import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { PreconditionError } from "../../../core/errors.ts";
import { readContainerPlaces, readHostSettings } from "../../../core/operator/host_settings.ts";
import { openStateStore } from "../../../core/state/state_store.ts";
import { WINDOWS } from "../../support/unix_test.ts";

Deno.test("readHostSettings() reads what the store wrote, also while it is open, and changes nothing", async () => {
  const dir = await Deno.makeTempDir({ prefix: "zt-settings-" });
  try {
    const path = join(dir, WINDOWS ? "50% #1.db" : "50% #1?.db");
    assertEquals(await readHostSettings(path), {});
    assertEquals([...Deno.readDirSync(dir)], []);
    const store = openStateStore(path);
    assertEquals(await readHostSettings(path), {});
    const settings = { "/proc/sys/net/ipv4/ip_forward": "0" };
    await store.commit("test", (write) => write.setting("hostSettings", settings));
    assertEquals(await readHostSettings(path), settings);
    store.close();
    assertEquals(await readHostSettings(path), settings);
    assertEquals([...Deno.readDirSync(dir)].length, 1);
    await Deno.writeTextFile(path, "this is not a database, but long enough to be looked at".repeat(20));
    await assertRejects(() => readHostSettings(path), PreconditionError, path);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("readContainerPlaces() reads endpoints and namespaces of the records", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = join(dir, "overlayd.db");
    assertEquals(await readContainerPlaces(path), []);
    const store = openStateStore(path);
    const record = {
      containerId: "c1",
      service: "web",
      ip: "10.200.0.5",
      pool: "node",
      phase: "ready",
    } as const;
    await store.commit("test", (write) => {
      write.putContainerEndpoint({ ...record, endpoint: "e1", namespace: "n1" });
      write.putContainerEndpoint({ ...record, containerId: "c2", endpoint: "e2", namespace: "n2" });
    });
    const wanted = [{ endpoints: ["e1"], namespace: "n1" }, { endpoints: ["e2"], namespace: "n2" }];
    assertEquals(await readContainerPlaces(path), wanted);
    store.close();
    assertEquals(await readContainerPlaces(path), wanted);
    await Deno.writeTextFile(path, "no database");
    await assertRejects(() => readContainerPlaces(path), PreconditionError, path);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
