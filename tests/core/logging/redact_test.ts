import { assert, assertEquals } from "@std/assert";
import { causeChain, isSecretName, safeFields } from "../../../core/logging/redact.ts";

Deno.test("isSecretName() knows names of secrets and spares public keys", () => {
  const secret = [
    "private_key",
    "wg_private_key",
    "privateKey",
    "key",
    "keys",
    "psk",
    "preshared-key",
    "apiToken",
    "db_password",
    "published_secret",
  ];
  const plain = ["public_key", "pubkey", "publicKeys", "keepalive", "interface", "key_count", "message"];
  for (const name of secret) assert(isSecretName(name), name);
  for (const name of plain) assert(!isSecretName(name), name);
});

Deno.test("safeFields() redacts secrets at any depth, hides bytes, cuts long texts", () => {
  const fields = safeFields({
    peer: { public_key: "P", private_key: "S", nested: [{ psk: "S" }] },
    private_key: "S",
    raw: new Uint8Array(32),
    nodeId: 18446744073709551615n,
    nothing: undefined,
    long: "x".repeat(3000),
    when: NaN,
    error: new TypeError("bad", { cause: new Error("why") }),
  });
  assertEquals(fields["peer"], {
    public_key: "P",
    private_key: "[redacted]",
    nested: [{ psk: "[redacted]" }],
  });
  assertEquals(fields["private_key"], "[redacted]");
  assertEquals(fields["raw"], "<32 bytes>");
  assertEquals(fields["nodeId"], "18446744073709551615");
  assert(!("nothing" in fields));
  assertEquals(fields["long"], `${"x".repeat(2000)}… (3000 characters)`);
  assertEquals(fields["when"], "NaN");
  assertEquals(fields["error"], "bad: why");
});

Deno.test("safeFields() ends on values that contain themselves", () => {
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  assert(JSON.stringify(safeFields({ loop })).length < 200);
});

Deno.test("causeChain() is one line, without stacks or repeated texts", () => {
  const error = new Error("cannot bind /x", { cause: new Error("mkdir /x\n  failed", { cause: "EACCES" }) });
  assertEquals(causeChain(error), "cannot bind /x: mkdir /x failed: EACCES");
  assertEquals(causeChain(new Error("a: b", { cause: new Error("b") })), "a: b");
  assertEquals(causeChain("text"), "text");
});
