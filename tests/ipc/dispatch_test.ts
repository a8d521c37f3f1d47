import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { OverlayError, PreconditionError } from "../../core/errors.ts";
import type { AttachReply, OverlayStatus, RequestContext, StatusDetail } from "../../core/service.ts";
import { decodeServerFrame } from "../../ipc/codec.ts";
import { attachReplyFromWire, serviceOverlayFromWire, statusFromWire } from "../../ipc/convert.ts";
import { dispatch, errorResponse, errResponse } from "../../ipc/dispatch.ts";
import type { OverlaydResponse } from "../../ipc/protocol.ts";
import { type Call, FakeService, FRESH_STATUS } from "../support/fake_service.ts";
import { requestFrame } from "../support/ipc_examples.ts";
import { RecordingLog } from "../support/ipc_rig.ts";

const CONTEXT: RequestContext = { connection: { closed: false } };
const GLOBAL = { scope: "global" };
const WEB = { scope: "service", service: "web" };

function run(request: string, service = new FakeService()): Promise<OverlaydResponse> {
  const frame = decodeServerFrame(new TextEncoder().encode(requestFrame(request)));
  assert(frame.kind === "request", Deno.inspect(frame));
  return dispatch(frame.request, service, CONTEXT);
}

/** What each operation calls, and what is answered. */
const CALLS: { request: string; call: Call; response?: OverlaydResponse }[] = [
  {
    request: '{"op":"set_local_node_id","node_id":18446744073709551615}',
    call: ["setLocalNodeId", 2n ** 64n - 1n],
  },
  { request: '{"op":"set_local_wg_pubkey","pubkey":"k"}', call: ["setLocalWgPubkey", "k"] },
  {
    request:
      '{"op":"setup_global_overlay","deployment":"d","instance_id":"42","cluster_cidr":"c","slice_cidr":"s","wg_port":1,"nat_enabled":true}',
    call: ["setupGlobalOverlay", {
      deployment: "d",
      instanceId: "42",
      clusterCidr: "c",
      sliceCidr: "s",
      wgPort: 1,
      natEnabled: true,
    }],
    response: { result: "bridge_name", name: "zl-overlay0" },
  },
  {
    request:
      '{"op":"setup_global_overlay","deployment":"d","instance_id":"42","cluster_cidr":"c","slice_cidr":null,"wg_port":1,"nat_enabled":true}',
    call: ["setupGlobalOverlay", {
      deployment: "d",
      instanceId: "42",
      clusterCidr: "c",
      wgPort: 1,
      natEnabled: true,
    }],
    response: { result: "bridge_name", name: "zl-overlay0" },
  },
  { request: '{"op":"teardown_global_overlay"}', call: ["teardownGlobalOverlay"] },
  {
    request: '{"op":"setup_service_overlay","service":"web","mode":"auto"}',
    call: ["setupServiceOverlay", "web", "auto"],
    response: { result: "service_overlay", name: "zl-web", mode: "shared" },
  },
  { request: '{"op":"teardown_service_overlay","service":"web"}', call: ["teardownServiceOverlay", "web"] },
  {
    request: '{"op":"allocate_ip","service":"web","join_global":true}',
    call: ["allocateIp", "web", true],
    response: { result: "ip", ip: "10.200.0.5" },
  },
  { request: '{"op":"release_ip","ip":"FD00::5"}', call: ["releaseIp", "FD00::5"] },
  {
    request:
      '{"op":"attach_container","handle":{"platform":"linux_pid","pid":4242},"service":"web","join_global":true,"dns_server":"10.0.0.1"}',
    call: ["attachContainer", {
      handle: { platform: "linux_pid", pid: 4242 },
      service: "web",
      joinGlobal: true,
      dnsServer: "10.0.0.1",
    }],
    response: { result: "attached", ip: "10.200.0.6" },
  },
  {
    request: '{"op":"detach_container","handle":{"platform":"windows_container","container_id":"c1"}}',
    call: ["detachContainer", { platform: "windows_container", containerId: "c1" }],
  },
  {
    request:
      '{"op":"add_peer","public_key":"k","endpoint":"e","allowed_ips":"a","persistent_keepalive_secs":25,"scope":{"scope":"service","service":"web"}}',
    call: ["addPeer", { publicKey: "k", endpoint: "e", allowedIps: "a", persistentKeepaliveSecs: 25 }, WEB],
  },
  { request: '{"op":"remove_peer","pubkey":"k"}', call: ["removePeer", "k", GLOBAL] },
  { request: '{"op":"add_allowed_ip","pubkey":"k","cidr":"c"}', call: ["addAllowedIp", "k", "c", GLOBAL] },
  {
    request: '{"op":"remove_allowed_ip","pubkey":"k","cidr":"c","scope":{"scope":"service","service":"web"}}',
    call: ["removeAllowedIp", "k", "c", WEB],
  },
  { request: '{"op":"register_dns","name":"n","ip":"::1"}', call: ["registerDns", "n", "::1"] },
  { request: '{"op":"unregister_dns","name":"n"}', call: ["unregisterDns", "n"] },
  { request: '{"op":"nat_tick"}', call: ["natTick"] },
  { request: '{"op":"shutdown"}', call: ["shutdown"] },
];

Deno.test("dispatch() calls one method per operation with the domain's values", async (t) => {
  for (const { request, call, response = { result: "ok" } } of CALLS) {
    await t.step(request.slice(0, 60), async () => {
      const service = new FakeService();
      assertEquals(await run(request, service), response);
      assertEquals(service.calls, [call]);
    });
  }
});

Deno.test("[ipc 3] add_peer without a scope, or with null for it, means the global device", async () => {
  for (const scope of ["", ',"scope":null', ',"scope":{"scope":"global"}']) {
    const service = new FakeService();
    await run(
      `{"op":"add_peer","public_key":"k","endpoint":"e","allowed_ips":"a","persistent_keepalive_secs":0${scope}}`,
      service,
    );
    assertEquals(service.calls[0]![2], GLOBAL);
  }
});

Deno.test("dispatch() tells the service which connection set up, tore down and shut down", async () => {
  const service = new FakeService();
  const setup =
    '{"op":"setup_global_overlay","deployment":"","instance_id":"","cluster_cidr":"","wg_port":1,"nat_enabled":true}';
  for (const request of [setup, '{"op":"teardown_global_overlay"}', '{"op":"shutdown"}']) {
    await run(request, service);
  }
  assertEquals(service.contexts.map((context) => context === CONTEXT), [true, true, true]);
});

Deno.test("dispatch() lays the dedicated part of a service overlay flat", async () => {
  const service = new FakeService();
  const reply = {
    name: "zl-web0",
    mode: "dedicated",
    dedicated: { wgPublicKey: "k", wgPort: 51421, overlayIp: "10.200.4.17", subnet: "10.200.4.16/28" },
  } as const;
  service.setupServiceOverlay = () => Promise.resolve(reply);
  const response = await run('{"op":"setup_service_overlay","service":"web","mode":"dedicated"}', service);
  assertEquals(response, {
    result: "service_overlay",
    name: "zl-web0",
    mode: "dedicated",
    wg_public_key: "k",
    wg_port: 51421,
    overlay_ip: "10.200.4.17",
    subnet: "10.200.4.16/28",
  });
  assertEquals(serviceOverlayFromWire(response as never), reply);
  assertEquals(
    serviceOverlayFromWire({ result: "service_overlay", name: "n", mode: "auto" }),
    { name: "n", mode: "shared" },
  );
});

const GUEST: AttachReply = {
  kind: "guest_config",
  overlayIp: "10.200.0.7",
  prefixLen: 16,
  privateKey: "secret",
  publicKey: "k",
  listenPort: 51420,
  peers: [],
};

Deno.test("dispatch() sends a guest's configuration with its peers, even none", async () => {
  const service = new FakeService();
  service.attachContainer = () => Promise.resolve(GUEST);
  const response = await run(
    '{"op":"attach_container","handle":{"platform":"guest_managed","id":"vm1"},"service":"web","join_global":true}',
    service,
  );
  assertEquals(response, {
    result: "guest_config",
    overlay_ip: "10.200.0.7",
    prefix_len: 16,
    private_key: "secret",
    public_key: "k",
    listen_port: 51420,
    peers: [],
  });
  assertEquals(attachReplyFromWire(response as never), GUEST);
});

const DETAIL: StatusDetail = {
  version: "0.1.0",
  pid: 1,
  startedUnixSecs: 2,
  dataDir: "/d",
  wireguard: { kind: "none", reason: "no module" },
  global: {
    deployment: "d",
    instanceId: "i",
    interface: "zl-overlay0",
    listenPort: 3,
    nodeIp: "10.200.0.1",
    state: "degraded",
    problem: "p",
  },
  services: [{
    name: "web",
    mode: "shared",
    bridge: "zl-web",
    subnet: "s",
    gateway: "g",
    leases: 4,
    state: "ready",
  }],
  attachments: [{
    handle: "pid:4242",
    service: "web",
    ip: "10.200.4.2",
    globalIp: "10.200.0.2",
    hostLinks: ["veth-1"],
    namespace: "n",
    endpoint: "e",
    state: "pending",
  }],
  leases: [{ ip: "10.200.4.2", pool: "service:web", owner: "pid:4242" }],
  servicePeers: [{
    publicKey: "k",
    endpoint: "e",
    allowedIps: "a",
    lastHandshakeUnixSecs: 5,
    rxBytes: 6,
    txBytes: 7,
    scope: { scope: "service", service: "web" },
  }],
  devices: [{
    interface: "zl-overlay0",
    scope: { scope: "global" },
    kind: "userspace",
    crypto: "libcrypto",
    drops: [{ reason: "noRoute", count: 3 }],
  }],
  dnsRecords: [{ name: "n", ip: "i" }],
  pending: ["detach pid:4242"],
};

const FULL_STATUS: OverlayStatus = {
  interface: "zl-overlay0",
  nodeIp: "10.200.0.1",
  publicKey: "k",
  overlayCidr: "10.200.0.0/16",
  sliceCidr: "10.200.0.0/28",
  peerCount: 1,
  serviceCount: 1,
  peers: [{
    publicKey: "k",
    endpoint: "e",
    allowedIps: "a",
    lastHandshakeUnixSecs: 5,
    rxBytes: 6,
    txBytes: 7,
    scope: { scope: "global" },
  }],
  dedicatedServices: [{
    service: "web",
    interface: "zl-web0",
    publicKey: "k",
    listenPort: 51421,
    overlayIp: "10.200.4.17",
    subnet: "s",
    peerCount: 0,
  }],
  detail: DETAIL,
};

Deno.test("dispatch() gives a full status in the contract's names, and the client reads it back", async () => {
  const service = new FakeService();
  const asked: boolean[] = [];
  service.status = (detail) => {
    asked.push(detail);
    return Promise.resolve(FULL_STATUS);
  };
  const response = await run('{"op":"status","detail":true}', service);
  assert(response.result === "status");
  await run('{"op":"status"}', service);
  assertEquals(asked, [true, false]);
  assertEquals(Object.keys(response), [
    ...["result", "interface", "node_ip", "public_key", "overlay_cidr", "slice_cidr", "peer_count"],
    ...["service_count", "peers", "dedicated_services", "detail"],
  ]);
  assertEquals(response.peers![0], {
    public_key: "k",
    endpoint: "e",
    allowed_ips: "a",
    last_handshake_unix_secs: 5,
    rx_bytes: 6,
    tx_bytes: 7,
  });
  assertEquals(response.detail!.service_peers[0]!.scope, { scope: "service", service: "web" });
  assertEquals(response.detail!.attachments[0]!.host_links, ["veth-1"]);
  assertEquals(statusFromWire(response), FULL_STATUS);
});

Deno.test("[ipc 9] dispatch() leaves empty lists and absent fields out of a status", async () => {
  assertEquals(
    JSON.stringify(await run('{"op":"status"}')),
    '{"result":"status","overlay_cidr":"10.200.0.0/16","peer_count":0,"service_count":0}',
  );
  assertEquals(
    statusFromWire({ result: "status", peer_count: 0, service_count: 0 }),
    { ...FRESH_STATUS, overlayCidr: "" },
  );
});

Deno.test("errorResponse() passes an OverlayError's message and code on", () => {
  const log = new RecordingLog();
  assertEquals(
    errorResponse("add_peer", new PreconditionError("global overlay not set up"), log),
    { result: "err", message: "global overlay not set up", code: "precondition_failed" },
  );
  assertEquals(log.lines.map((line) => line.level), ["debug"]);
});

Deno.test("errorResponse() keeps a defect's text and stack from the caller and out of the log above debug", () => {
  for (const defect of [new TypeError("secret key abc"), "secret key abc", undefined]) {
    const log = new RecordingLog();
    const response = errorResponse("nat_tick", defect, log);
    assertEquals(response, {
      result: "err",
      message: "internal error while handling nat_tick; the daemon's log has more",
      code: "internal",
    });
    const warnings = log.lines.filter((line) => line.level === "warn");
    assertEquals(warnings.length, 1);
    assert(!JSON.stringify(warnings).includes("secret"));
  }
});

Deno.test("errResponse() bounds the message and keeps it valid Unicode", () => {
  const { message } = errResponse(`x${"🜚".repeat(10_000)}`, "internal");
  assertLess(message.length, 5000);
  assert(message.isWellFormed());
  assertStringIncludes(message, "…");
  assertEquals(errResponse("a\ud800", "internal").message, "a\ufffd");
});

Deno.test("errorResponse() takes errors of every code", () => {
  const error = new OverlayError("exhausted", "pool exhausted", { cause: new Error("inner secret") });
  assert(!JSON.stringify(errorResponse("allocate_ip", error, new RecordingLog())).includes("secret"));
});
