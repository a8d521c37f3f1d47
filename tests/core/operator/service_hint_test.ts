import { assertEquals } from "@std/assert";
import { serviceHint } from "../../../core/operator/service_hint.ts";

Deno.test("serviceHint() names the service as this host's manager knows it", () => {
  assertEquals(serviceHint("stop", "windows"), "sc.exe stop ZLayerDaemon-Overlayd");
  assertEquals(serviceHint("start", "linux"), "systemctl start zlayer-overlayd");
});
