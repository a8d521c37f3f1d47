import { assert, assertEquals, assertRejects } from "@std/assert";
import { LinkRemover } from "../../../../core/backend/linux/link_remover.ts";
import { NEWBORN_GROUP } from "../../../../core/backend/linux/ownership.ts";
import { RtNetlink } from "../../../../core/backend/linux/rtnetlink.ts";
import { OverlayError, TeardownError } from "../../../../core/errors.ts";
import { NetlinkConnection } from "../../../../ffi/netlink.ts";
import * as nl from "../../../../ffi/netlink/constants.ts";
import { decodeLink, encodeLink } from "../../../../ffi/netlink/link.ts";
import { encodeMessages, type NetlinkMessage } from "../../../../ffi/netlink/message.ts";
import { acknowledge, dumpDone, dumpPart, FakeNetlinkSocket } from "../../../support/fake_kernel.ts";

interface FakeLink {
  index: number;
  name: string;
  alias?: string;
  group: number;
}

/** A kernel that has links and deletes them; refuses groups, or single links, when told. */
class FakeKernel {
  readonly links: FakeLink[] = [];
  readonly log: string[] = [];
  refuseGroups = false;
  refuseLink: number | undefined;
  readonly socket = new FakeNetlinkSocket((messages) => messages.flatMap((message) => this.#answer(message)));

  add(name: string, alias?: string, group = 0): void {
    this.links.push({ index: this.links.length + 1, name, ...alias === undefined ? {} : { alias }, group });
  }

  names(): string[] {
    return this.links.map((link) => link.name);
  }

  remover(options: { pickGroup?: () => number } = {}): LinkRemover {
    return new LinkRemover(new RtNetlink(new NetlinkConnection(this.socket)), options);
  }

  #answer(message: NetlinkMessage): Uint8Array[] {
    const asked = decodeLink(message.payload);
    switch (message.type) {
      case nl.RTM_GETLINK:
        return this.#get(message, asked.name);
      case nl.RTM_SETLINK: {
        const link = this.links.find(({ index }) => index === asked.index);
        if (link) link.group = asked.group!;
        return [acknowledge(message, link ? 0 : 19)];
      }
      default:
        return [acknowledge(message, this.#delete(asked.index, asked.group))];
    }
  }

  #get(message: NetlinkMessage, name: string | undefined): Uint8Array[] {
    if ((message.flags & nl.NLM_F_DUMP) === nl.NLM_F_DUMP) {
      return [dumpPart(message, this.links.map(encodeLink)), dumpDone(message)];
    }
    const link = this.links.find((one) => one.name === name);
    if (!link) return [acknowledge(message, 19)];
    return [encodeMessages([{ ...message, flags: 0, payload: encodeLink(link) }]), acknowledge(message)];
  }

  #delete(index: number, group: number | undefined): number {
    this.log.push(index > 0 ? `link ${index}` : "group");
    if (index === 0 && this.refuseGroups) return 95;
    if (index > 0 && index === this.refuseLink) return 16;
    const before = this.links.length;
    const kept = this.links.filter((link) => index > 0 ? link.index !== index : link.group !== group);
    this.links.splice(0, before, ...kept);
    return kept.length === before ? 19 : 0;
  }
}

Deno.test("LinkRemover gathers what comes together into one deletion by group", async () => {
  const kernel = new FakeKernel();
  for (let i = 0; i < 20; i++) kernel.add(`v${i}`, "tag");
  kernel.add("other", "another tag");
  using remover = kernel.remover();
  await Promise.all(Array.from({ length: 20 }, (_, i) => remover.remove([{ name: `v${i}`, tag: "tag" }])));
  assertEquals([kernel.names(), kernel.log], [["other"], ["group"]]);
});

Deno.test("LinkRemover deletes a single link by its index", async () => {
  const kernel = new FakeKernel();
  kernel.add("v0", "tag");
  using remover = kernel.remover();
  await remover.remove([{ name: "v0", tag: "tag" }]);
  assertEquals([kernel.names(), kernel.log], [[], ["link 1"]]);
});

Deno.test("LinkRemover passes over what is gone, untagged or another's, and takes the half-made", async () => {
  const kernel = new FakeKernel();
  kernel.add("foreign", "another tag");
  kernel.add("plain");
  kernel.add("newborn", undefined, NEWBORN_GROUP);
  using remover = kernel.remover();
  await remover.remove(["foreign", "plain", "newborn", "nosuch"].map((name) => ({ name, tag: "tag" })));
  assertEquals(kernel.names(), ["foreign", "plain"]);
});

Deno.test("LinkRemover goes one by one when the kernel refuses the group", async () => {
  const kernel = new FakeKernel();
  kernel.refuseGroups = true;
  for (let i = 0; i < 3; i++) kernel.add(`v${i}`, "tag");
  using remover = kernel.remover();
  await remover.remove(["v0", "v1", "v2"].map((name) => ({ name, tag: "tag" })));
  assertEquals([kernel.names(), kernel.log], [[], ["group", "link 1", "link 2", "link 3"]]);
});

Deno.test("LinkRemover tells which link could not be removed, and removes the others", async () => {
  const kernel = new FakeKernel();
  kernel.refuseGroups = true;
  kernel.refuseLink = 2;
  for (let i = 0; i < 3; i++) kernel.add(`v${i}`, "tag");
  using remover = kernel.remover();
  const all = ["v0", "v1", "v2"].map((name) => ({ name, tag: "tag" }));
  await assertRejects(
    () => remover.remove(all),
    OverlayError,
    "cannot remove link v1: delete link v1: EBUSY",
  );
  assertEquals(kernel.names(), ["v1"]);
});

Deno.test("LinkRemover lists all failures of one request", async () => {
  const socket = new FakeNetlinkSocket(([message]) => [acknowledge(message!, 1)]);
  using remover = new LinkRemover(new RtNetlink(new NetlinkConnection(socket)));
  const error = await assertRejects(
    () => remover.remove([{ name: "a", tag: "t" }, { name: "b", tag: "t" }]),
    TeardownError,
    "CAP_NET_ADMIN",
  );
  assertEquals(error.errors.length, 2);
});

Deno.test("LinkRemover never deletes by a group that another link is in", async () => {
  const kernel = new FakeKernel();
  for (const group of [70, 71, 73]) kernel.add(`other${group}`, "another tag", group);
  for (const name of ["v0", "v1"]) kernel.add(name, "tag");
  using remover = kernel.remover({ pickGroup: () => 70 });
  await remover.remove([{ name: "v0", tag: "tag" }, { name: "v1", tag: "tag" }]);
  assertEquals(kernel.names(), ["other70", "other71", "other73"]);
});

Deno.test("LinkRemover keeps its connection until what runs is done", async () => {
  const kernel = new FakeKernel();
  kernel.add("v0", "tag");
  const remover = kernel.remover();
  const removing = remover.remove([{ name: "v0", tag: "tag" }]);
  remover[Symbol.dispose]();
  assert(!kernel.socket.closed);
  await removing;
  assertEquals(kernel.names(), []);
  await Promise.resolve();
  assert(kernel.socket.closed);
});
