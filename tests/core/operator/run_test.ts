import { assertEquals, assertStringIncludes } from "@std/assert";
import type { OperatorCommand } from "../../../core/cli/parse.ts";
import type { Body, OperatorContext } from "../../../core/operator/client.ts";
import { type ClientCommand, runClientCommand } from "../../../core/operator/run.ts";

/** Runs a command against a daemon that answers with `reply`, an error, or refuses the connection. */
async function run(
  command: OperatorCommand,
  answer: { reply?: Body; callError?: Error; connectError?: Error },
): Promise<{ code: number; out: string; err: string; requests: Body[]; closed: number }> {
  const seen = { code: -1, out: "", err: "", requests: [] as Body[], closed: 0 };
  const context: OperatorContext = {
    socket: "/tmp/zt-none/x.sock",
    connect: () =>
      answer.connectError ? Promise.reject(answer.connectError) : Promise.resolve({
        call: (request) => {
          seen.requests.push(request);
          return answer.callError ? Promise.reject(answer.callError) : Promise.resolve(answer.reply ?? {});
        },
        close: () => void seen.closed++,
      }),
    out: (text) => Promise.resolve(void (seen.out += text)),
    err: (text) => Promise.resolve(void (seen.err += text)),
    wallSeconds: () => 0,
    json: { parse: JSON.parse, stringify: JSON.stringify },
  };
  seen.code = await runClientCommand(command as ClientCommand, context);
  return seen;
}

Deno.test("runClientCommand() sends the request of each command and prints what matters", async (t) => {
  const cases: { command: OperatorCommand; reply: Body; request: Body; out: string }[] = [
    {
      command: { kind: "attach", pid: 7, service: "web", joinGlobal: true, dnsDomain: "d" },
      reply: { result: "attached", ip: "10.200.4.2" },
      request: {
        op: "attach_container",
        handle: { platform: "linux_pid", pid: 7 },
        service: "web",
        join_global: true,
        dns_domain: "d",
      },
      out: "10.200.4.2\n",
    },
    {
      command: { kind: "detach", pid: 7 },
      reply: { result: "ok" },
      request: { op: "detach_container", handle: { platform: "linux_pid", pid: 7 } },
      out: "ok\n",
    },
    {
      command: { kind: "service add", name: "db", mode: "dedicated" },
      reply: {
        result: "service_overlay",
        name: "zl-db0",
        mode: "dedicated",
        wg_port: 51421,
        overlay_ip: "10.200.4.17",
        subnet: "10.200.4.16/28",
      },
      request: { op: "setup_service_overlay", service: "db", mode: "dedicated" },
      out: "zl-db0 dedicated 10.200.4.17 10.200.4.16/28 51421\n",
    },
    {
      command: { kind: "service add", name: "web", mode: "auto" },
      reply: { result: "bridge_name", name: "zl-web-b" },
      request: { op: "setup_service_overlay", service: "web", mode: "auto" },
      out: "zl-web-b\n",
    },
    {
      command: { kind: "service rm", name: "web" },
      reply: { result: "ok" },
      request: { op: "teardown_service_overlay", service: "web" },
      out: "ok\n",
    },
    {
      command: { kind: "call", request: '{"op":"future","x":[1]}' },
      reply: { result: "new", y: 1 },
      request: { op: "future", x: [1] },
      out: '{"result":"new","y":1}\n',
    },
  ];
  for (const { command, reply, request, out } of cases) {
    await t.step(command.kind, async () => {
      const got = await run(command, { reply });
      assertEquals([got.code, got.out, got.err, got.closed], [0, out, "", 1]);
      assertEquals(got.requests, [request]);
    });
  }
});

Deno.test("runClientCommand() asks for a detailed status and prints text or JSON", async () => {
  const reply = { result: "status", peer_count: 0, service_count: 0 };
  const text = await run({ kind: "status", json: false }, { reply });
  assertEquals(text.requests, [{ op: "status", detail: true }]);
  assertStringIncludes(text.out, "Global overlay: not set up");
  const json = await run({ kind: "status", json: true }, { reply });
  assertEquals(JSON.parse(json.out).schema, 1);
});

Deno.test("runClientCommand() exits 1 on err: message on stderr, response of call on stdout", async () => {
  const reply = { result: "err", message: "no\u001b[0m such service" };
  const rm = await run({ kind: "service rm", name: "x" }, { reply });
  assertEquals([rm.code, rm.out, rm.err], [1, "", "error: no\\u{1b}[0m such service\n"]);
  const call = await run({ kind: "call", request: '{"op":"x"}' }, { reply });
  assertEquals([call.code, JSON.parse(call.out), call.err], [1, reply, ""]);
});

Deno.test("runClientCommand() exits 2 on a request that is none, and connects to nobody", async () => {
  for (const request of ["{", "[]", "null", "7", "{}", '{"op":1}']) {
    const got = await run({ kind: "call", request }, {});
    assertEquals([got.code, got.closed, got.out], [2, 0, ""], request);
    assertStringIncludes(got.err, "REQUEST");
  }
});

Deno.test("runClientCommand() tells a daemon that is not there from one that hangs up", async () => {
  const gone = await run({ kind: "status", json: false }, { connectError: new Deno.errors.NotFound("x") });
  assertEquals(gone.code, 3);
  const torn = await run({ kind: "status", json: false }, { callError: new Error("connection closed") });
  assertEquals([torn.code, torn.closed], [1, 1]);
  assertStringIncludes(torn.err, "no answer from /tmp/zt-none/x.sock: connection closed");
});
