/** The daemon's endpoint on a real pipe: many clients, clients that vanish, clients that mean ill. */

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { AlreadyExistsError, OverlayError } from "../../core/errors.ts";
import { OverlaydClient } from "../../ipc/client.ts";
import { encodeFrame } from "../../ipc/frame.ts";
import { dialEndpoint, listenEndpoint } from "../../ipc/listener.ts";
import { EndpointPlace } from "../support/endpoint_place.ts";
import { attack, dribble, watch } from "../support/hostile_clients.ts";
import { requestFrame } from "../support/ipc_examples.ts";
import { IpcRig, RawClient } from "../support/ipc_rig.ts";
import { assertAlive, responseFrame, STATUS } from "../support/ipc_texts.ts";
import { withSeed } from "../support/seeded_random.ts";
import { waitFor } from "../support/wait_for.ts";

Deno.test("[windows T92] 6 clients at once with 3 requests each; one that leaves at once stops nothing", async () => {
  await using rig = await IpcRig.start();
  const clients = await Promise.all(Array.from({ length: 6 }, () => rig.raw()));
  (await rig.raw()).close();
  await Promise.all(clients.map(async (raw) => {
    for (let i = 0; i < 3; i++) await assertAlive(raw);
  }));
  using another = await rig.raw();
  await assertAlive(another);
  for (const raw of clients) raw.close();
});

Deno.test("[windows T92] 100 clients are connected at once and all are served, again and again", async () => {
  await using rig = await IpcRig.start();
  const clients = await Promise.all(Array.from({ length: 100 }, () => rig.raw()));
  for (let round = 0; round < 5; round++) {
    await Promise.all(clients.map((raw) => assertAlive(raw)));
  }
  assertEquals(rig.server.connectionCount, 100);
  for (const raw of clients) raw.close();
  await waitFor("them to be gone", () => rig.server.connectionCount === 0);
});

Deno.test("[windows T92] 1,000 clients that connect and vanish at once do not stop the server", async () => {
  await using rig = await IpcRig.start();
  using witness = await rig.raw();
  const vanishing = Array.from({ length: 1000 }, async (_, i) => {
    const raw = await rig.raw();
    if (i % 3 === 0) {
      await raw.write(encodeFrame(requestFrame(STATUS, 1)).subarray(0, i % 60)).catch(() => {});
    }
    raw.close();
  });
  await Promise.all([...vanishing, assertAlive(witness)]);
  await waitFor("them to be gone", () => rig.server.connectionCount === 1);
  await assertAlive(witness);
  await Promise.all(Array.from({ length: 20 }, async () => {
    using raw = await rig.raw();
    await assertAlive(raw);
  }));
});

Deno.test("a client that connects and vanishes in a tight loop leaves room for others", async () => {
  await using rig = await IpcRig.start();
  let [over, vanished] = [false, 0];
  const loop = (async () => {
    for (; !over; vanished++) (await dialEndpoint(rig.path)).close();
  })();
  for (let i = 0; i < 20; i++) {
    using raw = await rig.raw();
    await assertAlive(raw);
    await waitFor("the loop to go round", () => vanished >= 10 * i);
  }
  over = true;
  await loop;
  assertGreater(vanished, 100);
});

Deno.test("[windows T93] a second server on the name is refused, the first still answers", async () => {
  await using rig = await IpcRig.start();
  await assertRejects(() => listenEndpoint(rig.path), AlreadyExistsError, "another daemon answers there");
  const busy = await Promise.all(Array.from({ length: 40 }, () => rig.raw()));
  await assertRejects(() => listenEndpoint(rig.path), AlreadyExistsError, "another daemon answers there");
  for (const raw of busy) raw.close();
  using raw = await rig.raw();
  await assertAlive(raw);
});

Deno.test("a name is free again when its listener is closed, at once", async () => {
  await using place = new EndpointPlace();
  for (let i = 0; i < 5; i++) {
    const listener = await listenEndpoint(place.path());
    using client = new RawClient(await dialEndpoint(place.path()));
    const server = await listener.accept();
    listener.close();
    server.close();
    client.close();
    await assertRejects(() => dialEndpoint(place.path()), OverlayError, "no daemon listens there");
  }
  const error = await assertRejects(() => OverlaydClient.connect(place.path()), OverlayError);
  assertEquals(error.code, "unavailable");
});

Deno.test("[windows T94] a slow call on one connection does not delay status on another", async () => {
  await using rig = await IpcRig.start();
  const slow = Promise.withResolvers<void>();
  rig.service.attachContainer = () => slow.promise.then(() => ({ kind: "attached", ip: "10.200.0.6" }));
  using first = await rig.raw();
  using second = await rig.raw();
  const handle = '{"platform":"windows_container","container_id":"c1"}';
  const attach = `{"op":"attach_container","handle":${handle},"service":"w","join_global":false}`;
  await first.send(requestFrame(attach, 1));
  await waitFor("both connections", () => rig.server.connectionCount === 2);
  for (let i = 0; i < 10; i++) await assertAlive(second);
  slow.resolve();
  assertEquals(await first.receive(), responseFrame(1, '{"result":"attached","ip":"10.200.0.6"}'));
});

Deno.test("2,000 hostile frames, slow clients and silent ones: status is answered throughout", () =>
  withSeed(async (random) => {
    await using rig = await IpcRig.start();
    rig.service.recording = false;
    const idle = await Promise.all(Array.from({ length: 100 }, () => rig.raw()));
    const client = await rig.client();
    const over = new AbortController();
    const watching = watch(client, over.signal);
    const dribbling = Array.from({ length: 10 }, () => dribble(rig.path, over.signal));
    await Promise.all(Array.from({ length: 4 }, () => attack(rig.path, 500, { random })))
      .finally(() => over.abort());
    await Promise.all(dribbling);
    assertGreater((await watching).answers, 10);
    for (const raw of idle) {
      await assertAlive(raw);
      raw.close();
    }
    client.close();
    await waitFor("all to be gone", () => rig.server.connectionCount === 0);
    assert(rig.log.lines.length > 0);
  }));
