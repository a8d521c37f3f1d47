import { assertEquals } from "@std/assert";
import { SourceRoutes } from "../../../../core/transport/wireguard/source_routes.ts";
import { PeerEndpoint } from "../../../../core/wireguard/endpoint.ts";
import { ErrnoError, NetlinkProtocolError } from "../../../../ffi/errors.ts";
import type { RouteQuestion } from "../../../../ffi/route_lookup.ts";

/** Leads everywhere by one link, which a test may change. */
class FakeTable {
  link: number | undefined = 2;
  changed = false;
  readonly questions: RouteQuestion[] = [];

  outIndex(question: RouteQuestion): number | undefined {
    this.questions.push(question);
    return this.link;
  }

  hasChanged(): boolean {
    const { changed } = this;
    this.changed = false;
    return changed;
  }
}

function heardOn(interfaceIndex: number, options: { readonly scopeId?: number } = {}): PeerEndpoint {
  const local = { address: Uint8Array.of(10, 0, 0, 9), interfaceIndex };
  return new PeerEndpoint(Uint8Array.of(10, 0, 0, 1), 51820, { local, ...options });
}

Deno.test("SourceRoutes keeps a source while the way leads by its link, and asks once for each change", () => {
  const table = new FakeTable();
  const routes = new SourceRoutes(table);
  const [a, b] = [heardOn(2), heardOn(2)];
  for (let i = 0; i < 3; i++) for (const one of [a, b]) assertEquals(routes.resolve(one) === one, true);
  assertEquals(table.questions.length, 2);
  table.changed = true;
  routes.poll(1000);
  for (let i = 0; i < 3; i++) for (const one of [a, b]) assertEquals(routes.resolve(one) === one, true);
  assertEquals(table.questions.length, 4);
});

Deno.test("SourceRoutes lets a source go when the way leads elsewhere or nowhere, and takes it back", () => {
  const table = new FakeTable();
  const routes = new SourceRoutes(table);
  const endpoint = heardOn(2);
  let now = 0;
  for (
    const { link, local } of [{ link: 2, local: true }, { link: 3, local: false }, {
      link: undefined,
      local: false,
    }, { link: 2, local: true }]
  ) {
    table.link = link;
    table.changed = true;
    routes.poll(now += 1000);
    const use = routes.resolve(endpoint);
    assertEquals(use.local !== undefined, local, `link ${link}`);
    assertEquals(use.toString(), endpoint.toString());
  }
});

Deno.test("SourceRoutes looks for changes no more than every 50 ms", () => {
  const table = new FakeTable();
  const routes = new SourceRoutes(table);
  routes.poll(1000);
  const endpoint = heardOn(2);
  routes.resolve(endpoint);
  table.link = 3;
  table.changed = true;
  routes.poll(1049);
  assertEquals(routes.resolve(endpoint) === endpoint, true);
  routes.poll(1050);
  assertEquals(routes.resolve(endpoint).local, undefined);
});

Deno.test("SourceRoutes looks at once whether a source that it let go is good again", () => {
  const table = new FakeTable();
  const routes = new SourceRoutes(table);
  const endpoint = heardOn(2);
  table.link = undefined;
  assertEquals(routes.resolve(endpoint).local, undefined);
  table.link = 2;
  table.changed = true;
  assertEquals(routes.resolve(endpoint) === endpoint, true);
});

Deno.test("SourceRoutes asks with the mark, and anew when that changes", () => {
  const table = new FakeTable();
  const routes = new SourceRoutes(table);
  const endpoint = heardOn(2);
  routes.resolve(endpoint);
  routes.fwmark = 7;
  routes.resolve(endpoint);
  assertEquals(table.questions.map(({ fwmark }) => fwmark), [0, 7]);
  assertEquals(table.questions[0], {
    destination: Uint8Array.of(10, 0, 0, 1),
    source: Uint8Array.of(10, 0, 0, 9),
    fwmark: 0,
  });
});

Deno.test("SourceRoutes leaves endpoints alone that have no source or a link of their own, or without a table", () => {
  const table = new FakeTable();
  table.link = undefined;
  const routes = new SourceRoutes(table);
  for (const endpoint of [new PeerEndpoint(Uint8Array.of(10, 0, 0, 1), 1), heardOn(2, { scopeId: 2 })]) {
    assertEquals(routes.resolve(endpoint) === endpoint, true);
  }
  assertEquals(table.questions, []);
  const endpoint = heardOn(2);
  assertEquals(new SourceRoutes(undefined).resolve(endpoint) === endpoint, true);
});

Deno.test("SourceRoutes goes on without a source while the kernel gives no answer, and asks again", () => {
  const table = new FakeTable();
  const routes = new SourceRoutes(table);
  const endpoint = heardOn(2);
  const broken = {
    outIndex: () => {
      throw new NetlinkProtocolError("ask for a route", "ask for a route: the kernel did not answer");
    },
    hasChanged: () => {
      throw new ErrnoError("receive from netlink socket", "recvfrom", 12, "ENOMEM (Out of memory)");
    },
  };
  Object.assign(table, broken);
  routes.poll(1000);
  assertEquals(routes.resolve(endpoint).local, undefined);
  for (const name of Object.keys(broken)) Reflect.deleteProperty(table, name);
  assertEquals(routes.resolve(endpoint), endpoint);
});
