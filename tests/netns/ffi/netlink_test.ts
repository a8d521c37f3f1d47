/** The netlink stack against the running kernel, in namespaces of its own. Needs root. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ErrnoError, NetlinkError } from "../../../ffi/errors.ts";
import { FileDescriptor } from "../../../ffi/file_descriptor.ts";
import { NetlinkConnection, type NetlinkRequest, NetlinkSubscription } from "../../../ffi/netlink.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeFamily, encodeFamilyRequest } from "../../../ffi/netlink/genetlink.ts";
import { decodeLink, encodeLink, type Link } from "../../../ffi/netlink/link.ts";
import { bridgeInfo, vethInfo } from "../../../ffi/netlink/link_kind.ts";
import { openNetlinkSocket } from "../../../ffi/netlink_socket.ts";
import { withNetns } from "../../../ffi/netns.ts";
import { NamedNetns } from "../../support/test_netns.ts";

const CREATE = nl.NLM_F_CREATE | nl.NLM_F_EXCL;

function newLink(name: string, info = bridgeInfo()): NetlinkRequest {
  return {
    what: `create link ${name}`,
    type: nl.RTM_NEWLINK,
    flags: CREATE,
    payload: encodeLink({ name, info }),
  };
}

function dumpLinks(connection: NetlinkConnection): Link[] {
  const payload = encodeLink({ extMask: nl.RTEXT_FILTER_SKIP_STATS });
  return connection.dump({ what: "dump links", type: nl.RTM_GETLINK, flags: 0, payload })
    .map((message) => decodeLink(message.payload));
}

function openIn(netns: NamedNetns): NetlinkConnection {
  using fd = FileDescriptor.open(netns.path!);
  return NetlinkConnection.open(nl.NETLINK_ROUTE, { netnsFd: fd.fd });
}

Deno.test("links are made inside another namespace, several in one datagram, and seen by ip", async () => {
  await using netns = await NamedNetns.create();
  using connection = openIn(netns);
  connection.execute([
    newLink("ztbr0"),
    newLink("ztv0", vethInfo({ peer: { name: "ztv1" } })),
    {
      what: "set ztv0",
      type: nl.RTM_SETLINK,
      flags: 0,
      payload: encodeLink({
        name: "ztv0",
        alias: "a tag",
        mtuBytes: 1400,
        flags: nl.IFF_UP,
        change: nl.IFF_UP,
      }),
    },
  ]);
  const seen = await netns.ip("link", "show", "ztv0");
  assertEquals([seen[0]?.mtu, seen[0]?.ifalias], [1400, "a tag"]);
  assert((seen[0]?.flags as string[]).includes("UP"));
  assertEquals(dumpLinks(connection).map((link) => link.name).sort(), ["lo", "ztbr0", "ztv0", "ztv1"]);
});

Deno.test("the kernel's refusal names the request and says why", async () => {
  await using netns = await NamedNetns.create();
  using connection = openIn(netns);
  connection.execute([newLink("ztbr0")]);
  const outcomes = connection.tryExecute([
    newLink("ztbr1"),
    newLink("ztbr0"),
    newLink("ztx", { kind: "nosuch" }),
  ]);
  assertEquals(outcomes.map((error) => error?.errno), [undefined, 17, 95]);
  assertEquals(outcomes[2]?.message, "create link ztx: EOPNOTSUPP (not supported): Unknown device type");
});

Deno.test("a dump of 500 links spans many datagrams", async () => {
  await using netns = await NamedNetns.create();
  using connection = openIn(netns);
  connection.execute(
    Array.from({ length: 250 }, (_, i) => newLink(`zt${i}`, vethInfo({ peer: { name: `ztp${i}` } }))),
  );
  assertEquals(dumpLinks(connection).length, 501);
});

Deno.test("IPv4 forwarding of one link is set by netlink alone", async () => {
  await using netns = await NamedNetns.create();
  using connection = openIn(netns);
  connection.execute([newLink("ztbr0")]);
  const conf = new Map([[nl.IPV4_DEVCONF_FORWARDING, 1]]);
  connection.execute([{
    what: "forwarding on",
    type: nl.RTM_SETLINK,
    flags: 0,
    payload: encodeLink({ name: "ztbr0", afSpec: { inet: { conf } } }),
  }]);
  const bridge = dumpLinks(connection).find((link) => link.name === "ztbr0");
  assertEquals(bridge?.afSpec?.inet?.conf?.get(nl.IPV4_DEVCONF_FORWARDING), 1);
});

Deno.test("slow requests run on another thread while this one goes on", async () => {
  await using netns = await NamedNetns.create();
  using connection = openIn(netns);
  connection.execute([newLink("ztv0", vethInfo({ peer: { name: "ztv1" } }))]);
  const payload = encodeLink({ name: "ztv0" });
  const remove = { what: "delete ztv0", type: nl.RTM_DELLINK, flags: 0, payload };
  const outcomes = await connection.tryExecuteInBackground([remove, remove]);
  assertEquals(outcomes.map((error) => error?.errno), [undefined, 19]);
  assertEquals(dumpLinks(connection).map((link) => link.name), ["lo"]);
});

Deno.test("notifications of links arrive and end with the subscription", async () => {
  await using netns = await NamedNetns.create();
  using fd = FileDescriptor.open(netns.path!);
  const names: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = openNetlinkSocket(nl.NETLINK_ROUTE, { netnsFd: fd.fd, groups: [nl.RTNLGRP_LINK] });
  const subscription = new NetlinkSubscription(socket, {
    onMessage(message): void {
      const { name = "" } = decodeLink(message.payload);
      names.push(`${message.type} ${name}`);
      if (message.type === nl.RTM_DELLINK) resolve();
    },
    onLost: resolve,
  });
  await netns.must(["ip", "link", "add", "ztbr0", "type", "bridge"]);
  await netns.must(["ip", "link", "del", "ztbr0"]);
  await promise;
  assert(names.includes(`${nl.RTM_NEWLINK} ztbr0`) && names.includes(`${nl.RTM_DELLINK} ztbr0`), `${names}`);
  subscription[Symbol.dispose]();
  await subscription.finished;
});

Deno.test("withNetns() returns to the daemon's namespace whatever happens inside", async () => {
  await using netns = await NamedNetns.create();
  const home = Deno.readLinkSync("/proc/thread-self/ns/net");
  using fd = FileDescriptor.open(netns.path!);
  const inside = withNetns(fd.fd, () => Deno.readLinkSync("/proc/thread-self/ns/net"));
  assert(inside !== home);
  assertThrows(
    () =>
      withNetns(fd.fd, () => {
        throw new TypeError("planted");
      }),
    TypeError,
    "planted",
  );
  assertEquals(Deno.readLinkSync("/proc/thread-self/ns/net"), home);
});

Deno.test("withNetns() refuses what is not a network namespace", () => {
  using fd = FileDescriptor.open("/proc/self/ns/uts");
  assertThrows(() => withNetns(fd.fd, () => 0), ErrnoError, "enter network namespace: setns: EINVAL");
});

Deno.test("the generic controller tells families and refuses unknown ones", () => {
  using connection = NetlinkConnection.open(nl.NETLINK_GENERIC);
  const ask = (name: string): NetlinkRequest => ({
    what: `find family ${name}`,
    type: nl.GENL_ID_CTRL,
    flags: 0,
    payload: encodeFamilyRequest(name),
  });
  assertEquals(decodeFamily(connection.request(ask("nlctrl"))[0]!.payload).id, nl.GENL_ID_CTRL);
  assertThrows(() => connection.request(ask("nosuch")), NetlinkError, "find family nosuch: ENOENT");
});
