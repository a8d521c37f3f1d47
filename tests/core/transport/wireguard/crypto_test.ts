import { assert, assertEquals, assertThrows } from "@std/assert";
import { LibraryError } from "../../../../ffi/errors.ts";
import { lazyLibrary } from "../../../../ffi/library.ts";
import {
  choosePacketProvider,
  type CipherProvider,
  handshakeBy,
  libcryptoProvider,
  libgcryptProvider,
  withSubarrays,
} from "../../../../core/transport/wireguard/crypto.ts";
import { nodeProvider } from "../../../../core/transport/wireguard/node_provider.ts";
import { NODE_CURVE } from "../../../../core/transport/wireguard/node_x25519.ts";
import type { PacketCrypto } from "../../../../core/wireguard/crypto_provider.ts";
import { NOBLE_HANDSHAKE, nobleProvider } from "../../../../core/wireguard/noble_provider.ts";
import { PinnedBuffer } from "../../../../ffi/memory.ts";
import { seededTest } from "../../../support/seeded_random.ts";
import { cryptoProviderContract } from "../../../contract/crypto_provider_contract.ts";

cryptoProviderContract(nodeProvider);
cryptoProviderContract(() => ({ ...choosePacketProvider(), name: "chosen" }));

Deno.test("choosePacketProvider() multiplies by node:crypto, which does that right on every system", () => {
  assert(choosePacketProvider().handshake.x25519 !== NOBLE_HANDSHAKE.x25519);
});

Deno.test("X25519 of node:crypto refuses keys of another length", () => {
  for (const bytes of [new Uint8Array(31), new Uint8Array(33)]) {
    assertThrows(() => NODE_CURVE.publicKey(bytes), RangeError, `got ${bytes.length}`);
    assertThrows(() => NODE_CURVE.sharedSecret(new Uint8Array(32).fill(9), bytes), RangeError, "32 bytes");
  }
});

seededTest("X25519 of node:crypto and noble agree on any keys", (random) => {
  for (let i = 0; i < 50; i++) {
    const [own, theirs] = [random.bytes(32), random.bytes(32)];
    assertEquals(NODE_CURVE.publicKey(own), NOBLE_HANDSHAKE.x25519PublicKey(own));
    assertEquals(NODE_CURVE.sharedSecret(own, theirs), NOBLE_HANDSHAKE.x25519(own, theirs));
  }
});
/** Libraries that this system has. */
const native = [libcryptoProvider, libgcryptProvider].filter(isThere);
for (const provider of native) cryptoProviderContract(provider);

function isThere(provider: () => CipherProvider): boolean {
  try {
    provider();
    return true;
  } catch (error) {
    if (error instanceof LibraryError) return false;
    throw error;
  }
}

Deno.test("choosePacketProvider() passes over a library that is absent and one that computes wrong", () => {
  const absent = (): CipherProvider => {
    lazyLibrary(["libzt-no-such.so"], {})();
    return withSubarrays(nobleProvider());
  };
  const wrong = (): CipherProvider => {
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

Deno.test("choosePacketProvider() closes what it does not take, and leaves what it takes open", () => {
  const closed: string[] = [];
  const like = (name: string, open: PacketCrypto["open"]) => (): CipherProvider => {
    const { packet, ...rest } = nobleProvider();
    const changed = {
      importKey: packet.importKey.bind(packet),
      releaseKey: packet.releaseKey.bind(packet),
      seal: packet.seal.bind(packet),
      open,
    };
    return { ...withSubarrays({ ...rest, name, packet: changed }), close: () => void closed.push(name) };
  };
  const { packet } = nobleProvider();
  const wrong = like("wrong", () => true);
  const failing = like("failing", () => {
    throw new TypeError("no");
  });
  const provider = choosePacketProvider([wrong, failing, like("right", packet.open.bind(packet))]);
  assertEquals([provider.name, closed], ["right", ["wrong", "failing"]]);
  provider.close!();
  assertEquals(closed, ["wrong", "failing", "right"]);
});

Deno.test("the cipher on an arena is that on arrays, for every provider", () => {
  const arena = new PinnedBuffer(4096);
  const bytes = Uint8Array.from({ length: 1420 + 16 }, (_, i) => i);
  const providers = [withSubarrays(nobleProvider()), withSubarrays(nodeProvider())];
  providers.push(...native.map((provider) => provider()));
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

Deno.test("choosePacketProvider() takes none that ignores the counter or accepts a forgery", () => {
  const { packet } = nobleProvider();
  const like = (name: string, changes: Partial<PacketCrypto>): () => CipherProvider => () =>
    withSubarrays({
      ...nobleProvider(),
      name,
      packet: {
        importKey: (key) => packet.importKey(key),
        releaseKey: (key) => packet.releaseKey(key),
        seal: (key, high, low, text) => packet.seal(key, high, low, text),
        open: (key, high, low, text) => packet.open(key, high, low, text),
        ...changes,
      },
    });
  const deaf = like("deaf", {
    seal: (key, _high, _low, text) => packet.seal(key, 0, 0, text),
    open: (key, _high, _low, text) => packet.open(key, 0, 0, text),
  });
  // A keepalive is nothing, encrypted: whoever cannot read that ends the data path at the first one.
  const failing = like("failing", {
    open(key, high, low, text): boolean {
      if (text.length === 16) throw new TypeError("no text");
      return packet.open(key, high, low, text);
    },
  });
  const credulous = like("credulous", {
    open: (key, high, low, text) => packet.open(key, high, low, text) || text.length === 16,
  });
  const trusting = like("trusting", {
    open: (key, high, low, text) => packet.open(key, high, low, text) || text.length > 1_000,
  });
  const good = like("good", {});
  for (const bad of [deaf, trusting, failing, credulous]) {
    assertEquals(choosePacketProvider([bad, good]).name, "good", bad().name);
  }
});

seededTest(
  "libraries agree on packets of any length and counter, and refuse them cut short or changed",
  (random) => {
    const providers = [withSubarrays(nobleProvider()), ...native.map((provider) => provider())];
    const bytes = random.bytes(32);
    const keys = providers.map(({ packet }) => packet.importKey(bytes));
    for (let i = 0; i < 200; i++) {
      const [high, low] = [random.u32(), random.u32()];
      const text = new Uint8Array(random.below(1_600) + 16);
      text.set(random.bytes(text.length - 16));
      const sealed = providers.map(({ packet }, k) => {
        const copy = text.slice();
        packet.seal(keys[k]!, high, low, copy);
        return copy;
      });
      for (const [k, { name, packet }] of providers.entries()) {
        assertEquals(sealed[k], sealed[0], `${name}, ${text.length} bytes`);
        const changed = sealed[0]!.slice();
        changed[random.below(changed.length)]! ^= 1 << random.below(8);
        const short = sealed[0]!.slice(0, random.below(text.length));
        for (const bad of [changed, short]) assertEquals(packet.open(keys[k]!, high, low, bad), false, name);
        const opened = sealed[0]!.slice();
        assertEquals(packet.open(keys[k]!, high, low, opened), true, name);
        assertEquals(opened.subarray(0, -16), text.subarray(0, -16), name);
      }
    }
    for (const [k, { packet }] of providers.entries()) packet.releaseKey(keys[k]!);
  },
);

Deno.test("handshakeBy() takes noble where another X25519 is absent, differs or takes any point", () => {
  const good = { publicKey: NOBLE_HANDSHAKE.x25519PublicKey, sharedSecret: NOBLE_HANDSHAKE.x25519 };
  const flipped = (bytes: Uint8Array | undefined): Uint8Array | undefined => bytes?.map((byte) => byte ^ 1);
  const isNoble = (curve: typeof good): boolean => handshakeBy(curve).handshake === NOBLE_HANDSHAKE;
  assertEquals(isNoble(good), false);
  const sharedSecret: typeof good.sharedSecret = (own, theirs) => flipped(good.sharedSecret(own, theirs));
  assertEquals(isNoble({ ...good, sharedSecret }), true, "both sides alike, but not X25519");
  assertEquals(isNoble({ ...good, publicKey: (own) => flipped(good.publicKey(own))! }), true);
  const trusting: typeof good.sharedSecret = (own, theirs) =>
    good.sharedSecret(own, theirs) ?? new Uint8Array(32);
  assertEquals(isNoble({ ...good, sharedSecret: trusting }), true, "a point of low order");
  const absent = (): never => {
    throw new Error("no such curve");
  };
  assertEquals(isNoble({ ...good, publicKey: absent }), true);
});
