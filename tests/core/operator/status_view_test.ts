import { assert, assertEquals } from "@std/assert";
import { STATUS_SCHEMA, statusView } from "../../../core/operator/status_view.ts";
import { newDropCounters } from "../../../core/wireguard/output.ts";
import { DETAILED_REPLY, RUST_REPLY } from "./replies.ts";

Deno.test("statusView() of a detailed reply holds everything once", () => {
  const view = statusView(DETAILED_REPLY, "/run/x.sock");
  assertEquals(view.schema, STATUS_SCHEMA);
  assertEquals(view.daemon, {
    version: "0.1.0",
    pid: 42,
    started_unix_secs: 1000,
    data_dir: "/var/lib/zlayer",
    socket: "/run/x.sock",
    wireguard: { kind: "kernel", reason: null },
    containers: { kind: null, problem: null },
    detailed: true,
  });
  assertEquals(view.global.interface, "zl-prod-g");
  assertEquals(view.global.deployment, "prod");
  assertEquals(
    view.services.map(({ name, interface: link, dedicated }) => [name, link, dedicated?.interface]),
    [
      ["web", "zl-prod-web-b", undefined],
      ["db", "zl-prod-db-b", "zl-prod-db-d"],
    ],
  );
  assertEquals(view.peers.map(({ service, allowed_ips }) => [service, allowed_ips]), [
    [null, ["10.200.0.5/32", "10.200.1.0/24"]],
    ["db", []],
  ]);
  assertEquals(view.devices, [
    {
      interface: "zl-prod-g",
      service: null,
      kind: "userspace",
      crypto: "libcrypto",
      drops: [{ reason: "noRoute", count: 7 }, { reason: "replayed", count: 2 }],
    },
    { interface: "zl-prod-db-d", service: "db", kind: "kernel", crypto: null, drops: [] },
  ]);
  assertEquals(view.attachments[0]?.host_links, ["veth-4242-s", "veth-4242-g"]);
  assertEquals(view.leases, [{ ip: "10.200.4.2", pool: "service:web", owner: "pid:4242" }]);
  assertEquals(view.pending, ["attach pid:7 to web"]);
});

Deno.test("statusView() of the Rust daemon's reply shows what it says and nulls for the rest", () => {
  const view = statusView(RUST_REPLY, "/run/x.sock");
  assertEquals(view.daemon.detailed, false);
  assertEquals(view.daemon.version, null);
  assertEquals(view.global.node_ip, "10.200.0.1");
  assertEquals(view.service_count, 3);
  assertEquals(view.services.map(({ name, mode, interface: link }) => [name, mode, link]), [
    ["db", "dedicated", "zl-db0"],
  ]);
  assertEquals(view.peers[0]?.rx_bytes, null);
});

Deno.test("statusView() survives any JSON", () => {
  const odd = {
    peers: [null, 1, { allowed_ips: 7 }],
    detail: [1],
    dedicated_services: "x",
    peer_count: "no",
  };
  const view = statusView(odd, "/s");
  assertEquals(view.peers.length, 1);
  assertEquals(view.peer_count, null);
});

/** All member paths of a value, list items as `[]`. */
function paths(value: unknown, at = ""): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => paths(item, `${at}[]`)))];
  if (typeof value !== "object" || value === null) return [at];
  return Object.entries(value).flatMap(([name, item]) => paths(item, at === "" ? name : `${at}.${name}`));
}

Deno.test("docs/status.md documents every member of the schema, and no other", async () => {
  const text = await Deno.readTextFile(new URL("../../../docs/status.md", import.meta.url));
  const documented = [...text.matchAll(/^\| `([^`]+)` +\|/gm)].map((match) => match[1]!);
  const present = paths(statusView(DETAILED_REPLY, "/s"));
  assert(present.length > 50);
  assertEquals(documented.toSorted(), [...new Set(present)].toSorted());
});

Deno.test("docs/operator.md explains every reason for which a device drops something", () => {
  const text = Deno.readTextFileSync(new URL("../../../docs/operator.md", import.meta.url));
  const missing = Object.keys(newDropCounters()).filter((reason) => !text.includes(`\`${reason}\``));
  assertEquals(missing, []);
});
