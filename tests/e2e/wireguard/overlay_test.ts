/** Two nodes whose overlay is in user space, whatever WireGuard the kernel has: what callers count on. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { globalDeviceName } from "../../../core/network/interface_name.ts";
import type { OverlayEvent } from "../../../core/service.ts";
import {
  Cluster,
  endpoint,
  KEEPALIVE_SECONDS,
  type Member,
  type OverlayPlan,
  WG_PORT,
} from "../../support/cluster.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import type { OverlayNode } from "../../support/overlay_node.ts";
import { reach } from "../../support/reach.ts";
import { newKeys } from "../../support/tunnel_end.ts";
import { waitFor } from "../../support/wait_for.ts";

const PLANS: readonly OverlayPlan[] = [
  {
    deployment: "prod",
    clusterCidr: "10.200.0.0/16",
    slices: ["10.200.0.0/28", "10.200.0.16/28"],
    family: 4,
  },
  {
    deployment: "prod",
    clusterCidr: "fd00:200::/48",
    slices: ["fd00:200:0:1::/64", "fd00:200:0:2::/64"],
    family: 6,
  },
];
const V4 = PLANS[0]!;

/** The control socket of a node's device. */
function controlSocket(node: OverlayNode, link: string): string {
  return `${node.dataDir}/run/wireguard/${link}.sock`;
}

/** Lines that a device tells of itself by its control socket. */
async function uapiGet(node: OverlayNode, link: string): Promise<string[]> {
  using connection = await Deno.connect({ transport: "unix", path: controlSocket(node, link) });
  await connection.write(new TextEncoder().encode("get=1\n\n"));
  let text = "";
  const buffer = new Uint8Array(65_536);
  while (!text.endsWith("\n\n")) {
    const count = await connection.read(buffer);
    assert(count !== null, "the control socket was closed");
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text.trim().split("\n");
}

async function allowedIps(node: OverlayNode, publicKey: string): Promise<string> {
  const peer = (await node.status()).peers.find((one) => one.publicKey === publicKey);
  return peer?.allowedIps.split(",").sort().join(",") ?? "";
}

Deno.test("two nodes with WireGuard in user space", async (t) => {
  await using _audit = await LeakAudit.begin();
  await using cluster = await Cluster.start(2, { args: ["--wireguard=userspace"] });
  const [first, second] = [cluster.node(0), cluster.node(1)];
  const name = globalDeviceName({ deployment: V4.deployment, instanceId: "i1" });
  let members: Member[] = [];

  await t.step(
    "before set-up there is nothing, and peers are refused [overlay T11] [overlay T20] [overlay T23]",
    async () => {
      const { interface: link, nodeIp, publicKey, sliceCidr, peers, peerCount, overlayCidr } = await first
        .status();
      assertEquals([link, nodeIp, publicKey, sliceCidr, peers, peerCount], [
        undefined,
        undefined,
        undefined,
        undefined,
        [],
        0,
      ]);
      assertEquals(overlayCidr, "10.200.0.0/16");
      await first.client.teardownGlobalOverlay();
      const peer = {
        publicKey: newKeys().public,
        endpoint: "192.0.2.9:1",
        allowedIps: "10.200.0.9/32",
        persistentKeepaliveSecs: 0,
      };
      const refused = await assertRejects(() => first.client.addPeer(peer), Error);
      assertMatch(refused.message, /global overlay not set up/);
    },
  );

  await t.step("a link of that name that is another's fails set-up and stays [overlay T7]", async () => {
    await first.host.must(["ip", "link", "add", name, "type", "bridge"]);
    const before = await first.host.link(name);
    const error = await assertRejects(() => cluster.setUpGlobal(0, V4), Error);
    assertMatch(error.message, new RegExp(`^Kernel link '${name}' already exists`));
    assertEquals((await first.host.link(name))?.ifindex, before?.ifindex);
    await first.host.must(["ip", "link", "delete", name]);
  });

  await t.step(
    "set-up gives a link that is up, though a socket was left over [overlay T6] [overlay T8]",
    async () => {
      await Deno.mkdir(`${first.dataDir}/run/wireguard`, { recursive: true });
      await Deno.writeTextFile(controlSocket(first, name), "left over");
      members = [await cluster.setUpGlobal(0, V4), await cluster.setUpGlobal(1, V4)];
      const link = await first.host.link(name);
      assertEquals([members[0]!.interface, link?.linkinfo.info_kind, link?.mtu], [name, "tun", 1420]);
      assert(link?.flags.includes("UP"));
      assertEquals(await first.host.addresses(name), ["10.200.0.1/16"]);
      assert((await Deno.stat(controlSocket(first, name))).isSocket);
      assertEquals(await cluster.setUpGlobal(0, V4), members[0]);
      assertEquals((await first.host.link(name))?.ifindex, link?.ifindex);
    },
  );

  await t.step(
    "peers ping, and are told to be healthy [overlay T9] [overlay T12] [overlay T24] [overlay T45]",
    async () => {
      const events: OverlayEvent[] = [];
      const unsubscribe = first.client.subscribe((event) => events.push(event));
      await cluster.introduce(members, 4);
      await cluster.everyPair((i, j) => reach(cluster.node(i).host, members[j]!.nodeIp));
      const { peers, publicKey } = await first.status();
      assertEquals([publicKey, peers.map((peer) => peer.publicKey)], [members[0]!.publicKey, [
        members[1]!.publicKey,
      ]]);
      assert(Math.abs(Date.now() / 1000 - peers[0]!.lastHandshakeUnixSecs) < 300);
      const healthy = ({ event, ...about }: OverlayEvent): boolean =>
        event === "peer_health_changed" && "healthy" in about && about.healthy &&
        about.pubkey === members[1]!.publicKey;
      await waitFor("the event", () => events.some(healthy));
      unsubscribe();
    },
  );

  await t.step(
    "peers and allowed IPs change in place [overlay T14] [overlay T15] [overlay T16] [overlay T17] [overlay T18]",
    async () => {
      const { publicKey, nodeIp } = members[1]!;
      const before = (await first.status()).peers;
      await cluster.introduce(members, 4);
      const after = (await first.status()).peers;
      assertEquals(after.map((peer) => peer.allowedIps), before.map((peer) => peer.allowedIps));
      assert(after[0]!.lastHandshakeUnixSecs >= before[0]!.lastHandshakeUnixSecs);
      const own = `${nodeIp}/32`;
      for (const cidr of ["10.210.1.0/24", "10.210.2.0/24", "10.210.1.0/24"]) {
        await first.client.addAllowedIp(publicKey, cidr);
      }
      assertEquals(
        await allowedIps(first, publicKey),
        [own, "10.210.1.0/24", "10.210.2.0/24"].sort().join(","),
      );
      await first.client.removeAllowedIp(publicKey, "10.210.1.0/24");
      assertEquals(await allowedIps(first, publicKey), [own, "10.210.2.0/24"].sort().join(","));
      const stranger = newKeys().public;
      await assertRejects(() => first.client.addAllowedIp(stranger, "10.211.0.0/24"), Error);
      await first.client.removeAllowedIp(stranger, "10.211.0.0/24");
      const both = "10.212.0.0/24,10.213.0.0/24";
      const peer = {
        publicKey: stranger,
        endpoint: "192.0.2.9:1",
        allowedIps: both,
        persistentKeepaliveSecs: 0,
      };
      await first.client.addPeer(peer);
      assertEquals(await allowedIps(first, stranger), both);
      assertEquals((await first.status()).peerCount, 2);
      await first.client.removePeer(stranger);
      await reach(first.host, nodeIp);
    },
  );

  await t.step(
    "keepalive 0 is off, nonsense is refused [overlay T13] [overlay T19] [overlay T21] [overlay T22]",
    async () => {
      const { publicKey, nodeIp } = members[1]!;
      const peer = { publicKey, endpoint: endpoint(1, WG_PORT, 4), allowedIps: `${nodeIp}/32` };
      for (const persistentKeepaliveSecs of [0, KEEPALIVE_SECONDS]) {
        await first.client.addPeer({ ...peer, persistentKeepaliveSecs });
        const lines = await uapiGet(first, name);
        assert(lines.includes(`persistent_keepalive_interval=${persistentKeepaliveSecs}`), lines.join("\n"));
      }
      const bad = [{ endpoint: "no endpoint" }, { allowedIps: "10.0.0.0/8\nallowed_ip=0.0.0.0/0" }];
      for (const part of bad) {
        await assertRejects(
          () => first.client.addPeer({ ...peer, ...part, persistentKeepaliveSecs: 0 }),
          Error,
        );
      }
      const scoped = { ...peer, persistentKeepaliveSecs: 0 };
      const refused = await assertRejects(
        () => first.client.addPeer(scoped, { scope: "service", service: "x" }),
        Error,
      );
      assertMatch(refused.message, /no dedicated overlay for service x/);
      await reach(first.host, nodeIp);
    },
  );

  await t.step("after teardown the link is gone; set-up gives the same again [overlay T10]", async () => {
    await second.client.teardownGlobalOverlay();
    assertEquals(await second.host.link(members[1]!.interface), undefined);
    assertEquals((await second.status()).interface, undefined);
    assertEquals(await cluster.setUpGlobal(1, V4), members[1]);
    await cluster.introduce(members, 4);
    await reach(second.host, members[0]!.nodeIp);
  });

  await t.step("the same with IPv6 inside and outside [overlay T12]", async () => {
    const plan = PLANS[1]!;
    for (const node of cluster.nodes) await node.client.teardownGlobalOverlay();
    members = [await cluster.setUpGlobal(0, plan), await cluster.setUpGlobal(1, plan)];
    await cluster.introduce(members, 6);
    await cluster.everyPair((i, j) => reach(cluster.node(i).host, members[j]!.nodeIp));
    for (const node of cluster.nodes) {
      await node.client.teardownGlobalOverlay();
      assertEquals(await node.ownLinkNames(), []);
    }
  });
});
