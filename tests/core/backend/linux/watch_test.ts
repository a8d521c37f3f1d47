import { assertEquals } from "@std/assert";
import { LinkWatcher } from "../../../../core/backend/linux/watch.ts";
import { encodeAddress } from "../../../../ffi/netlink/address.ts";
import * as nl from "../../../../ffi/netlink/constants.ts";
import { decodeLink, encodeLink, type Link, type LinkRequest } from "../../../../ffi/netlink/link.ts";
import type { NetlinkMessage } from "../../../../ffi/netlink/message.ts";
import { encodeRoute } from "../../../../ffi/netlink/route.ts";

function link(request: LinkRequest): Link {
  return decodeLink(encodeLink(request));
}

const OURS = { index: 5, name: "zl-a", alias: "zlayer-overlayd/x" };
const FOREIGN = { index: 6, name: "eth9" };

class Watched {
  readonly names: string[] = [];
  links: Link[] = [link(OURS), link(FOREIGN)];
  readonly watcher = new LinkWatcher((name) => this.names.push(name), () => this.links);

  tell(type: number, payload: Uint8Array): void {
    const message: NetlinkMessage = { type, flags: 0, sequence: 0, portId: 0, payload };
    this.watcher.onMessage(message);
  }

  take(): string[] {
    return this.names.splice(0);
  }
}

Deno.test("LinkWatcher tells links of interest, by tag or by name, and no others", () => {
  const watched = new Watched();
  watched.tell(nl.RTM_NEWLINK, encodeLink(OURS));
  watched.tell(nl.RTM_NEWLINK, encodeLink(FOREIGN));
  watched.tell(nl.RTM_NEWLINK, encodeLink({ index: 7, name: "veth-123-abc" }));
  watched.tell(nl.RTM_NEWLINK, encodeLink({ index: 8, name: "odd", alias: "zlayer-overlayd/y" }));
  watched.tell(nl.RTM_DELLINK, encodeLink(OURS));
  assertEquals(watched.take(), ["zl-a", "veth-123-abc", "odd", "zl-a"]);
});

Deno.test("LinkWatcher tells addresses and routes by the link they are on", () => {
  const watched = new Watched();
  watched.tell(nl.RTM_DELADDR, encodeAddress({ index: 5 }));
  watched.tell(nl.RTM_NEWADDR, encodeAddress({ index: 6 }));
  watched.tell(nl.RTM_DELROUTE, encodeRoute({ outIndex: 5 }));
  watched.tell(nl.RTM_NEWROUTE, encodeRoute({}));
  assertEquals(watched.take(), ["zl-a", "zl-a"]);
});

Deno.test("LinkWatcher forgets a link that is gone or renamed away, and tells its former name", () => {
  const watched = new Watched();
  watched.tell(nl.RTM_NEWLINK, encodeLink({ index: 5, name: "renamed" }));
  watched.tell(nl.RTM_DELADDR, encodeAddress({ index: 5 }));
  assertEquals(watched.take(), ["zl-a"]);
});

Deno.test("LinkWatcher keeps a link that only left its bridge", () => {
  const watched = new Watched();
  watched.tell(nl.RTM_DELLINK, encodeLink({ ...OURS, family: nl.AF_BRIDGE }));
  watched.tell(nl.RTM_DELADDR, encodeAddress({ index: 5 }));
  assertEquals(watched.take(), ["zl-a", "zl-a"]);
});

Deno.test("LinkWatcher tells all it knew and knows when notifications were lost or unreadable", () => {
  const watched = new Watched();
  watched.links = [link({ index: 9, name: "zl-b" })];
  watched.watcher.onLost();
  assertEquals(watched.take(), ["zl-a", "zl-b"]);
  watched.tell(nl.RTM_NEWLINK, Uint8Array.of(1, 2));
  assertEquals(watched.take(), ["zl-b"]);
});
