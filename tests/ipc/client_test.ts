import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { OverlayError, PoolExhaustedError } from "../../core/errors.ts";
import type { OverlayEvent } from "../../core/service.ts";
import { OverlaydClient } from "../../ipc/client.ts";
import { dialEndpoint, listenEndpoint } from "../../ipc/listener.ts";
import { parseExactJson } from "../../ipc/json.ts";
import { EndpointPlace } from "../support/endpoint_place.ts";
import { IpcRig, RawClient } from "../support/ipc_rig.ts";
import { waitFor } from "../support/wait_for.ts";

/** A daemon played by the test: one connection, whose other end the test holds. */
class ScriptedDaemon implements AsyncDisposable {
  readonly #place = new EndpointPlace();
  readonly path: string = this.#place.path();
  readonly #listening = listenEndpoint(this.path);

  /** A client connected to it, and the daemon's end. */
  async connect(options: { callTimeoutMs?: number } = {}): Promise<[OverlaydClient, RawClient]> {
    const listener = await this.#listening;
    const [client, conn] = await Promise.all([
      OverlaydClient.connect(this.path, options),
      listener.accept(),
    ]);
    return [client, new RawClient(conn)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    (await this.#listening).close();
    await this.#place[Symbol.asyncDispose]();
  }
}

function response(id: number, body: string): string {
  return `{"frame":"response","id":${id},"response":${body}}`;
}

Deno.test("OverlaydClient has a method for every operation, and the service gets what it was given", async () => {
  await using rig = await IpcRig.start();
  await using client = await rig.client();
  const peer = { publicKey: "k", endpoint: "e", allowedIps: "a", persistentKeepaliveSecs: 25 };
  const setup = { deployment: "d", instanceId: "i", clusterCidr: "c", wgPort: 1, natEnabled: false };
  const handle = { platform: "guest_managed", id: "vm1" } as const;
  const scope = { scope: "service", service: "web" } as const;
  await client.setLocalNodeId(18446744073709551615n);
  await client.setLocalWgPubkey("k");
  assertEquals(await client.setupGlobalOverlay(setup), "zl-overlay0");
  await client.teardownGlobalOverlay();
  assertEquals(await client.setupServiceOverlay("web", "auto"), { name: "zl-web", mode: "shared" });
  await client.teardownServiceOverlay("web");
  assertEquals(await client.allocateIp("web", true), "10.200.0.5");
  await client.releaseIp("10.200.0.5");
  const attach = { handle, service: "web", joinGlobal: true, dnsDomain: "zlayer.local" };
  assertEquals(await client.attachContainer(attach), { kind: "attached", ip: "10.200.0.6" });
  await client.detachContainer(handle);
  await client.addPeer(peer);
  await client.removePeer("k", scope);
  await client.addAllowedIp("k", "c");
  await client.removeAllowedIp("k", "c", scope);
  await client.registerDns("n", "::1");
  await client.unregisterDns("n");
  assertEquals((await client.status()).peerCount, 0);
  await client.natTick();
  await client.shutdown();
  assertEquals(rig.service.calls, [
    ["setLocalNodeId", 18446744073709551615n],
    ["setLocalWgPubkey", "k"],
    ["setupGlobalOverlay", setup],
    ["teardownGlobalOverlay"],
    ["setupServiceOverlay", "web", "auto"],
    ["teardownServiceOverlay", "web"],
    ["allocateIp", "web", true],
    ["releaseIp", "10.200.0.5"],
    ["attachContainer", attach],
    ["detachContainer", handle],
    ["addPeer", peer, { scope: "global" }],
    ["removePeer", "k", scope],
    ["addAllowedIp", "k", "c", { scope: "global" }],
    ["removeAllowedIp", "k", "c", scope],
    ["registerDns", "n", "::1"],
    ["unregisterDns", "n"],
    ["natTick"],
    ["shutdown"],
  ]);
});

Deno.test("ids start at 1 and rise by 1, and responses are matched by id", async () => {
  await using daemon = new ScriptedDaemon();
  const [client, raw] = await daemon.connect();
  const calls = [client.allocateIp("a", true), client.allocateIp("b", true), client.allocateIp("c", true)];
  for (const id of [1, 2, 3]) assertEquals((await raw.receiveJson() as { id: number }).id, id);
  await raw.send(response(3, '{"result":"ip","ip":"three"}'));
  await raw.send(response(99, '{"result":"ip","ip":"nobody asked"}'));
  await raw.send(response(1, '{"result":"ip","ip":"one"}'));
  await raw.send(response(2, '{"result":"ip","ip":"two"}'));
  assertEquals(await Promise.all(calls), ["one", "two", "three"]);
  client.close();
  raw.close();
});

Deno.test("an err rejects with the daemon's text and code; a code unknown or absent reads internal", async () => {
  await using rig = await IpcRig.start();
  await using client = await rig.client();
  rig.service.allocateIp = () => Promise.reject(new PoolExhaustedError("pool 10.0.0.0/30 exhausted"));
  const error = await assertRejects(
    () => client.allocateIp("w", true),
    OverlayError,
    "pool 10.0.0.0/30 exhausted",
  );
  assertEquals(error.code, "exhausted");

  await using daemon = new ScriptedDaemon();
  const [other, raw] = await daemon.connect();
  for (
    const [i, body] of ['{"result":"err","message":"m"}', '{"result":"err","message":"m","code":"new"}']
      .entries()
  ) {
    const call = other.natTick();
    await raw.send(response(i + 1, body));
    assertEquals((await assertRejects(() => call, OverlayError, "m")).code, "internal");
  }
  other.close();
  raw.close();
});

Deno.test("responses of the older daemon are understood", async () => {
  await using daemon = new ScriptedDaemon();
  const [client, raw] = await daemon.connect();
  const setup = client.setupServiceOverlay("web", "auto");
  await raw.send(response(1, '{"result":"bridge_name","name":"zl-web","future":1}'));
  assertEquals(await setup, { name: "zl-web", mode: "shared" });
  const status = client.status();
  await raw.send(
    response(
      2,
      '{"result":"status","peer_count":1,"service_count":0,"peers":[{"public_key":"k","endpoint":"e","allowed_ips":"a","last_handshake_unix_secs":0}]}',
    ),
  );
  assertEquals((await status).peers, [{
    publicKey: "k",
    endpoint: "e",
    allowedIps: "a",
    lastHandshakeUnixSecs: 0,
    rxBytes: 0,
    txBytes: 0,
    scope: { scope: "global" },
  }]);
  client.close();
  raw.close();
});

Deno.test("a response that is wrong rejects its call and no other", async () => {
  await using daemon = new ScriptedDaemon();
  const [client, raw] = await daemon.connect();
  const wrongKind = client.allocateIp("w", true);
  const malformed = client.allocateIp("w", true);
  const good = client.natTick();
  await raw.send(response(1, '{"result":"ok"}'));
  await raw.send(response(2, '{"result":"ip","ip":5}'));
  await raw.send(response(3, '{"result":"ok"}'));
  await assertRejects(() => wrongKind, OverlayError, 'allocate_ip: the daemon answered "ok"');
  await assertRejects(() => malformed, OverlayError, "sent a bad frame: response: ip 5");
  await good;
  client.close();
  raw.close();
});

Deno.test("a lost connection rejects all open calls and every later one", async () => {
  await using daemon = new ScriptedDaemon();
  const breaks: { name: string; how: (raw: RawClient, client: OverlaydClient) => unknown; text: string }[] = [
    { name: "closed by the daemon", how: (raw) => raw.close(), text: "was closed by the daemon" },
    { name: "closed by us", how: (_, client) => client.close(), text: "was closed" },
    { name: "garbage", how: (raw) => raw.send("{"), text: "was lost: " },
    {
      name: "frame too long",
      how: (raw) => raw.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff)),
      text: "was lost",
    },
  ];
  for (const { name, how, text } of breaks) {
    const [client, raw] = await daemon.connect();
    const calls = [client.natTick(), client.status()];
    await waitFor("requests", async () => await raw.receive() !== undefined);
    const settled = Promise.allSettled(calls);
    await how(raw, client);
    for (const result of await settled) {
      assert(result.status === "rejected", name);
      assertStringIncludes(String(result.reason), text);
      assertStringIncludes(String(result.reason), daemon.path);
      assertEquals(result.reason.code, "unavailable");
    }
    await client.ended;
    await assertRejects(() => client.natTick(), OverlayError, text);
    client.close();
    raw.close();
  }
});

Deno.test("a call can have a time limit and a signal; the connection goes on", async () => {
  await using daemon = new ScriptedDaemon();
  const [client, raw] = await daemon.connect({ callTimeoutMs: 10 });
  const error = await assertRejects(() => client.natTick(), OverlayError, "nat_tick: no answer from");
  assertEquals(error.code, "deadline_exceeded");
  const controller = new AbortController();
  const call = client.call({ op: "nat_tick" }, { timeoutMs: 60_000, signal: controller.signal });
  controller.abort(new OverlayError("unavailable", "enough"));
  await assertRejects(() => call, OverlayError, "enough");
  await assertRejects(
    () => client.call({ op: "status" }, { signal: controller.signal }),
    OverlayError,
    "enough",
  );
  const last = client.call({ op: "nat_tick" }, { timeoutMs: 60_000 });
  for (const id of [1, 2, 3]) await raw.send(response(id, '{"result":"ok"}'));
  assertEquals(await last, { result: "ok" });
  client.close();
  raw.close();
});

Deno.test("callRaw() sends what it is given and returns what came, err or not", async () => {
  await using rig = await IpcRig.start();
  await using client = await rig.client();
  const request = parseExactJson('{"op":"set_local_node_id","node_id":9007199254740993}');
  assertEquals(await client.callRaw(request as Record<string, unknown>), { result: "ok" });
  assertEquals(rig.service.calls, [["setLocalNodeId", 9007199254740993n]]);
  assertEquals(await client.callRaw({ op: "reboot" }), {
    result: "err",
    message: 'op "reboot" is not an operation of this daemon',
    code: "invalid_argument",
  });
});

Deno.test("events reach the listeners, also between requests", async () => {
  await using rig = await IpcRig.start();
  await using client = await rig.client();
  await client.status();
  const seen: OverlayEvent[] = [];
  const unsubscribe = client.subscribe((event) => seen.push(event));
  const event = { event: "peer_health_changed", pubkey: "k", healthy: true } as const;
  rig.service.emit(event);
  await waitFor("the event", () => seen.length === 1);
  assertEquals(seen, [event]);
  unsubscribe();
  rig.service.emit(event);
  await client.status();
  assertEquals(seen.length, 1);
});

Deno.test("10,000 pipelined calls are all answered", async () => {
  await using rig = await IpcRig.start();
  await using client = await rig.client();
  const calls = Array.from({ length: 10_000 }, () => client.status());
  assertEquals(new Set((await Promise.all(calls)).map((status) => status.overlayCidr)).size, 1);
});

/** Tries of a client whose daemon is not there, and the pauses between them. */
async function deadPath(attempts: number): Promise<{ tries: number; pausesMs: number[] }> {
  let tries = 0;
  const pausesMs: number[] = [];
  const dial = (): Promise<never> => {
    tries++;
    return Promise.reject(new OverlayError("unavailable", "nobody there"));
  };
  const pause = (milliseconds: number): Promise<void> => {
    pausesMs.push(milliseconds);
    return Promise.resolve();
  };
  await assertRejects(
    () => OverlaydClient.connect("/nowhere", { attempts, dial, pause }),
    OverlayError,
    "nobody there",
  );
  return { tries, pausesMs };
}

Deno.test("[daemon 58] one try on a dead path does not wait", async () => {
  await using place = new EndpointPlace();
  const pause = (): Promise<never> => Promise.reject(new Error("it paused"));
  const error = await assertRejects(
    () => OverlaydClient.connect(place.path(), { attempts: 1, pause }),
    OverlayError,
  );
  assertEquals(error.code, "unavailable");
});

Deno.test("[daemon 58] tries on a dead path are 100, 200, 400, 800 and then 1000 ms apart", async () => {
  // 4 tries: 700 ms of pauses, of the 600 to 1500 that they may take.
  assertEquals(await deadPath(4), { tries: 4, pausesMs: [100, 200, 400] });
  assertEquals(await deadPath(7), { tries: 7, pausesMs: [100, 200, 400, 800, 1000, 1000] });
});

Deno.test("[daemon 58] 0 tries, and fewer, count as 1", async () => {
  for (const attempts of [0, -1, NaN]) {
    assertEquals(await deadPath(attempts), { tries: 1, pausesMs: [] });
  }
});

Deno.test("[daemon 58] the pauses are real ones: three take as long as they say", async () => {
  // The lower bound alone: nothing keeps a busy machine from taking longer.
  const started = performance.now();
  const dial = (): Promise<never> => Promise.reject(new OverlayError("unavailable", "nobody there"));
  await assertRejects(() => OverlaydClient.connect("/nowhere", { attempts: 4, dial }), OverlayError);
  assertGreater(performance.now() - started, 600);
});

Deno.test("connect() succeeds once the daemon is there, and gives up when told to", async () => {
  await using rig = await IpcRig.start();
  const failures = [1, 2];
  await using client = await OverlaydClient.connect(rig.path, {
    attempts: 20,
    dial: (path) => failures.pop() ? Promise.reject(new Error("not yet")) : dialEndpoint(path),
  });
  await client.status();
  const nowhere = rig.place.path("nowhere");
  const controller = new AbortController();
  const connecting = OverlaydClient.connect(nowhere, { attempts: 20, signal: controller.signal });
  setTimeout(() => controller.abort(new OverlayError("unavailable", "enough")), 20);
  await assertRejects(() => connecting, OverlayError, "enough");
});
