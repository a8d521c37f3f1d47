import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import {
  type ClientFrame,
  decodeClientFrame,
  decodeServerFrame,
  encodeEvent,
  encodeRequest,
  encodeResponse,
  type ServerFrame,
} from "../../ipc/codec.ts";
import { EVENTS, requestFrame, REQUESTS, RESPONSES } from "../support/ipc_examples.ts";
import { parseExactJson, stringifyExactJson } from "../../ipc/json.ts";

function serverFrame(text: string | Uint8Array): ServerFrame {
  return decodeServerFrame(typeof text === "string" ? new TextEncoder().encode(text) : text);
}

function clientFrame(text: string): ClientFrame {
  return decodeClientFrame(new TextEncoder().encode(text));
}

Deno.test("[ipc 1] every request decodes and encodes to the same JSON value", async (t) => {
  for (const [i, request] of REQUESTS.entries()) {
    await t.step(`${i} ${/"op":"(\w+)"/.exec(request)![1]}`, () => {
      const frame = serverFrame(requestFrame(request));
      assert(frame.kind === "request", Deno.inspect(frame));
      assertEquals(
        parseExactJson(encodeRequest(frame.id, frame.request)),
        parseExactJson(requestFrame(request)),
      );
    });
  }
});

Deno.test("[ipc 1] every response decodes and encodes to the same JSON value", async (t) => {
  for (const [i, response] of RESPONSES.entries()) {
    await t.step(`${i} ${/"result":"(\w+)"/.exec(response)![1]}`, () => {
      const text = `{"frame":"response","id":7,"response":${response}}`;
      const frame = clientFrame(text);
      assert(frame.kind === "response", Deno.inspect(frame));
      assertEquals(JSON.parse(encodeResponse(frame.id, frame.response)), JSON.parse(text));
    });
  }
});

Deno.test("[ipc 1] every event decodes and encodes to the same JSON value", () => {
  for (const text of EVENTS) {
    const frame = clientFrame(text);
    assert(frame.kind === "event");
    assertEquals(JSON.parse(encodeEvent(frame.event)), JSON.parse(text));
  }
});

Deno.test("[ipc 2] ids and node ids keep all 64 bits", async (t) => {
  for (const digits of ["18446744073709551615", "9007199254740993", "9007199254740991", "0", "1"]) {
    await t.step(digits, () => {
      const frame = serverFrame(requestFrame('{"op":"status"}', digits));
      assert(frame.kind === "request");
      assertStringIncludes(encodeResponse(frame.id, { result: "ok" }), `"id":${digits},`);
      const node = serverFrame(requestFrame(`{"op":"set_local_node_id","node_id":${digits}}`));
      assert(node.kind === "request" && node.request.op === "set_local_node_id");
      assertEquals(node.request.node_id, BigInt(digits));
      assertStringIncludes(encodeRequest(7n, node.request), `"node_id":${digits}}`);
    });
  }
});

Deno.test("[ipc 2] a client takes a response to an id of 64 bits", () => {
  const frame = clientFrame('{"frame":"response","id":18446744073709551615,"response":{"result":"ok"}}');
  assert(frame.kind === "response");
  assertEquals(frame.id, 18446744073709551615n);
});

Deno.test("unknown keys are ignored, key order is free, null equals absent", () => {
  const frame = serverFrame(
    '{"x":1,"request":{"slice_cidr":null,"nat_enabled":false,"wg_port":1,"cluster_cidr":"c","future":[{}],' +
      '"instance_id":"i","deployment":"d","op":"setup_global_overlay"},"id":3,"frame":"request"}',
  );
  assert(frame.kind === "request");
  assertEquals(JSON.parse(encodeRequest(frame.id, frame.request)).request, {
    op: "setup_global_overlay",
    deployment: "d",
    instance_id: "i",
    cluster_cidr: "c",
    wg_port: 1,
    nat_enabled: false,
  });
  for (const request of ['{"op":"status","detail":null}', '{"op":"remove_peer","pubkey":"k","scope":null}']) {
    assertEquals(serverFrame(requestFrame(request)).kind, "request", request);
  }
});

const DEEP = "[".repeat(5000);

/** What is not understood, and the words for it. `id` is what can be read of it. */
const MALFORMED: { name: string; input: string | Uint8Array; id?: bigint; reason: string }[] = [
  { name: "empty", input: "", reason: "not valid JSON" },
  { name: "not JSON", input: "hello", reason: "not valid JSON" },
  { name: "an array", input: "[]", reason: "not a JSON object" },
  { name: "null", input: "null", reason: "not a JSON object" },
  {
    name: "cut",
    input: '{"frame":"request","id":12,"request":{"op":"sta',
    id: 12n,
    reason: "not valid JSON",
  },
  { name: "cut, id first", input: ' { "id" : 13 , "frame"', id: 13n, reason: "not valid JSON" },
  { name: "cut inside the id", input: '{"frame":"request","id":1', reason: "not valid JSON" },
  { name: "cut, id too big", input: '{"id":99999999999999999999,', reason: "not valid JSON" },
  { name: "trailing text", input: requestFrame('{"op":"status"}') + "x", id: 7n, reason: "not valid JSON" },
  {
    name: "byte order mark",
    input: "\ufeff" + requestFrame('{"op":"status"}'),
    id: 7n,
    reason: "not valid JSON",
  },
  {
    name: "invalid UTF-8",
    input: new Uint8Array([...new TextEncoder().encode('{"frame":"request","id":5,"x":"'), 0xff, 0x22, 0x7d]),
    id: 5n,
    reason: "not UTF-8",
  },
  { name: "no frame", input: '{"id":4}', id: 4n, reason: 'frame undefined is not "request"' },
  { name: "unknown frame", input: '{"frame":"query","id":4}', id: 4n, reason: 'frame "query" is not' },
  { name: "no id", input: '{"frame":"request","request":{"op":"status"}}', reason: "id undefined must be" },
  { name: "id of text", input: requestFrame('{"op":"status"}', '"7"'), reason: 'id "7" must be' },
  { name: "negative id", input: requestFrame('{"op":"status"}', "-1"), reason: "id -1 must be" },
  { name: "fraction as id", input: requestFrame('{"op":"status"}', "1.5"), reason: "id 1.5 must be" },
  {
    name: "id over u64",
    input: requestFrame('{"op":"status"}', "18446744073709551616"),
    reason: "id 18446744073709551616 must be",
  },
  { name: "no request", input: '{"frame":"request","id":7}', id: 7n, reason: "request is missing" },
  {
    name: "request of another type",
    input: requestFrame("5"),
    id: 7n,
    reason: "request 5 must be an object",
  },
  { name: "no op", input: requestFrame("{}"), id: 7n, reason: "op is missing" },
  {
    name: "unknown op",
    input: requestFrame('{"op":"reboot"}'),
    id: 7n,
    reason: 'op "reboot" is not an operation of this daemon',
  },
  {
    name: "op of another type",
    input: requestFrame('{"op":{}}'),
    id: 7n,
    reason: "op (an object) is not an",
  },
  {
    name: "missing field",
    input: requestFrame('{"op":"allocate_ip","service":"web"}'),
    id: 7n,
    reason: "allocate_ip: join_global is missing",
  },
  {
    name: "null in a required field",
    input: requestFrame('{"op":"teardown_service_overlay","service":null}'),
    id: 7n,
    reason: "teardown_service_overlay: service null must be a string",
  },
  {
    name: "number for a string",
    input: requestFrame('{"op":"unregister_dns","name":5}'),
    id: 7n,
    reason: "unregister_dns: name 5 must be a string",
  },
  {
    name: "string for a number",
    input: requestFrame(
      '{"op":"attach_container","handle":{"platform":"linux_pid","pid":"5"},"service":"w","join_global":true}',
    ),
    id: 7n,
    reason: 'attach_container: handle.pid "5" must be an integer from 0 to 4294967295',
  },
  {
    name: "pid out of range",
    input: requestFrame('{"op":"detach_container","handle":{"platform":"linux_pid","pid":-1}}'),
    id: 7n,
    reason: "detach_container: handle.pid -1 must be an integer from 0 to 4294967295",
  },
  {
    name: "unknown platform",
    input: requestFrame('{"op":"detach_container","handle":{"platform":"bsd_jail","pid":1}}'),
    id: 7n,
    reason:
      'detach_container: handle.platform "bsd_jail" must be one of "linux_pid", "windows_container", "guest_managed"',
  },
  {
    name: "port out of range",
    input: requestFrame(
      '{"op":"setup_global_overlay","deployment":"","instance_id":"","cluster_cidr":"","wg_port":70000,"nat_enabled":true}',
    ),
    id: 7n,
    reason: "setup_global_overlay: wg_port 70000 must be an integer from 0 to 65535",
  },
  {
    name: "fraction for an integer",
    input: requestFrame(
      '{"op":"add_peer","public_key":"k","endpoint":"e","allowed_ips":"","persistent_keepalive_secs":2.5}',
    ),
    id: 7n,
    reason: "add_peer: persistent_keepalive_secs 2.5 must be an integer from 0 to 18446744073709551615",
  },
  {
    name: "node id over u64",
    input: requestFrame('{"op":"set_local_node_id","node_id":18446744073709551616}'),
    id: 7n,
    reason: "set_local_node_id: node_id 18446744073709551616 must be an integer",
  },
  {
    name: "unknown mode",
    input: requestFrame('{"op":"setup_service_overlay","service":"w","mode":"private"}'),
    id: 7n,
    reason: 'setup_service_overlay: mode "private" must be "auto", "shared" or "dedicated"',
  },
  {
    name: "address with a prefix",
    input: requestFrame('{"op":"release_ip","ip":"10.0.0.1/8"}'),
    id: 7n,
    reason: 'release_ip: ip "10.0.0.1/8" must be an IPv4 or IPv6 address',
  },
  {
    name: "address with a zone",
    input: requestFrame('{"op":"register_dns","name":"n","ip":"fe80::1%eth0"}'),
    id: 7n,
    reason: 'register_dns: ip "fe80::1%eth0" must be an IPv4 or IPv6 address',
  },
  {
    name: "bad address in a handle",
    input: requestFrame(
      '{"op":"detach_container","handle":{"platform":"windows_container","container_id":"c","ip":"x"}}',
    ),
    id: 7n,
    reason: 'detach_container: handle.ip "x" must be an IPv4 or IPv6 address',
  },
  {
    name: "service scope without a service",
    input: requestFrame('{"op":"remove_peer","pubkey":"k","scope":{"scope":"service"}}'),
    id: 7n,
    reason: "remove_peer: scope.service is missing",
  },
  {
    name: "half a surrogate pair",
    input: requestFrame('{"op":"teardown_service_overlay","service":"a\\ud800"}'),
    id: 7n,
    reason: "must be a string of whole Unicode characters",
  },
  {
    name: "nested too deep",
    input: `{"frame":"request","id":7,"request":${DEEP}`,
    id: 7n,
    reason: "nests deeper than 64 or has too many members",
  },
  {
    name: "too many members",
    input: `{"frame":"request","id":7,"request":[${"0,".repeat(5000)}0]}`,
    id: 7n,
    reason: "nests deeper than 64 or has too many members",
  },
];

Deno.test("[ipc 5] decodeServerFrame() gives a reason, and the id where one can be read", async (t) => {
  for (const { name, input, id, reason } of MALFORMED) {
    await t.step(name, () => {
      const frame = serverFrame(input);
      assert(frame.kind === "malformed", `understood as ${frame.kind}`);
      assertEquals(frame.id, id);
      assertStringIncludes(frame.reason, reason);
    });
  }
});

Deno.test("a reason repeats no more than the start of a long value, in whole characters", () => {
  const long = "🜚".repeat(100_000);
  for (const request of [`{"op":"${long}"}`, `{"op":"release_ip","ip":"x${long}"}`]) {
    const frame = serverFrame(requestFrame(request));
    assert(frame.kind === "malformed");
    assertLess(frame.reason.length, 300);
    assert(frame.reason.isWellFormed());
  }
});

Deno.test("long strings are not too much structure", () => {
  const cidrs = Array.from({ length: 100_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`)
    .join();
  const frame = serverFrame(requestFrame(
    `{"op":"add_peer","public_key":"k","endpoint":"e","allowed_ips":"${cidrs}","persistent_keepalive_secs":0}`,
  ));
  assert(frame.kind === "request" && frame.request.op === "add_peer");
  assertEquals(frame.request.allowed_ips, cidrs);
});

Deno.test("[ipc 6] frames that are not for a server are told apart from broken ones", () => {
  for (const text of [...EVENTS, '{"frame":"response","id":7,"response":{"result":"ok"}}']) {
    assertEquals(serverFrame(text).kind, "foreign");
  }
});

Deno.test("a client ignores unknown fields, events and frames", () => {
  const status = clientFrame(
    '{"frame":"response","id":1,"new":1,"response":{"result":"status","peer_count":0,"service_count":0,"new":{},"slice_cidr":null}}',
  );
  assert(status.kind === "response");
  assertEquals(JSON.parse(stringifyExactJson(status.response)), {
    result: "status",
    peer_count: 0,
    service_count: 0,
  });
  assertEquals(status.raw, { result: "status", peer_count: 0, service_count: 0, new: {}, slice_cidr: null });
  assertEquals(clientFrame('{"frame":"event","event":"quota_changed"}').kind, "foreign");
  assertEquals(clientFrame('{"frame":"hello"}').kind, "foreign");
  assertEquals(clientFrame(requestFrame('{"op":"status"}')).kind, "foreign");
});

Deno.test("a client names what is wrong with a response", () => {
  const reasons = [
    ['{"frame":"response","id":1,"response":{"result":"ip"}}', "response: ip is missing"],
    ['{"frame":"response","id":1,"response":{"result":"maybe"}}', 'response: result "maybe" must be one of'],
    ['{"frame":"response","id":"1","response":{"result":"ok"}}', 'response id "1" is not a u64'],
    ["{", "not valid JSON"],
  ] as const;
  for (const [text, reason] of reasons) {
    const frame = clientFrame(text);
    assert(frame.kind === "malformed");
    assertStringIncludes(frame.reason, reason);
  }
});
