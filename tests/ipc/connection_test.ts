import { assert, assertEquals, assertLess } from "@std/assert";
import { ByteBudget } from "../../ipc/byte_budget.ts";
import { ServerConnection } from "../../ipc/connection.ts";
import { encodeFrame } from "../../ipc/frame.ts";
import { SILENT_LOG } from "../../ipc/log.ts";
import type { IpcStream } from "../../ipc/stream.ts";
import { FakeService, FRESH_STATUS } from "../support/fake_service.ts";
import { requestFrame } from "../support/ipc_examples.ts";

const FRAME = encodeFrame(requestFrame('{"op":"status"}'));

/** A client that always has more to say and takes all it is told, at once, for so many reads. */
class Flood implements IpcStream {
  readonly #reads: number;
  reads = 0;
  writes = 0;
  written = 0;
  closed = false;
  #at = 0;

  constructor(reads: number) {
    this.#reads = reads;
  }

  read(into: Uint8Array): Promise<number | null> {
    if (this.reads++ === this.#reads) return Promise.resolve(null);
    for (let i = 0; i < into.length; i++) into[i] = FRAME[this.#at++ % FRAME.length]!;
    return Promise.resolve(into.length);
  }

  write(bytes: Uint8Array): Promise<number> {
    this.writes++;
    this.written += bytes.length;
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.closed = true;
  }
}

/** A client that says one thing and takes what it is told when the test lets it. */
class Deliberate implements IpcStream {
  readonly taken = Promise.withResolvers<void>();
  readonly asked = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<null>();
  readonly #says: Uint8Array;
  #said = false;
  closed = false;

  constructor(says: Uint8Array) {
    this.#says = says;
  }

  read(into: Uint8Array): Promise<number | null> {
    if (this.#said) return this.#end.promise;
    this.#said = true;
    into.set(this.#says);
    return Promise.resolve(this.#says.length);
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.asked.resolve();
    await this.taken.promise;
    return bytes.length;
  }

  close(): void {
    this.closed = true;
    this.#end.resolve(null);
  }
}

function serve(
  stream: IpcStream,
  onShutdown = (): void => {},
  service = new FakeService(),
): ServerConnection {
  return new ServerConnection(stream, {
    service,
    log: SILENT_LOG,
    onShutdown,
    requestTimeoutMs: 1000,
    frameTimeoutMs: 1000,
    maxQueuedEvents: 4,
    receiveBudget: new ByteBudget(0),
  });
}

Deno.test("a client that always has more to say leaves the others their turn", async () => {
  const stream = new Flood(50);
  const run = serve(stream).run();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertLess(stream.reads, 20);
  await run;
  assert(stream.closed);
  assert(stream.written > 0);
});

Deno.test("requests that come together are answered in few writes, though each is done at once", async () => {
  const stream = new Flood(5);
  await serve(stream).run();
  // One for what a read brought, and one for the request that its end cuts.
  assertLess(stream.writes, 2 * 5 + 1);
});

Deno.test("answers that nobody takes leave requests unanswered that are received already", async () => {
  const stream = new Flood(Infinity);
  const [asked, taken] = [Promise.withResolvers<void>(), Promise.withResolvers<number>()];
  stream.write = () => {
    asked.resolve();
    return taken.promise;
  };
  const service = new FakeService();
  let answers = 0;
  service.status = () => {
    answers++;
    return Promise.resolve({ ...FRESH_STATUS, interface: "x".repeat(100_000) });
  };
  const connection = serve(stream, () => {}, service);
  const run = connection.run();
  await asked.promise;
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(answers, 3); // 256 KiB is the limit
  connection.close();
  taken.reject(new Deno.errors.BrokenPipe("gone"));
  await run;
});

Deno.test("stop() ends a connection between two requests", async () => {
  const stream = new Flood(Infinity);
  const connection = serve(stream);
  const run = connection.run();
  await connection.stop();
  await run;
  assertEquals(stream.closed, true);
});

Deno.test("the daemon is told to end only when the reply to shutdown has been taken", async () => {
  const stream = new Deliberate(encodeFrame(requestFrame('{"op":"shutdown"}')));
  let told = false;
  const connection = serve(stream, () => told = true);
  const run = connection.run();
  await stream.asked.promise;
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(told, false);
  stream.taken.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(told, true);
  connection.close();
  await run;
});

Deno.test("what was asked before a frame that is too long is answered before the connection closes", async () => {
  const stream = new Deliberate(new Uint8Array([...FRAME, 0xff, 0xff, 0xff, 0xff]));
  const run = serve(stream).run();
  await stream.asked.promise;
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(stream.closed, false);
  stream.taken.resolve();
  await run;
  assertEquals(stream.closed, true);
});
