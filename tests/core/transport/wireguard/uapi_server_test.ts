import { assert, assertEquals } from "@std/assert";
import { type UapiConnection, UapiServer } from "../../../../core/transport/wireguard/uapi_server.ts";
import { SILENT_LOG } from "../../../../core/log.ts";
import { ErrnoError } from "../../../../ffi/errors.ts";
import { Win32Error } from "../../../../ffi/windows/win32_error.ts";
import { RecordingLog } from "../../../support/engine_rig.ts";
import { waitFor } from "../../../support/wait_for.ts";

/** A client that says these pieces and then waits, or leaves. */
class Client implements UapiConnection {
  readonly answers: string[] = [];
  isClosed = false;
  readonly #end = Promise.withResolvers<null>();

  constructor(readonly pieces: (string | null)[]) {}

  read(into: Uint8Array): Promise<number | null> {
    const piece = this.pieces.shift();
    if (piece === undefined) return this.#end.promise;
    if (piece === null) return Promise.resolve(null);
    return Promise.resolve(new TextEncoder().encodeInto(piece, into).written);
  }

  /** Takes three bytes at once. */
  write(bytes: Uint8Array): Promise<number> {
    const part = bytes.subarray(0, 3);
    this.answers.push(new TextDecoder().decode(part));
    return Promise.resolve(part.length);
  }

  close(): void {
    this.isClosed = true;
    this.#end.resolve(null);
  }

  get text(): string {
    return this.answers.join("");
  }
}

/** Clients, or reasons why there is none now. */
class Door {
  readonly #coming: (Client | Error)[];
  readonly #end = Promise.withResolvers<never>();
  isClosed = false;

  constructor(...coming: (Client | Error)[]) {
    this.#coming = coming;
    this.#end.promise.catch(() => {});
  }

  accept(): Promise<Client> {
    const next = this.#coming.shift();
    if (next === undefined) return this.#end.promise;
    return next instanceof Client ? Promise.resolve(next) : Promise.reject(next);
  }

  close(): void {
    this.isClosed = true;
    this.#end.reject(new Deno.errors.BadResource("closed"));
  }
}

const DEVICE = { read: () => Promise.resolve({ listenPort: 7 }), write: () => Promise.resolve() };

Deno.test("UapiServer: requests in pieces, several at once, and one that the end completes are answered", async () => {
  const client = new Client(["ge", "t=1\n", "\nset=1\n\nnon", "sense\n\n", "get=1\n", null]);
  using _server = new UapiServer(new Door(client), DEVICE, { place: "x", log: SILENT_LOG });
  await waitFor("the end", () => client.isClosed);
  const get = "listen_port=7\nerrno=0\n\n";
  assertEquals(client.text, `${get}errno=0\n\nerrno=71\n\n${get}`);
});

Deno.test("UapiServer: what a device refuses has the number that wg knows", async () => {
  const errors: [Error, number][] = [
    [new ErrnoError("bind", "bind", 98, "EADDRINUSE"), 98],
    [new Win32Error("bind", "bind", 10048), 98],
    [new Win32Error("bind", "bind", 10013), 98],
    [new RangeError("a key has 32 bytes"), 22],
    [new TypeError("closed"), 5],
  ];
  for (const [error, errno] of errors) {
    const client = new Client(["set=1\nlisten_port=7\n\n", null]);
    const device = { ...DEVICE, write: () => Promise.reject(error) };
    using _server = new UapiServer(new Door(client), device, { place: "x", log: SILENT_LOG });
    await waitFor("the end", () => client.isClosed);
    assertEquals(client.text, `errno=${errno}\n\n`, error.message);
  }
});

Deno.test("UapiServer: no room for a client is no reason to stop; disposal ends all", async () => {
  const client = new Client([]);
  const late = new Client(["get=1\n\n", null]);
  const log = new RecordingLog();
  const door = new Door(client, new Win32Error("create", "CreateNamedPipe", 1450), late);
  const server = new UapiServer(door, DEVICE, { place: "\\\\.\\pipe\\x", log });
  await waitFor("the late one", () => late.isClosed);
  assert(late.text.endsWith("errno=0\n\n"));
  assertEquals(log.records.map(({ level, fields }) => [level, fields?.path]), [["warn", "\\\\.\\pipe\\x"]]);
  for (let i = 0; i < 2; i++) server[Symbol.dispose]();
  assertEquals([client.isClosed, door.isClosed], [true, true]);
});

Deno.test("UapiServer: disposal does not wait for the next try", () => {
  const door = new Door(new Win32Error("create", "CreateNamedPipe", 1450));
  new UapiServer(door, DEVICE, { place: "x", log: SILENT_LOG })[Symbol.dispose]();
  assertEquals(door.isClosed, true);
});
