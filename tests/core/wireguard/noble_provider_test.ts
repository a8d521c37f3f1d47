import { assertEquals } from "@std/assert";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ascii } from "../../../core/wireguard/bytes.ts";
import { nobleProvider } from "../../../core/wireguard/noble_provider.ts";
import { counting, cryptoProviderContract } from "../../contract/crypto_provider_contract.ts";
import { fromHex, toHex } from "../../support/golden.ts";

cryptoProviderContract(nobleProvider);

// Its nonce is of a kind that WireGuard never uses, so it cannot be had through the provider.
Deno.test("the cipher below noble agrees with RFC 8439 §2.8.2", () => {
  const cipher = chacha20poly1305(
    counting(0x80, 32),
    fromHex("07000000 4041424344454647"),
    fromHex("50515253c0c1c2c3c4c5c6c7"),
  );
  const sealed = cipher.encrypt(ascii(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
      "sunscreen would be it.",
  ));
  assertEquals(
    toHex(sealed),
    toHex(
      fromHex(
        `d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b
      1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b
      7a9de576d26586cec64b6116 1ae10b594f09e26a7e902ecbd0600691`,
      ),
    ),
  );
});
