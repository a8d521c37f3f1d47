import { assert, assertEquals, assertGreater, assertLess, assertStringIncludes } from "@std/assert";
import { OverlayError } from "../../core/errors.ts";
import { encodeFrame, MAX_FRAME_BYTES } from "../../ipc/frame.ts";
import { FRESH_STATUS } from "../support/fake_service.ts";
import { EVENTS, requestFrame } from "../support/ipc_examples.ts";
import { IpcRig } from "../support/ipc_rig.ts";
import { assertAlive, FRESH, header, responseFrame, STATUS } from "../support/ipc_texts.ts";
import { unixTest } from "../support/unix_test.ts";
import { waitFor } from "../support/wait_for.ts";

Deno.test("[ipc 9] the status of a fresh daemon has nothing empty in it", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  await raw.send(requestFrame(STATUS, 1));
  assertEquals(await raw.receive(), responseFrame(1));
});

Deno.test("[ipc 2] ids of 64 bits come back digit for digit", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  for (const id of ["18446744073709551615", "9007199254740993", "0"]) {
    await raw.send(requestFrame(STATUS, id));
    assertEquals(await raw.receive(), responseFrame(id));
  }
});

Deno.test("[ipc 4] frames arrive one byte at a time, two at once, and cut in the middle", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  const frame = encodeFrame(requestFrame(STATUS, 1));
  for (const byte of frame) await raw.write(Uint8Array.of(byte));
  assertEquals(await raw.receive(), responseFrame(1));
  const second = encodeFrame(requestFrame(STATUS, 2));
  await raw.write(new Uint8Array([...frame, ...second, ...frame.subarray(0, 20)]));
  assertEquals(await raw.receive(), responseFrame(1));
  assertEquals(await raw.receive(), responseFrame(2));
  await raw.write(frame.subarray(20));
  assertEquals(await raw.receive(), responseFrame(1));
});

Deno.test("[ipc 4] a frame of length 0 is not understood, and the connection lives", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  await raw.write(header(0));
  await assertAlive(raw);
});

Deno.test("[ipc 4] a body of 8388608 bytes is accepted", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  const start = `{"frame":"request","id":5,"request":${STATUS},"padding":"`;
  const body = start + "x".repeat(MAX_FRAME_BYTES - start.length - 2) + '"}';
  assertEquals(body.length, MAX_FRAME_BYTES);
  await raw.send(body);
  assertEquals(await raw.receive(), responseFrame(5));
});

Deno.test("[ipc 4] [daemon 26] a length of 8388609 closes only that connection, with nothing allocated", async () => {
  await using rig = await IpcRig.start();
  using other = await rig.raw();
  using raw = await rig.raw();
  await raw.send(requestFrame(STATUS, 1));
  const before = Deno.memoryUsage().external;
  await raw.write(header(MAX_FRAME_BYTES + 1));
  assertEquals(await raw.receive(), responseFrame(1)); // what was asked before is answered
  assertEquals(await raw.receive(), undefined);
  assertLess(Deno.memoryUsage().external - before, 1024 * 1024);
  await assertAlive(other);
});

unixTest("a stream that ends inside a frame is closed, with a warning", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  await raw.write(encodeFrame(requestFrame(STATUS)).subarray(0, 30));
  await raw.conn.closeWrite!();
  assertEquals(await raw.receive(), undefined);
  assertStringIncludes(rig.log.text(), "connection ended inside a frame");
});

Deno.test("[ipc 5] [daemon 25] bad frames get an err with their id, and the connection lives", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  const bad = [
    { body: '{"frame":"request","id":1,"request":{"op":', message: "frame is not valid JSON" },
    { body: requestFrame('{"op":"reboot"}', 2), message: 'op "reboot" is not an operation of this daemon' },
    {
      body: requestFrame('{"op":"allocate_ip","service":"w"}', 3),
      message: "allocate_ip: join_global is missing",
    },
    {
      body: requestFrame('{"op":"release_ip","ip":5}', "18446744073709551615"),
      message: "release_ip: ip 5 must be an IPv4 or IPv6 address",
    },
  ];
  for (const { body, message } of bad) {
    await raw.send(body);
    const id = /"id":(\d+)/.exec(body)![1]!;
    const err = JSON.stringify({ result: "err", message, code: "invalid_argument" });
    assertEquals(await raw.receive(), responseFrame(id, err));
    await assertAlive(raw);
  }
});

Deno.test("[ipc 5] [daemon 25] a frame without a readable id gets no answer, and the connection lives", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  for (const body of ["hello", "null", '{"frame":"request","request":{"op":"status"}}']) {
    await raw.send(body);
    await assertAlive(raw);
  }
});

Deno.test("[ipc 6] [daemon 24] frames that are not requests are ignored, then status is answered", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  for (const body of [...EVENTS, responseFrame(1, '{"result":"ok"}')]) {
    await raw.send(body);
    await assertAlive(raw);
  }
  assertEquals(rig.log.lines.filter((line) => line.level === "warn").length, 1); // and one warning, not three
});

Deno.test("[ipc 7] 1,000 requests written without reading are answered in order", async () => {
  await using rig = await IpcRig.start();
  // Every seventh takes some turns of the event loop, so that answers could overtake.
  rig.service.natTick = () => new Promise((resolve) => setTimeout(resolve, 0));
  using raw = await rig.raw();
  const frames: number[] = [];
  for (let id = 1; id <= 1000; id++) {
    frames.push(...encodeFrame(requestFrame(id % 7 === 0 ? '{"op":"nat_tick"}' : STATUS, id)));
  }
  await raw.write(Uint8Array.from(frames));
  for (let id = 1; id <= 1000; id++) {
    assertEquals(await raw.receive(), responseFrame(id, id % 7 === 0 ? '{"result":"ok"}' : FRESH));
  }
});

Deno.test("responses that are ready do not wait for a slow request behind them", async () => {
  await using rig = await IpcRig.start();
  const slow = Promise.withResolvers<void>();
  rig.service.natTick = () => slow.promise;
  using raw = await rig.raw();
  await raw.write(
    Uint8Array.from(
      [1, 2, 3].flatMap((id) => [...encodeFrame(requestFrame(id === 2 ? '{"op":"nat_tick"}' : STATUS, id))]),
    ),
  );
  assertEquals(await raw.receive(), responseFrame(1));
  slow.resolve();
  assertEquals(await raw.receive(), responseFrame(2, '{"result":"ok"}'));
  assertEquals(await raw.receive(), responseFrame(3));
});

unixTest("a client that closes its sending half still gets its responses", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  await raw.send(requestFrame(STATUS, 1));
  await raw.send(requestFrame(STATUS, 2));
  await raw.conn.closeWrite!();
  assertEquals(await raw.receive(), responseFrame(1));
  assertEquals(await raw.receive(), responseFrame(2));
  assertEquals(await raw.receive(), undefined);
});

Deno.test("a client that does not read its responses is not read from, and others are served", async () => {
  await using rig = await IpcRig.start();
  rig.service.status = () => {
    rig.service.calls.push(["status"]);
    return Promise.resolve({ ...FRESH_STATUS, interface: "x".repeat(10_000) });
  };
  using greedy = await rig.raw();
  const batch = Uint8Array.from(
    Array.from({ length: 500 }, () => [...encodeFrame(requestFrame(STATUS))]).flat(),
  );
  let blocked = false;
  const writing = (async () => {
    for (let i = 0; i < 100; i++) await greedy.write(batch); // 50,000 requests, 500 MB of responses
  })().catch(() => {});
  const seen = { count: -1, times: 0 };
  await waitFor("the server to stop reading", () => {
    const count = rig.service.calls.length;
    seen.times = count > 0 && count === seen.count ? seen.times + 1 : 0;
    seen.count = count;
    return blocked = seen.times >= 50;
  });
  assert(blocked);
  assertLess(seen.count, 500); // 256 KiB here, some 200 KiB in the socket, one request over
  using other = await rig.raw();
  await other.send(requestFrame('{"op":"nat_tick"}', 4));
  assertEquals(await other.receive(), responseFrame(4, '{"result":"ok"}'));
  greedy.close();
  await writing;
});

Deno.test("[ipc 8] 10,000 events for a client that never reads cost bounded memory and delay nobody", async () => {
  await using rig = await IpcRig.start();
  using deaf = await rig.raw();
  using other = await rig.raw();
  await assertAlive(deaf);
  await assertAlive(other);
  const endpoint = `198.51.100.7:51420 ${"x".repeat(200)}`;
  for (let i = 0; i < 10_000; i++) {
    rig.service.emit({ event: "nat_endpoint_changed", pubkey: `peer ${i}`, endpoint });
    if (i % 1000 !== 0) continue;
    // Answered at all, while nobody reads what the deaf one is sent.
    await other.send(requestFrame(STATUS, i));
    for (let body = await other.receive(); body !== responseFrame(i); body = await other.receive()) {
      assertStringIncludes(body!, '"frame":"event"');
    }
  }

  // The deaf client asks at last. It gets what its socket held (some 200 KiB), the response, which no event
  // held up, and what was kept for it: a batch of 16 KiB and 256 events, the newest among them. All others
  // are gone, and so is their memory.
  await deaf.send(requestFrame(STATUS, 77));
  let events = 0;
  while (await deaf.receive() !== responseFrame(77)) events++;
  assertGreater(events, 100);
  do events++; while (!(await deaf.receive())!.includes('"peer 9999"'));
  assertLess(events, 2_500);
});

Deno.test("events reach every connection and stop when the server closes", async () => {
  await using rig = await IpcRig.start();
  using first = await rig.raw();
  using second = await rig.raw();
  await assertAlive(first);
  await assertAlive(second);
  rig.service.emit({ event: "peer_health_changed", pubkey: "k", healthy: false });
  for (const client of [first, second]) {
    assertEquals(
      await client.receive(),
      '{"frame":"event","event":"peer_health_changed","pubkey":"k","healthy":false}',
    );
  }
  assertEquals(rig.service.listenerCount, 1);
  await rig.server.close(100);
  assertEquals(rig.service.listenerCount, 0);
});

Deno.test("[daemon 23] 100 connections that say nothing do no harm", async () => {
  await using rig = await IpcRig.start();
  for (let i = 0; i < 100; i++) (await rig.raw()).close();
  using raw = await rig.raw();
  await assertAlive(raw);
  await waitFor("the empty connections to be gone", () => rig.server.connectionCount === 1);
  assertEquals(rig.log.lines.filter((line) => line.level === "warn"), []);
});

Deno.test("[daemon 40] a request held on one connection does not stop status on another", async () => {
  await using rig = await IpcRig.start();
  const held = Promise.withResolvers<void>();
  rig.service.natTick = () => held.promise;
  using first = await rig.raw();
  using second = await rig.raw();
  await first.send(requestFrame('{"op":"nat_tick"}', 1));
  await waitFor("both connections", () => rig.server.connectionCount === 2);
  for (let i = 0; i < 10; i++) await assertAlive(second);
  held.resolve();
  assertEquals(await first.receive(), responseFrame(1, '{"result":"ok"}'));
});

Deno.test("a request over its deadline gets an err, and its work goes on", async () => {
  await using rig = await IpcRig.start({ requestTimeoutMs: 20 });
  const work = Promise.withResolvers<void>();
  rig.service.natTick = () => work.promise;
  using raw = await rig.raw();
  await raw.send(requestFrame('{"op":"nat_tick"}', 1));
  assertEquals(await raw.receiveJson(), {
    frame: "response",
    id: 1,
    response: {
      result: "err",
      message: "nat_tick: no result within 20 ms; the work goes on in the background",
      code: "deadline_exceeded",
    },
  });
  await assertAlive(raw);
  work.reject(new OverlayError("internal", "late"));
  await waitFor("the late end to be logged", () => rig.log.text().includes("late request ended"));
  await assertAlive(raw);
});

Deno.test("a service that fails, throws or returns nonsense gives an err on the same id", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  const failures: (() => Promise<never>)[] = [
    () => Promise.reject(new OverlayError("not_found", "no such thing")),
    () => {
      throw new TypeError("a defect");
    },
    () => Promise.reject(undefined),
  ];
  for (const fail of failures) {
    rig.service.natTick = fail;
    await raw.send(requestFrame('{"op":"nat_tick"}', 3));
    assertStringIncludes((await raw.receive())!, '"id":3,"response":{"result":"err"');
  }
  rig.service.allocateIp = () => Promise.resolve(5n as unknown as string);
  await raw.send(requestFrame('{"op":"allocate_ip","service":"w","join_global":true}', 4));
  assertStringIncludes((await raw.receive())!, '"id":4,"response":{"result":"err","message":"internal error');
  rig.service.allocateIp = () => Promise.resolve("x".repeat(MAX_FRAME_BYTES));
  await raw.send(requestFrame('{"op":"allocate_ip","service":"w","join_global":true}', 5));
  assertStringIncludes((await raw.receive())!, '"id":5,"response":{"result":"err","message":"internal error');
  await assertAlive(raw);
});

Deno.test("[daemon 30] the reply to shutdown is out before the daemon is told to end", async () => {
  await using rig = await IpcRig.start({
    onShutdown: () => rig.service.calls.push(["onShutdown"]),
  });
  using raw = await rig.raw();
  await raw.send(requestFrame('{"op":"shutdown"}', 1));
  assertEquals(await raw.receive(), responseFrame(1, '{"result":"ok"}'));
  await waitFor("onShutdown", () => rig.service.calls.length === 2);
  assertEquals(rig.service.calls, [["shutdown"], ["onShutdown"]]);
  await raw.send(requestFrame('{"op":"shutdown"}', 2));
  assertEquals(await raw.receive(), responseFrame(2, '{"result":"ok"}'));
  assertEquals(rig.service.calls.filter(([name]) => name === "onShutdown").length, 1);
});

Deno.test("a shutdown that fails leaves the daemon running; one that is late ends it later", async () => {
  await using rig = await IpcRig.start({ requestTimeoutMs: 20 });
  using raw = await rig.raw();
  rig.service.shutdown = () => Promise.reject(new OverlayError("teardown_failed", "link is busy"));
  await raw.send(requestFrame('{"op":"shutdown"}', 1));
  assertStringIncludes((await raw.receive())!, "link is busy");
  let ended = false;
  rig.shutdown.promise.then(() => ended = true);
  await assertAlive(raw);
  assertEquals(ended, false);
  const late = Promise.withResolvers<void>();
  rig.service.shutdown = () => late.promise;
  await raw.send(requestFrame('{"op":"shutdown"}', 2));
  assertStringIncludes((await raw.receive())!, "deadline_exceeded");
  assertEquals(ended, false);
  late.resolve();
  await rig.shutdown.promise;
});
