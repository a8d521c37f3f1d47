import { assert, assertEquals } from "@std/assert";
import { SourceCache, type SourcePort } from "../../../../core/transport/wireguard/source_cache.ts";

/** As a port holds it: `struct sockaddr_in` up to the address, and the local address. */
function receipt(host: number, port: number, local = 9, interfaceIndex = 2): SourcePort {
  return {
    source: Uint8Array.of(2, 0, port >> 8, port & 0xff, 10, 0, 0, host),
    local: Uint8Array.of(10, 0, 0, local),
    interfaceIndex,
  };
}

Deno.test("SourceCache gives the same object for the same source, and another for another", () => {
  const cache = new SourceCache(4);
  const first = cache.endpointOf(receipt(1, 51820));
  assertEquals(first.toString(), "10.0.0.1:51820");
  assertEquals(first.local, { address: Uint8Array.of(10, 0, 0, 9), interfaceIndex: 2 });
  assert(cache.endpointOf(receipt(1, 51820)) === first);
  const others = [receipt(2, 51820), receipt(1, 51821), receipt(1, 51820, 8), receipt(1, 51820, 9, 3)].map((
    one,
  ) => cache.endpointOf(one));
  for (const other of others) assert(!other.equals(first));
  assert(cache.endpointOf(receipt(1, 51820)) === first, "remembered when others came between");
});

Deno.test("SourceCache keeps no more sources than it may, whoever sends", () => {
  const cache = new SourceCache(4);
  const first = cache.endpointOf(receipt(1, 1));
  for (let port = 2; port < 5000; port++) cache.endpointOf(receipt(1, port));
  const again = cache.endpointOf(receipt(1, 1));
  assert(again !== first && again.equals(first));
});

Deno.test("SourceCache reads IPv6 with its scope", () => {
  const source = new Uint8Array(28);
  source.set([10, 0, 0x1f, 0x90, 0, 0, 0, 0, 0xfe, 0x80]);
  source[23] = 7;
  source[24] = 3;
  const endpoint = new SourceCache(6).endpointOf({ source, local: new Uint8Array(16), interfaceIndex: 3 });
  assertEquals([endpoint.toString(), endpoint.scopeId, endpoint.port], ["[fe80::7]:8080", 3, 8080]);
});
