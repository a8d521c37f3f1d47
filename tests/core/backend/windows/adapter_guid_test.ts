import { assertEquals, assertNotEquals } from "@std/assert";
import { adapterGuid, deploymentOf } from "../../../../core/backend/windows/adapter_guid.ts";
import { wintunPlaces } from "../../../../core/backend/windows/wintun_places.ts";

Deno.test("[windows T80] the same deployment and name give the same GUID, others another", () => {
  // printf %s zlayer-wintun:zlayer:zl-1-g | sha256sum, with version 5 and variant put in.
  assertEquals(adapterGuid("zlayer", "zl-1-g"), "92f5ac19-a2f8-5a62-87ad-0ec2bd8707ec");
  assertNotEquals(adapterGuid("zlayer", "zl-2-g"), adapterGuid("zlayer", "zl-1-g"));
  assertNotEquals(adapterGuid("zlayer-dev", "zl-1-g"), adapterGuid("zlayer", "zl-1-g"));
});

Deno.test("deploymentOf() reads an owner tag", () => {
  assertEquals(deploymentOf("zlayer-overlayd/zlayer-dev/0011223344556677:device:zl-1-g"), "zlayer-dev");
  assertEquals(deploymentOf(""), "");
});

Deno.test("wintunPlaces() has the directory of the program, and not the working directory", () => {
  assertEquals(wintunPlaces("C:\\ProgramData", "C:\\Program Files\\ZLayer\\zlayer-overlayd.exe"), [
    "C:\\ProgramData\\ZLayer\\wintun\\wintun.dll",
    "C:\\Program Files\\ZLayer\\wintun.dll",
  ]);
});
