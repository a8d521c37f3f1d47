import { assertEquals } from "@std/assert";
import { toCamelKeys, toSnakeKeys } from "../../ipc/case.ts";

Deno.test("toSnakeKeys() renames members deeply, and toCamelKeys() back", () => {
  const domain = {
    persistentKeepaliveSecs: 25,
    ip: "x",
    nested: [{ wgPublicKey: "camelCaseValuesStay" }],
    flag: false,
    big: 1n,
    none: null,
  };
  const wire = {
    persistent_keepalive_secs: 25,
    ip: "x",
    nested: [{ wg_public_key: "camelCaseValuesStay" }],
    flag: false,
    big: 1n,
    none: null,
  };
  const snake: typeof wire = toSnakeKeys(domain);
  assertEquals(snake, wire);
  const camel: typeof domain = toCamelKeys(wire);
  assertEquals(camel, domain);
});

Deno.test("members that are undefined are left out", () => {
  assertEquals(Object.keys(toSnakeKeys({ dnsServer: undefined, ip: "x" })), ["ip"]);
  assertEquals(Object.keys(toCamelKeys({ dns_server: undefined, ip: "x" })), ["ip"]);
});
