import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { InvalidConfigError } from "../../../core/errors.ts";
import {
  dedicatedDeviceName,
  globalDeviceName,
  makeInterfaceName,
  serviceBridgeName,
} from "../../../core/network/interface_name.ts";
import { seededTest } from "../../support/seeded_random.ts";

const VECTORS: { parts: string[]; suffix: string; want: string }[] = [
  { parts: ["dep", "i0"], suffix: "g", want: "zl-dep-i0-g" },
  { parts: ["dep", "i0", "web"], suffix: "b", want: "zl-dep-i0-web-b" }, // exactly 15
  { parts: ["dep", "i0", "webserver"], suffix: "b", want: "zl-1268001cd2-b" },
  { parts: ["dep", "i0", "webserver"], suffix: "d", want: "zl-87aa71bb0f-d" },
  { parts: ["prod", "42", "web"], suffix: "b", want: "zl-2b113f2ca5-b" },
  { parts: ["prod", "42", "web"], suffix: "d", want: "zl-c6773e13ce-d" },
  { parts: ["default", "1a2b3c4d"], suffix: "g", want: "zl-8d30241e4f-g" },
  { parts: ["default", "1a2b3c4d", "web"], suffix: "b", want: "zl-bb08314cca-b" },
  { parts: ["zlayer-manager"], suffix: "g", want: "zl-4b72278e21-g" },
  { parts: ["production", "i-0a1b2c"], suffix: "g", want: "zl-3622de3645-g" },
  { parts: ["production", "i-0a1b2c", "web"], suffix: "d", want: "zl-2cdb44d81b-d" }, // a leading 0 lost
  { parts: ["deployment-1110", "i0"], suffix: "g", want: "zl-29346a7608-g" }, // three zeros lost
  { parts: ["abcdefghijklmnop"], suffix: "", want: "zl-16393d31d84d" },
  { parts: ["abcdefgh", "ijklmnop"], suffix: "", want: "zl-e4ef7605942b" }, // part borders matter
  { parts: ["abcdefghijkl"], suffix: "suffix1234", want: "zl-9-suffix1234" }, // room for one digit
  { parts: ["abcdefghijkl"], suffix: "suffix12345", want: "zl-6fa08c1367a6" }, // no room: suffix dropped
  { parts: ["dép", "ïnst", "wéb"], suffix: "b", want: "zl-32aa3c48b9-b" },
  { parts: ["", "", "web"], suffix: "b", want: "zl---web-b" },
];

Deno.test("makeInterfaceName() gives every known name [overlay T1]", () => {
  for (const { parts, suffix, want } of VECTORS) {
    assertEquals(makeInterfaceName(parts, suffix), want, `${parts} / ${suffix}`);
  }
});

Deno.test("makeInterfaceName() mixes short names up and long ones not [overlay T3]", () => {
  assertEquals(makeInterfaceName(["a-b"], "g"), "zl-a-b-g");
  assertEquals(makeInterfaceName(["a", "b"], "g"), "zl-a-b-g");
  assertEquals(makeInterfaceName(["a-long-deployment"], "g"), "zl-d186e3b200-g");
  assertEquals(makeInterfaceName(["a", "long", "deployment"], "g"), "zl-f9bcb7781c-g");
  assertNotEquals(
    makeInterfaceName(["abcdefghijkl", "m"], "g"),
    makeInterfaceName(["abcdefghijklm", ""], "g"),
  );
});

seededTest("makeInterfaceName() stays within 15 bytes and starts with zl- [overlay T2]", (random) => {
  const alphabet = "abc-09é漢🦀 \u{0}/";
  for (let i = 0; i < 5000; i++) {
    const parts = Array.from({ length: random.below(4) }, () => random.text(30, alphabet));
    const name = makeInterfaceName(parts, random.text(14, alphabet));
    const shown = JSON.stringify({ parts, name });
    assert(new TextEncoder().encode(name).length <= 15, shown);
    assert(name.startsWith("zl-"), shown);
  }
});

Deno.test("the names of a node's interfaces carry their kind", () => {
  const scope = { deployment: "dep", instanceId: "i0" };
  assertEquals(globalDeviceName(scope), "zl-dep-i0-g");
  assertEquals(serviceBridgeName(scope, "web"), "zl-dep-i0-web-b");
  assertEquals(dedicatedDeviceName(scope, "webserver"), "zl-87aa71bb0f-d");
  assertEquals(serviceBridgeName({ deployment: "", instanceId: "" }, "web"), "zl---web-b");
});

Deno.test("a name that the kernel would refuse is refused first, a hashed one is fine", () => {
  const scope = { deployment: "d", instanceId: "0" };
  const error = assertThrows(() => serviceBridgeName(scope, "à"), InvalidConfigError, "0xa0");
  assert(error.message.includes('"d", "0", "à"'), error.message);
  assertThrows(() => serviceBridgeName(scope, "a%d"), InvalidConfigError, "template");
  assertEquals(serviceBridgeName(scope, "é"), "zl-d-0-é-b");
  assertEquals(new TextEncoder().encode(serviceBridgeName(scope, "à-la-carte-menu")).length, 15);
});
