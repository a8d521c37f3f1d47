import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { NetlinkError, NetlinkProtocolError } from "../../ffi/errors.ts";
import {
  NetlinkConnection,
  type NetlinkListener,
  type NetlinkRequest,
  NetlinkSubscription,
} from "../../ffi/netlink.ts";
import * as nl from "../../ffi/netlink/constants.ts";
import { encodeMessages, type NetlinkMessage } from "../../ffi/netlink/message.ts";
import {
  acknowledge,
  dumpDone,
  dumpPart,
  FakeNetlinkSocket,
  type Responder,
} from "../support/fake_kernel.ts";
import { golden } from "../support/golden.ts";

function request(what: string, flags = 0): NetlinkRequest {
  return { what, type: nl.RTM_NEWLINK, flags, payload: Uint8Array.of(1, 2, 3, 4) };
}

function connect(respond: Responder): { socket: FakeNetlinkSocket; connection: NetlinkConnection } {
  const socket = new FakeNetlinkSocket(respond);
  return { socket, connection: new NetlinkConnection(socket) };
}

/** Answers as the kernel does: failures by position unasked, successes only to who asks. */
function kernel(errnos: Readonly<Record<number, number>> = {}): Responder {
  return (messages) =>
    messages.flatMap((message, i) =>
      errnos[i] !== undefined || (message.flags & nl.NLM_F_ACK) !== 0 ? [acknowledge(message, errnos[i])] : []
    );
}

Deno.test("execute() sends all requests in one datagram, the last to be acknowledged", () => {
  const { socket, connection } = connect(kernel());
  connection.execute([request("a", nl.NLM_F_CREATE), request("b")]);
  assertEquals(socket.sent.length, 1);
  assertEquals(socket.sent[0]!.map((message) => message.flags), [
    nl.NLM_F_REQUEST | nl.NLM_F_CREATE,
    nl.NLM_F_REQUEST | nl.NLM_F_ACK,
  ]);
  const sequences = socket.sent[0]!.map((message) => message.sequence);
  assert(sequences[0] !== sequences[1] && !sequences.includes(0), "0 marks notifications");
});

Deno.test("execute() names the request that failed, with errno, text and offset of the kernel", () => {
  const { connection } = connect((messages) =>
    messages.map((message, i) =>
      i === 1 ? acknowledge(message, 22, { message: "Invalid thing", offset: 32 }) : acknowledge(message)
    )
  );
  const error = assertThrows(
    () => connection.execute([request("create link a"), request("create link b"), request("create link c")]),
    NetlinkError,
    "create link b: EINVAL (invalid argument): Invalid thing, attribute at byte 32",
  );
  assertEquals([error.request, error.errno], ["create link b", 22]);
  assertEquals(error.extendedAck, { message: "Invalid thing", offset: 32 });
});

Deno.test("tryExecute() tells each outcome, be it the first's, the last's or both", () => {
  for (const errnos of [{}, { 0: 17 }, { 1: 22 }, { 2: 19 }, { 0: 17, 2: 19 }] as Record<number, number>[]) {
    const { connection } = connect(kernel(errnos));
    const outcomes = connection.tryExecute([request("a"), request("b"), request("c")]);
    assertEquals(outcomes.map((error) => error?.errno), [errnos[0], errnos[1], errnos[2]]);
  }
});

Deno.test("exchange() tells which message answers which request", () => {
  const answer = (to: NetlinkMessage, first: number): Uint8Array =>
    encodeMessages([{ ...to, flags: 0, payload: Uint8Array.of(first, 0, 0, 0) }]);
  const { connection } = connect(([set, get, absent, last]) => [
    acknowledge(set!, 17),
    answer(get!, 1),
    acknowledge(absent!, 19),
    answer(last!, 2),
    acknowledge(last!),
  ]);
  const replies = connection.exchange(["set", "get", "absent", "last"].map((what) => request(what)));
  assertEquals(replies.map(({ error }) => error?.errno), [17, undefined, 19, undefined]);
  assertEquals(replies.map(({ messages }) => messages.map(({ payload }) => payload[0])), [[], [1], [], [2]]);
});

Deno.test("tryExecute() spreads many requests over datagrams of at most 100", () => {
  const { socket, connection } = connect(kernel());
  const outcomes = connection.tryExecute(Array.from({ length: 250 }, (_, i) => request(`r${i}`)));
  assertEquals(outcomes.length, 250);
  assertEquals(socket.sent.map((messages) => messages.length), [100, 100, 50]);
  assertEquals(connection.tryExecute([]), []);
});

Deno.test("execute() replays captured errors of the kernel", () => {
  for (
    const [name, message] of [
      ["error_unknown_kind", "create link: EOPNOTSUPP (not supported): Unknown device type"],
      ["error_name_too_long", "create link: ERANGE (out of range): Attribute failed policy validation"],
    ] as const
  ) {
    const { connection } = connect(([sent]) => {
      const answer = golden(`netlink/${name}`);
      new DataView(answer.buffer).setUint32(8, sent!.sequence, true);
      return [answer];
    });
    assertThrows(() => connection.execute([request("create link")]), NetlinkError, message);
  }
});

Deno.test("execute() passes over answers to a conversation that was given up", () => {
  const stale = { type: 16, flags: 0, sequence: 0, portId: 0, payload: new Uint8Array(0) };
  const { connection } = connect(([message]) => [
    acknowledge({ ...stale, sequence: 999_999 }, 1),
    encodeMessages([{ ...stale, type: nl.NLMSG_NOOP }]),
    acknowledge(message!),
  ]);
  connection.execute([request("a")]);
});

Deno.test("execute() looks again when a misread errno says that nothing is queued", () => {
  const { connection } = connect(([message]) => ["empty", acknowledge(message!)]);
  connection.execute([request("a")]);
});

Deno.test("execute() fails when an answer is missing or lost", () => {
  const silent = connect(([message]) => [acknowledge(message!, 17)]);
  assertThrows(
    () => silent.connection.execute([request("a"), request("b")]),
    NetlinkProtocolError,
    "b: the kernel did not answer",
  );
  const lossy = connect(() => ["lost"]);
  assertThrows(() => lossy.connection.execute([request("a")]), NetlinkProtocolError, "was lost");
});

Deno.test("request() returns the replies before the acknowledgement", () => {
  const { connection } = connect(([message]) => [
    encodeMessages([{ ...message!, flags: 0, payload: Uint8Array.of(9, 9, 9, 9) }]),
    acknowledge(message!),
  ]);
  assertEquals(connection.request(request("get")).map((reply) => reply.payload), [Uint8Array.of(9, 9, 9, 9)]);
});

Deno.test("request() throws what the kernel refuses", () => {
  const { connection } = connect(([message]) => [acknowledge(message!, 19)]);
  assertThrows(() => connection.request(request("get link x")), NetlinkError, "get link x: ENODEV");
});

Deno.test("dump() joins the parts up to NLMSG_DONE", () => {
  const { socket, connection } = connect(([message]) => [
    dumpPart(message!, [Uint8Array.of(1, 0, 0, 0), Uint8Array.of(2, 0, 0, 0)]),
    dumpPart(message!, [Uint8Array.of(3, 0, 0, 0)]),
    dumpDone(message!),
  ]);
  assertEquals(connection.dump(request("dump")).map((message) => message.payload[0]), [1, 2, 3]);
  assertEquals(socket.sent[0]![0]!.flags, nl.NLM_F_REQUEST | nl.NLM_F_DUMP);
});

Deno.test("dump() asks again when a part, or the end, is flagged as inconsistent", () => {
  for (const where of ["part", "end"]) {
    let tries = 0;
    const { connection } = connect(([message]) => {
      tries++;
      const flag = tries < 3 ? nl.NLM_F_DUMP_INTR : 0;
      return [
        dumpPart(message!, [Uint8Array.of(tries, 0, 0, 0)], where === "part" ? flag : 0),
        dumpDone(message!, 0, where === "end" ? flag : 0),
      ];
    });
    assertEquals(connection.dump(request("dump")).map((message) => message.payload[0]), [3]);
  }
});

Deno.test("dump() gives up when it never becomes consistent", () => {
  const { socket, connection } = connect(([message]) => [
    dumpPart(message!, [Uint8Array.of(1, 0, 0, 0)], nl.NLM_F_DUMP_INTR),
    dumpDone(message!),
  ]);
  assertThrows(() => connection.dump(request("dump")), NetlinkProtocolError, "kept changing");
  assertEquals(socket.sent.length, 10);
});

Deno.test("dump() asks again when a part was lost, its end included", () => {
  let tries = 0;
  const { connection } = connect(([message]) => {
    tries++;
    if (tries === 1) return ["lost", dumpPart(message!, [Uint8Array.of(1, 0, 0, 0)]), dumpDone(message!)];
    if (tries === 2) return [dumpPart(message!, [Uint8Array.of(1, 0, 0, 0)]), "lost"];
    return [dumpPart(message!, [Uint8Array.of(3, 0, 0, 0)]), dumpDone(message!)];
  });
  assertEquals(connection.dump(request("dump")).map((message) => message.payload[0]), [3]);
});

Deno.test("dump() throws an error told at once or at the end", () => {
  const atOnce = connect(([message]) => [acknowledge(message!, 95, { message: "no dump" })]);
  assertThrows(() => atOnce.connection.dump(request("dump x")), NetlinkError, "dump x: EOPNOTSUPP");
  const atEnd = connect(([message]) => [dumpDone(message!, 19)]);
  assertThrows(() => atEnd.connection.dump(request("dump x")), NetlinkError, "dump x: ENODEV");
});

Deno.test("dump() fails when it has no end", () => {
  const { connection } = connect(([message]) => [dumpPart(message!, [Uint8Array.of(1, 0, 0, 0)])]);
  assertThrows(() => connection.dump(request("dump")), NetlinkProtocolError, "did not finish");
});

Deno.test("tryExecuteInBackground() tells outcomes and keeps others off the connection meanwhile", async () => {
  const { connection } = connect(kernel({ 1: 19 }));
  const running = connection.tryExecuteInBackground([request("a"), request("b")]);
  assertThrows(() => connection.execute([request("c")]), TypeError, "busy in the background");
  await assertRejects(() => connection.tryExecuteInBackground([request("d")]), TypeError, "busy");
  assertEquals((await running).map((error) => error?.errno), [undefined, 19]);
  connection.execute([request("c")]);
});

function listen(): { socket: FakeNetlinkSocket; events: string[]; subscription: NetlinkSubscription } {
  const socket = new FakeNetlinkSocket();
  const events: string[] = [];
  const listener: NetlinkListener = {
    onMessage: (message) => events.push(`message ${message.type}`),
    onLost: () => events.push("lost"),
  };
  return { socket, events, subscription: new NetlinkSubscription(socket, listener) };
}

function notification(type: number): Uint8Array<ArrayBuffer> {
  const message: NetlinkMessage = { type, flags: 0, sequence: 0, portId: 0, payload: new Uint8Array(0) };
  return encodeMessages([message]);
}

Deno.test("NetlinkSubscription delivers messages, and says when some were lost", async () => {
  const { socket, events, subscription } = listen();
  socket.push(notification(nl.RTM_NEWLINK), notification(nl.RTM_DELADDR));
  socket.push("lost", notification(nl.RTM_DELLINK), notification(nl.NLMSG_OVERRUN), Uint8Array.of(1, 2, 3));
  await Promise.resolve();
  socket.push(notification(nl.RTM_NEWROUTE));
  while (events.length < 7) await Promise.resolve();
  assertEquals(events, ["message 16", "message 21", "lost", "message 17", "lost", "lost", "message 24"]);
  subscription[Symbol.dispose]();
  await subscription.finished;
});

Deno.test("NetlinkSubscription delivers nothing once it is closed", async () => {
  const { socket, events, subscription } = listen();
  subscription[Symbol.dispose]();
  socket.push(notification(nl.RTM_NEWLINK));
  await subscription.finished;
  assertEquals([events, socket.closed], [[], true]);
});
