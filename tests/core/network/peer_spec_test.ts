import { assertEquals, assertThrows } from "@std/assert";
import { InvalidConfigError } from "../../../core/errors.ts";
import {
  formatAllowedIps,
  formatPeerEndpoint,
  parseAllowedIps,
  parseCidr,
  parsePeerEndpoint,
  parsePeerPlace,
  parsePeerSpec,
  type PeerPlace,
} from "../../../core/network/peer_spec.ts";
import { parseIp } from "../../../core/ip/address.ts";
import type { PeerSpec } from "../../../core/service.ts";
import { encodeKey } from "../../../core/wireguard/keys.ts";
import { seededTest } from "../../support/seeded_random.ts";

const KEY = encodeKey(new Uint8Array(32).fill(7));

function spec(change: Partial<PeerSpec> = {}): PeerSpec {
  return {
    publicKey: KEY,
    endpoint: "198.51.100.7:51420",
    allowedIps: "10.200.0.5/32",
    persistentKeepaliveSecs: 25,
    ...change,
  };
}

Deno.test("parsePeerSpec() reads a whole peer", () => {
  const peer = parsePeerSpec(spec({ endpoint: "[2001:db8::1]:51420" }));
  assertEquals(encodeKey(peer.publicKey), KEY);
  assertEquals(formatPeerEndpoint(peer.endpoint!), "[2001:db8::1]:51420");
  assertEquals(formatAllowedIps(peer.allowedIps), "10.200.0.5/32");
  assertEquals(peer.keepaliveSeconds, 25);
});

Deno.test("parsePeerPlace() refuses what is neither an address nor a host, with a port [overlay T13]", () => {
  const bad = [
    "1.2.3.4",
    "peer.example.com",
    "1.2.3.4:",
    "peer.example.com:",
    "1.2.3.4:65536",
    "peer.example.com:65536",
    "1.2.3.4:-1",
    "1.2.3.4:+1",
    "[1.2.3.4]:1",
    "[peer.example.com]:1",
    "::1:51820",
    "[::1]",
    "[::1]51820",
    "[fe80::1%eth0]:1",
    "01.2.3.4:1",
    "1.2.3:1",
  ];
  for (const text of bad) {
    const error = assertThrows(() => parsePeerPlace(text), InvalidConfigError, "", text);
    assertEquals(error.message, `invalid peer endpoint ${text}: invalid socket address syntax`);
    assertEquals(parsePeerEndpoint(text), undefined);
  }
  for (const text of ["", " 1.2.3.4:1", "1.2.3.4:1\n", "x".repeat(9000), `${"x".repeat(9000)}:1`]) {
    const error = assertThrows(() => parsePeerPlace(text), InvalidConfigError, 'invalid peer endpoint "');
    assertEquals(error.message.length < 200, true);
  }
});

Deno.test("parsePeerPlace() tells addresses, hosts and nothing apart [overlay T13]", () => {
  const ip = parseIp("198.51.100.7")!;
  const rows: { text: string; want: PeerPlace }[] = [
    { text: "198.51.100.7:51420", want: { kind: "address", endpoint: { ip, port: 51420 } } },
    { text: "peer.example:51820", want: { kind: "name", name: "peer.example", port: 51820 } },
    { text: "localhost:1", want: { kind: "name", name: "localhost", port: 1 } },
    { text: "peer.example.:65535", want: { kind: "name", name: "peer.example.", port: 65535 } },
    { text: "0.0.0.0:0", want: { kind: "unknown" } },
    { text: "peer.example:0", want: { kind: "unknown" } },
  ];
  for (const { text, want } of rows) assertEquals(parsePeerPlace(text), want, text);
});

Deno.test("parsePeerPlace() says what is wrong with a host's name", () => {
  const error = assertThrows(() => parsePeerPlace("node_b.example:51820"), InvalidConfigError);
  assertEquals(
    error.message,
    'invalid peer endpoint node_b.example:51820: host name has "_": use letters, digits, hyphens and dots',
  );
});

Deno.test("parsePeerEndpoint() and formatPeerEndpoint() are each other's inverse", () => {
  for (const text of ["1.2.3.4:51820", "[::1]:1", "[fd00::5]:65535", "0.0.0.0:9"]) {
    assertEquals(formatPeerEndpoint(parsePeerEndpoint(text)!), text);
  }
  assertEquals(formatPeerEndpoint(parsePeerEndpoint("1.2.3.4:00080")!), "1.2.3.4:80");
});

Deno.test("port 0 means that no endpoint is known", () => {
  assertEquals(parsePeerEndpoint("0.0.0.0:0"), undefined);
  assertEquals("endpoint" in parsePeerSpec(spec({ endpoint: "0.0.0.0:0" })), false);
});

Deno.test("parseAllowedIps() reads a comma list [overlay T14]", () => {
  const cases: { text: string; want: string }[] = [
    { text: "10.200.0.5/32,10.200.1.0/24", want: "10.200.0.5/32,10.200.1.0/24" },
    { text: "10.200.0.5/32 ,  10.200.1.0/24 ", want: "10.200.0.5/32,10.200.1.0/24" },
    { text: "10.200.0.5", want: "10.200.0.5/32" },
    { text: "fd00::/64,::1", want: "fd00::/64,::1/128" },
    { text: "10.0.0.0/8,10.0.0.0/8,10.0.0.1/8", want: "10.0.0.0/8,10.0.0.1/8" }, // compared as written
    { text: "", want: "" },
    { text: "  ", want: "" },
  ];
  for (const { text, want } of cases) assertEquals(formatAllowedIps(parseAllowedIps(text)), want, text);
});

Deno.test("parseAllowedIps() refuses what is not a CIDR, newlines above all [overlay T22]", () => {
  const bad = [
    "10.0.0.0/8\nprivate_key=00",
    "10.0.0.0/8,10.0.1.0/24\n",
    "\n",
    "10.0.0.0/8\t,10.0.1.0/24",
    "10.0.0.0/8,",
    ",10.0.0.0/8",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0/8",
    "fd00::/129",
    "10.0.0.0/8 10.0.1.0/24",
    "10.0.0.0/08",
  ];
  for (const text of bad) {
    assertThrows(
      () => parseAllowedIps(text),
      InvalidConfigError,
      "invalid IP address syntax",
      JSON.stringify(text),
    );
  }
  const error = assertThrows(() => parseCidr("10.0.0.0/33"), InvalidConfigError);
  assertEquals(error.message, "invalid CIDR 10.0.0.0/33: invalid IP address syntax");
});

Deno.test("parsePeerSpec() takes a keepalive of 0 to 65535 seconds", () => {
  assertEquals(parsePeerSpec(spec({ persistentKeepaliveSecs: 0 })).keepaliveSeconds, 0);
  assertEquals(parsePeerSpec(spec({ persistentKeepaliveSecs: 65535 })).keepaliveSeconds, 65535);
  for (const seconds of [65536, -1, 1.5, NaN, 2 ** 64]) {
    assertThrows(
      () => parsePeerSpec(spec({ persistentKeepaliveSecs: seconds })),
      InvalidConfigError,
      `persistent_keepalive_secs ${seconds} is out of range`,
    );
  }
});

Deno.test("parsePeerSpec() complains of the endpoint first and never shows a key", () => {
  const secret = encodeKey(new Uint8Array(31).fill(9));
  assertThrows(
    () => parsePeerSpec(spec({ publicKey: secret, endpoint: "x" })),
    InvalidConfigError,
    "endpoint x",
  );
  const error = assertThrows(() => parsePeerSpec(spec({ publicKey: secret })), InvalidConfigError);
  assertEquals(error.message, "Invalid key length: expected 32 bytes, got 31");
});

seededTest("parsePeerSpec() gives a peer or an InvalidConfigError without control characters", (random) => {
  const alphabet = "0123456789abcdef.:[]/, \n\0%x=";
  for (let i = 0; i < 5000; i++) {
    try {
      parsePeerSpec(spec({
        endpoint: random.below(2) ? random.text(30, alphabet) : "1.2.3.4:5",
        allowedIps: random.text(30, alphabet),
      }));
    } catch (error) {
      if (!(error instanceof InvalidConfigError)) throw error;
      assertEquals(/\p{Cc}/u.test(error.message), false, JSON.stringify(error.message));
    }
  }
});
