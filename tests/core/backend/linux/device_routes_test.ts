import { assertEquals, assertThrows } from "@std/assert";
import { addRoutes } from "../../../../core/backend/linux/device_routes.ts";
import { OUR_ROUTE_PROTOCOL } from "../../../../core/backend/linux/requests.ts";
import { RtNetlink } from "../../../../core/backend/linux/rtnetlink.ts";
import { AlreadyExistsError } from "../../../../core/errors.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../../../../core/ip/prefix.ts";
import { EEXIST } from "../../../../ffi/errno.ts";
import { NetlinkConnection } from "../../../../ffi/netlink.ts";
import * as nl from "../../../../ffi/netlink/constants.ts";
import type { NetlinkMessage } from "../../../../ffi/netlink/message.ts";
import { decodeRoute, encodeRoute } from "../../../../ffi/netlink/route.ts";
import { acknowledge, dumpDone, dumpPart, FakeNetlinkSocket } from "../../../support/fake_kernel.ts";

const INDEX = 7;

/** A kernel with IPv4 routes: destination to the link it leaves by. */
class RouteKernel {
  readonly log: string[] = [];
  readonly routes: Map<string, number>;
  readonly host: RtNetlink;

  constructor(routes: Readonly<Record<string, number>> = {}) {
    this.routes = new Map(Object.entries(routes));
    const socket = new FakeNetlinkSocket((messages) => messages.flatMap((message) => this.#answer(message)));
    this.host = new RtNetlink(new NetlinkConnection(socket));
  }

  #answer(message: NetlinkMessage): Uint8Array[] {
    if (message.type === nl.RTM_GETROUTE) {
      this.log.push("list");
      return [dumpPart(message, this.#list(message)), dumpDone(message)];
    }
    const { destination, destinationLength, outIndex } = decodeRoute(message.payload);
    const text = `${destination!.join(".")}/${destinationLength}`;
    this.log.push(`${message.type === nl.RTM_NEWROUTE ? "add" : "delete"} ${text}`);
    if (message.type === nl.RTM_DELROUTE) {
      this.routes.delete(text);
      return [acknowledge(message)];
    }
    if (this.routes.has(text)) return [acknowledge(message, EEXIST)];
    this.routes.set(text, outIndex!);
    return [acknowledge(message)];
  }

  #list(message: NetlinkMessage): Uint8Array[] {
    if (decodeRoute(message.payload).family !== nl.AF_INET) return [];
    return [...this.routes].map(([text, outIndex]) => {
      const [address, length] = text.split("/");
      return encodeRoute({
        family: nl.AF_INET,
        destination: Uint8Array.from(address!.split("."), Number),
        destinationLength: Number(length),
        protocol: OUR_ROUTE_PROTOCOL,
        outIndex,
      });
    });
  }
}

function prefixes(...cidrs: string[]): IpPrefix[] {
  return cidrs.map((cidr) => parsePrefix(cidr)!);
}

Deno.test("addRoutes() adds without reading what is there, however many there are", () => {
  const kernel = new RouteKernel({ "10.1.0.0/24": INDEX });
  const added = addRoutes(kernel.host, INDEX, prefixes("10.2.0.9/24", "10.3.0.0/24"));
  assertEquals(added.map(formatPrefix), ["10.2.0.9/24", "10.3.0.0/24"]);
  assertEquals(kernel.log, ["add 10.2.0.0/24", "add 10.3.0.0/24"]);
  assertEquals(addRoutes(kernel.host, INDEX, []), []);
  assertEquals(kernel.log.length, 2);
});

Deno.test("addRoutes() takes a route that the device has already for done, and not for added", () => {
  const kernel = new RouteKernel({ "10.1.0.0/24": INDEX });
  const added = addRoutes(kernel.host, INDEX, prefixes("10.1.0.7/24", "10.2.0.0/24"));
  assertEquals(added.map(formatPrefix), ["10.2.0.0/24"]);
});

Deno.test("addRoutes() undoes all when one route is another link's", () => {
  const kernel = new RouteKernel({ "10.1.0.0/24": INDEX, "10.2.0.0/24": INDEX + 1 });
  const wanted = prefixes("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24");
  assertThrows(() => addRoutes(kernel.host, INDEX, wanted), AlreadyExistsError, "route 10.2.0.0/24");
  assertEquals([...kernel.routes], [["10.1.0.0/24", INDEX], ["10.2.0.0/24", INDEX + 1]]);
});
