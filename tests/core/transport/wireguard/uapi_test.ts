import { assertEquals } from "@std/assert";
import type { WireGuardDevice } from "../../../../ffi/netlink/wireguard.ts";
import { formatUapiDevice, parseUapiRequest } from "../../../../core/transport/wireguard/uapi.ts";
import { seededTest } from "../../../support/seeded_random.ts";

const KEY = "ab".repeat(32);
const KEY_BYTES = new Uint8Array(32).fill(0xab);

Deno.test("parseUapiRequest() reads what the reference's transport writes", async (t) => {
  const rows: { name: string; text: string; change: WireGuardDevice }[] = [
    {
      name: "configure",
      text: `set=1\nprivate_key=${KEY}\nlisten_port=51820`,
      change: { privateKey: KEY_BYTES, listenPort: 51820 },
    },
    {
      name: "add peer",
      text: `set=1\npublic_key=${KEY}\nendpoint=192.0.2.1:7\nallowed_ip=10.0.0.5/32,10.1.0.0/16\n` +
        "persistent_keepalive_interval=0",
      change: {
        peers: [{
          publicKey: KEY_BYTES,
          endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 7 },
          allowedIps: [
            { family: 2, address: Uint8Array.of(10, 0, 0, 5), prefixLength: 32 },
            { family: 2, address: Uint8Array.of(10, 1, 0, 0), prefixLength: 16 },
          ],
          keepaliveSeconds: 0,
        }],
      },
    },
    {
      name: "remove peer",
      text: `set=1\npublic_key=${KEY}\nremove=true`,
      change: { peers: [{ publicKey: KEY_BYTES, flags: 1 }] },
    },
    {
      name: "change allowed IPs",
      text: `set=1\npublic_key=${KEY}\nupdate_only=true\nreplace_allowed_ips=true`,
      change: { peers: [{ publicKey: KEY_BYTES, flags: 6 }] },
    },
    {
      name: "the device and IPv6",
      text: `set=1\nreplace_peers=true\nfwmark=0x10\npublic_key=${KEY}\nendpoint=[::1]:9`,
      change: {
        flags: 1,
        fwmark: 16,
        peers: [{
          publicKey: KEY_BYTES,
          endpoint: { address: Uint8Array.from({ length: 16 }, (_, i) => i === 15 ? 1 : 0), port: 9 },
        }],
      },
    },
  ];
  for (const { name, text, change } of rows) {
    await t.step(name, () => assertEquals(parseUapiRequest(text), { kind: "set", change }));
  }
  assertEquals(parseUapiRequest("get=1"), { kind: "get" });
});

Deno.test("parseUapiRequest() refuses what is malformed [overlay T22]", () => {
  const peer = `public_key=${KEY}\n`;
  const lines = [
    `private_key=${KEY.slice(1)}`,
    "listen_port=65536",
    "listen_port=",
    "fwmark=-1",
    "no equals sign",
    "unknown=1",
    "endpoint=1.2.3.4:5",
    `${peer}endpoint=example.org:5`,
    `${peer}endpoint=1.2.3.4`,
    `${peer}allowed_ip=10.0.0.0/33`,
    `${peer}allowed_ip=10.0.0.0/24,`,
    `${peer}persistent_keepalive_interval=65536`,
    `${peer}remove=false`,
    `${peer}protocol_version=2`,
    `${peer}preshared_key=${KEY}00`,
    "",
  ];
  for (const line of lines) {
    assertEquals(parseUapiRequest(`set=1\n${line}`), { kind: "invalid", errno: 22 }, line);
  }
  for (const text of ["", "get=2", "get=1\nx=1", "hello"]) {
    assertEquals(parseUapiRequest(text), { kind: "invalid", errno: 71 }, text);
  }
});

seededTest("parseUapiRequest() answers any text and throws for none", (random) => {
  const keys = ["public_key", "endpoint", "allowed_ip", "fwmark", "remove", "listen_port", "preshared_key"];
  for (let i = 0; i < 2_000; i++) {
    const lines = Array.from({ length: random.below(6) }, () => `${random.pick(keys)}=${random.text(70)}`);
    const { kind } = parseUapiRequest(["set=1", ...lines].join("\n"));
    assertEquals(kind === "set" || kind === "invalid", true);
  }
});

Deno.test("formatUapiDevice() writes what wg reads", () => {
  const text = formatUapiDevice({
    privateKey: KEY_BYTES,
    listenPort: 51820,
    fwmark: 16,
    peers: [{
      publicKey: KEY_BYTES,
      presharedKey: new Uint8Array(32),
      endpoint: {
        address: Uint8Array.from({ length: 16 }, (_, i) => i === 0 ? 0xfe : i === 1 ? 0x80 : 0),
        port: 9,
        scopeId: 3,
      },
      lastHandshake: { seconds: 1_700_000_000n, nanoseconds: 5_000_000n },
      rxBytes: 1n,
      txBytes: 2n,
      keepaliveSeconds: 25,
      allowedIps: [{ family: 2, address: Uint8Array.of(10, 0, 0, 0), prefixLength: 24 }],
    }],
  });
  assertEquals(
    text,
    `private_key=${KEY}\nlisten_port=51820\nfwmark=16\npublic_key=${KEY}\nprotocol_version=1\n` +
      "endpoint=[fe80::%3]:9\nlast_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5000000\n" +
      "tx_bytes=2\nrx_bytes=1\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.0/24\nerrno=0\n\n",
  );
  assertEquals(formatUapiDevice({}), "errno=0\n\n");
});
