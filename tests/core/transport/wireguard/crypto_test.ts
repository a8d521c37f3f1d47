import { assertEquals, assertThrows } from "@std/assert";
import { LibraryError } from "../../../../ffi/errors.ts";
import { lazyLibrary } from "../../../../ffi/library.ts";
import {
  choosePacketProvider,
  libcryptoProvider,
  type PacketProvider,
  withSubarrays,
} from "../../../../core/transport/wireguard/crypto.ts";
import { nodeProvider } from "../../../../core/transport/wireguard/node_provider.ts";
import { nobleProvider } from "../../../../core/wireguard/noble_provider.ts";
import { PinnedBuffer } from "../../../../ffi/memory.ts";
import { cryptoProviderContract } from "../../../contract/crypto_provider_contract.ts";

cryptoProviderContract(nodeProvider);
if (hasLibcrypto()) cryptoProviderContract(libcryptoProvider);

function hasLibcrypto(): boolean {
  try {
    libcryptoProvider();
    return true;
  } catch (error) {
    if (error instanceof LibraryError) return false;
    throw error;
  }
}

Deno.test("choosePacketProvider() passes over a library that is absent and one that computes wrong", () => {
  const absent = (): PacketProvider => {
    lazyLibrary(["libzt-no-such.so"], {})();
    return withSubarrays(nobleProvider());
  };
  const wrong = (): PacketProvider => {
    const noble = nobleProvider();
    return withSubarrays({
      ...noble,
      name: "wrong",
      packet: {
        importKey: (key) => noble.packet.importKey(key),
        releaseKey: (key) => noble.packet.releaseKey(key),
        seal: (_key, _high, _low, text) => void text.fill(1),
        open: () => true,
      },
    });
  };
  assertThrows(absent, LibraryError);
  assertEquals(
    choosePacketProvider([absent, wrong, () => withSubarrays(nodeProvider())]).name,
    "node:crypto",
  );
  assertEquals(choosePacketProvider([absent]).name, "noble");
});

Deno.test("the cipher on an arena is that on arrays, for every provider", () => {
  const arena = new PinnedBuffer(4096);
  const bytes = Uint8Array.from({ length: 1420 + 16 }, (_, i) => i);
  const providers = [withSubarrays(nobleProvider()), withSubarrays(nodeProvider())];
  if (hasLibcrypto()) providers.push(libcryptoProvider());
  const sealed = providers.map((provider) => {
    const key = provider.packet.importKey(new Uint8Array(32).fill(9));
    arena.bytes.set(bytes, 100);
    const cipher = provider.cipherOf(arena);
    cipher.seal(key, 3, 4, 100, bytes.length);
    const result = arena.bytes.slice(100, 100 + bytes.length);
    assertEquals(cipher.open(key, 3, 5, 100, bytes.length), false, provider.name);
    arena.bytes.set(result, 100);
    assertEquals(cipher.open(key, 3, 4, 100, bytes.length), true, provider.name);
    assertEquals(arena.bytes.slice(100, 100 + 1420), bytes.slice(0, 1420), provider.name);
    provider.packet.releaseKey(key);
    return result;
  });
  for (const one of sealed) assertEquals(one, sealed[0]);
});
