import { assertEquals, assertStringIncludes } from "@std/assert";
import { statusText } from "../../../core/operator/status_text.ts";
import { statusView } from "../../../core/operator/status_view.ts";
import { byteCount, cell, duration, facts, table } from "../../../core/operator/text.ts";
import { DETAILED_REPLY, RUST_REPLY } from "./replies.ts";

const DETAILED = `\
zlayer-overlayd 0.1.0
  pid          42
  running for  1 h
  data dir     /var/lib/zlayer
  socket       /run/x.sock
  wireguard    kernel

Global overlay: ready
  interface     zl-prod-g
  node address  10.200.0.1
  cluster       10.200.0.0/16
  slice         10.200.0.0/28
  port          51420
  public key    QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY=
  deployment    prod
  peers         1

Services: 2
  NAME  MODE       INTERFACE      SUBNET          GATEWAY      LEASES  PORT   STATE
  web   shared     zl-prod-web-b  10.200.4.0/28   10.200.4.1   1       -      degraded
  db    dedicated  zl-prod-db-b   10.200.4.16/28  10.200.4.17  0       51421  ready

Attachments: 1
  HANDLE    SERVICE  ADDRESS     GLOBAL      HOST LINKS               STATE
  pid:4242  web      10.200.4.2  10.200.0.2  veth-4242-s,veth-4242-g  ready

Devices: 2
  INTERFACE     SCOPE   WIREGUARD  CRYPTO     DROPPED
  zl-prod-g     global  userspace  libcrypto  7 noRoute, 2 replayed
  zl-prod-db-d  db      kernel     -          -

Peers: 2
  PUBLIC KEY  SCOPE   ENDPOINT            ALLOWED IPS                  HANDSHAKE  RECEIVED  SENT
  cGVlcjE=    global  198.51.100.7:51420  10.200.0.5/32,10.200.1.0/24  12 s ago   1.5 KiB   20 B
  cGVlcjI=    db      -                   -                            never      0 B       0 B

DNS records: 1
  web.service.local  10.200.4.2

Pending: 1
  attach pid:7 to web

Problems: 1
  service web: bridge zl-prod-web-b is down
`;

Deno.test("statusText() renders a detailed status aligned", () => {
  assertEquals(statusText(statusView(DETAILED_REPLY, "/run/x.sock"), 4600), DETAILED);
});

Deno.test("statusText() renders the Rust daemon's status with less", () => {
  const text = statusText(statusView(RUST_REPLY, "/run/x.sock"), 4600);
  assertStringIncludes(text, "gives no details");
  assertStringIncludes(text, "Global overlay: up");
  assertStringIncludes(text, "zl-db0");
});

Deno.test("statusText() of a fresh daemon says that nothing is set up", () => {
  const text = statusText(statusView({ result: "status", peer_count: 0, service_count: 0 }, "/s"), 0);
  assertStringIncludes(text, "Global overlay: not set up\n");
  assertStringIncludes(text, "Services: 0\n");
});

Deno.test("cell() lets no control character through to the terminal", () => {
  assertEquals(cell("a\u001b[31mb\nc\u202e"), "a\\u{1b}[31mb\\u{a}c\\u{202e}");
  assertEquals([cell(null), cell(""), cell(0)], ["-", "-", "0"]);
});

Deno.test("duration() names at most two units", () => {
  const cases: [number, string][] = [
    [-5, "0 s"],
    [0, "0 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [185, "3 min 5 s"],
    [7_800, "2 h 10 min"],
    [3_605, "1 h"],
    [1_051_200, "12 d 4 h"],
  ];
  for (const [seconds, want] of cases) assertEquals(duration(seconds), want, String(seconds));
});

Deno.test("byteCount() uses binary units", () => {
  assertEquals([0, 1023, 1024, 1536, 1024 ** 4 * 5000].map(byteCount), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "5000.0 TiB",
  ]);
});

Deno.test("table() and facts() align", () => {
  assertEquals(table(["A", "BB"], [["xxx", "y"], ["é", ""]]), ["  A    BB", "  xxx  y", "  é"]);
  assertEquals(facts([["a", 1], ["long", "x"], ["gone", null]]), ["  a     1", "  long  x"]);
});

Deno.test("statusText() tells of containers of Windows by their namespace", () => {
  const container = {
    handle: "container:web-1",
    service: "web",
    ip: "10.200.0.5",
    host_links: [],
    namespace: "6c1f0d3e-1111-4222-8333-944455556666",
    endpoint: "6c1f0d3e-1111-4222-8333-944455556667",
    state: "ready",
  };
  const guest = { handle: "guest:vm", service: "web", ip: "10.200.0.6", host_links: [], state: "ready" };
  const reply = {
    ...DETAILED_REPLY,
    detail: { ...DETAILED_REPLY.detail, attachments: [container, guest] },
  };
  const view = statusView(reply, "x");
  assertEquals(view.attachments[0]!.endpoint, container.endpoint);
  assertStringIncludes(
    statusText(view, 4600),
    `\
Attachments: 2
  HANDLE           SERVICE  ADDRESS     HCN NAMESPACE                         STATE
  container:web-1  web      10.200.0.5  6c1f0d3e-1111-4222-8333-944455556666  ready
  guest:vm         web      10.200.0.6  -                                     ready
`,
  );
});
