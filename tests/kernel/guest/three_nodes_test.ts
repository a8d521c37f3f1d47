/**
 * Three nodes on the kernel's WireGuard: each its own host namespace, daemon, data directory and socket.
 *
 * Runs in the guest of the kernel rig, where a processor is emulated and a daemon takes seconds to start. So the
 * daemons are started once, and steps build on each other.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { globalDeviceName } from "../../../core/network/interface_name.ts";
import {
  Cluster,
  endpoint,
  KEEPALIVE_SECONDS,
  type Member,
  type OverlayPlan,
  WG_PORT,
} from "../../support/cluster.ts";
import { GuestMachine } from "../../support/guest_machine.ts";
import { IperfFlow } from "../../support/iperf_flow.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { auditNode } from "../../support/node_audit.ts";
import { reach, reachAll, startContainers } from "../../support/reach.ts";
import { waitFor } from "../../support/wait_for.ts";
import {
  assertStatusAgrees,
  type ShownDevice,
  type ShownPeer,
  shownPeer,
  wgShow,
} from "../../support/wg_show.ts";

const NODES = 3;
const FIRST_DEDICATED_PORT = 51421;

const V4: OverlayPlan = {
  deployment: "prod",
  clusterCidr: "10.200.0.0/16",
  slices: ["10.200.0.0/28", "10.200.0.16/28", "10.200.0.32/28"],
  family: 4,
};

Deno.test("three nodes on kernel WireGuard", async (t) => {
  await using _audit = await LeakAudit.begin();
  await using cluster = await Cluster.start(NODES);
  await using stack = new AsyncDisposableStack();
  const { nodes } = cluster;
  const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
  const web = await startContainers(NODES, stack);
  const db = await startContainers(NODES, stack);
  const audit = async (): Promise<void> => {
    for (const [i, node] of nodes.entries()) {
      assertEquals(await auditNode(node, [web[i]!, db[i]!]), [], `node ${i + 1}`);
    }
  };
  let members: Member[] = [];
  let webIps: string[] = [];
  let dbIps: string[] = [];

  await t.step(
    "a link of the device's name that is another's fails set-up and stays [overlay T7]",
    async () => {
      const name = globalDeviceName({ deployment: V4.deployment, instanceId: "i1" });
      await first.host.must(["ip", "link", "add", name, "type", "bridge"]);
      const before = await first.host.link(name);
      const error = await assertRejects(() => cluster.setUpGlobal(0, V4), Error);
      assertMatch(error.message, new RegExp(`^Kernel link '${name}' already exists`));
      assertEquals((await first.host.link(name))?.ifindex, before?.ifindex);
      assertEquals((await first.status()).publicKey, undefined);
      await first.host.must(["ip", "link", "delete", name]);
    },
  );

  await t.step("a left-over UAPI socket of the device's name does not fail set-up [overlay T8]", async () => {
    const name = globalDeviceName({ deployment: V4.deployment, instanceId: "i1" });
    await leaveSocket(`${first.dataDir}/run/wireguard`, `${name}.sock`);
    assertEquals((await cluster.setUpGlobal(0, V4)).interface, name);
  });

  await t.step("set-up gives a link that is up, MTU 1420, with the node's address [overlay T6]", async () => {
    members = await Promise.all(nodes.map((_, i) => cluster.setUpGlobal(i, V4)));
    assertEquals(members.map(({ nodeIp }) => nodeIp), ["10.200.0.1", "10.200.0.17", "10.200.0.33"]);
    for (const [i, { host }] of nodes.entries()) {
      const { interface: name, nodeIp } = members[i]!;
      const link = await host.link(name);
      assertEquals([link?.linkinfo.info_kind, link?.mtu, link?.flags.includes("UP")], [
        "wireguard",
        1420,
        true,
      ]);
      assertEquals(await host.addresses(name), [`${nodeIp}/16`]);
    }
  });

  await t.step("set-up again changes nothing: same name, key, link [overlay T9]", async () => {
    const before = await first.host.link(members[0]!.interface);
    assertEquals(await cluster.setUpGlobal(0, V4), members[0]);
    assertEquals((await first.host.link(members[0]!.interface))?.ifindex, before?.ifindex);
  });

  await t.step("nodes that are each other's peers ping over IPv4 [overlay T12]", async () => {
    await cluster.introduce(members, 4);
    await cluster.everyPair((i, j) => reach(cluster.node(i).host, members[j]!.nodeIp));
  });

  await t.step("status has keys in base64 and handshakes in Unix time [overlay T24]", async () => {
    const { peers, publicKey, peerCount } = await first.status();
    assertEquals([publicKey, peerCount], [members[0]!.publicKey, NODES - 1]);
    const keys = [members[1]!.publicKey, members[2]!.publicKey].sort();
    assertEquals(peers.map((peer) => peer.publicKey).sort(), keys);
    for (const { lastHandshakeUnixSecs } of peers) {
      const age = Date.now() / 1000 - lastHandshakeUnixSecs;
      assert(age > -2 && age < 300, `handshake ${age} s ago`);
    }
  });

  await t.step("the same add_peer twice keeps the session [overlay T15]", async () => {
    const { interface: device } = members[0]!;
    const { publicKey, nodeIp } = members[1]!;
    const { latestHandshake: handshake, ...before } = await shownPeer(first, device, publicKey);
    await cluster.introduce(members, 4);
    const { latestHandshake, ...after } = await shownPeer(first, device, publicKey);
    assertEquals(after, before);
    assert(handshake > 0 && latestHandshake >= handshake, "the session was lost");
    await reach(first.host, nodeIp);
  });

  await t.step("allowed IPs are added once and taken away alone [overlay T16] [overlay T18]", async () => {
    const { interface: device } = members[0]!;
    const { publicKey, nodeIp } = members[1]!;
    const allowed = async (): Promise<readonly string[]> =>
      (await shownPeer(first, device, publicKey)).allowedIps;
    const own = `${nodeIp}/32`;
    await first.client.addAllowedIp(publicKey, "10.210.1.0/24");
    await first.client.addAllowedIp(publicKey, "10.210.2.0/24");
    await first.client.addAllowedIp(publicKey, "10.210.1.0/24");
    assertEquals(await allowed(), [own, "10.210.1.0/24", "10.210.2.0/24"].sort());
    const [route] = await first.host.ip("route", "show", "10.210.1.0/24");
    assertEquals(route?.dev, device, "the kernel does not send there what WireGuard would take");
    await first.client.removeAllowedIp(publicKey, "10.210.1.0/24");
    assertEquals(await allowed(), [own, "10.210.2.0/24"].sort());
    await first.client.removeAllowedIp(publicKey, "10.210.2.0/24");
    assertEquals(await first.host.ip("route", "show", "10.210.0.0/16"), []);
    await reach(first.host, nodeIp);
  });

  await t.step("keepalive 0 is off [overlay T21]", async () => {
    const { interface: device, publicKey } = members[1]!;
    const peer = {
      publicKey: members[2]!.publicKey,
      endpoint: endpoint(2, WG_PORT, 4),
      allowedIps: "10.200.0.33/32",
    };
    await second.client.addPeer({ ...peer, persistentKeepaliveSecs: 0 });
    assertEquals((await shownPeer(second, device, peer.publicKey)).keepalive, 0);
    await second.client.addPeer({ ...peer, persistentKeepaliveSecs: KEEPALIVE_SECONDS });
    assertEquals((await shownPeer(second, device, peer.publicKey)).keepalive, KEEPALIVE_SECONDS);
    assert(publicKey !== peer.publicKey);
  });

  await t.step("containers of a shared service ping across nodes", async () => {
    // They send by eth1, with an address of their node's slice.
    await cluster.everyPair((i, j) =>
      cluster.node(i).client.addAllowedIp(members[j]!.publicKey, V4.slices[j]!)
    );
    await cluster.setUpShared("web", members);
    webIps = await Promise.all(nodes.map((node, i) => node.attach(web[i]!, "web", { joinGlobal: true })));
    await reachAll(web, webIps);
  });

  await t.step("containers that joined the global overlay ping each other's eth1", async () => {
    const globalIps = await Promise.all(web.map(async (container) => {
      const [address] = await container.addresses("eth1");
      return address!.split("/")[0]!;
    }));
    await reachAll(web, globalIps);
  });

  await t.step(
    "containers of a dedicated service ping across nodes; port and key are its own [overlay T41] [overlay T43]",
    async () => {
      const replies = await cluster.setUpDedicated("db", 4);
      for (const [i, { wgPort, wgPublicKey }] of replies.entries()) {
        assertEquals(wgPort, FIRST_DEDICATED_PORT);
        assert(wgPort !== WG_PORT && wgPublicKey !== members[i]!.publicKey);
      }
      dbIps = await Promise.all(nodes.map((node, i) => node.attach(db[i]!, "db")));
      await reachAll(db, dbIps);
    },
  );

  await t.step(
    "a VM guest that runs WireGuard by the configuration it is given reaches containers of all nodes",
    async () => {
      await using vm = await GuestMachine.start(cluster);
      await vm.join(
        await first.client.attachContainer({ handle: vm.handle, service: "web", joinGlobal: true }),
      );
      for (const ip of webIps) await reach(vm.host, ip);
      await assertStatusAgrees(first);
      await first.client.detachContainer(vm.handle);
      assert(!await vm.host.ping(webIps[0]!), "it still gets in after it was detached");
    },
  );

  await t.step("a device deleted by hand is back with its peers, and the tunnels work", async () => {
    const { interface: device } = members[0]!;
    const before = (await wgShow(first.host)).find(({ interface: name }) => name === device);
    await first.host.must(["ip", "link", "delete", device]);
    await waitFor("the device", () => first.host.link(device));
    await reach(web[0]!, webIps[1]!);
    await reach(web[2]!, webIps[0]!);
    const after = (await wgShow(first.host)).find(({ interface: name }) => name === device);
    assertEquals([after?.publicKey, after?.listenPort], [before?.publicKey, before?.listenPort]);
    assertEquals(after?.peers.map(wanted), before?.peers.map(wanted));
  });

  await t.step("the lowest free port of the band is used [overlay T41]", async () => {
    const setUp = async (service: string): Promise<number | undefined> =>
      (await third.client.setupServiceOverlay(service, "dedicated")).dedicated?.wgPort;
    assertEquals([await setUp("a"), await setUp("b")], [FIRST_DEDICATED_PORT + 1, FIRST_DEDICATED_PORT + 2]);
    await third.client.teardownServiceOverlay("a");
    assertEquals(await setUp("c"), FIRST_DEDICATED_PORT + 1);
    await third.client.teardownServiceOverlay("b");
    await third.client.teardownServiceOverlay("c");
  });

  await t.step("wg show agrees with status, and the audit finds nothing wrong", async () => {
    for (const node of nodes) await assertStatusAgrees(node);
    await audit();
  });

  await t.step(
    "kill -9 of a daemon during an iperf3 run across nodes: the flow goes on, all is adopted",
    async () => {
      const before = await wgShow(first.host);
      const links = (await first.ownLinks()).map(({ ifname, ifindex }) => [ifname, ifindex]);
      await using flow = await IperfFlow.start(web[0]!, web[1]!, webIps[1]!);
      await first.end("SIGKILL");
      await flow.busySeconds(2);
      await first.boot();
      await flow.busySeconds(2);
      assertEquals((await first.ownLinks()).map(({ ifname, ifindex }) => [ifname, ifindex]), links);
      assertEquals((await wgShow(first.host)).map(sessions), before.map(sessions));
      await assertStatusAgrees(first);
      assertEquals(await auditNode(first, [web[0]!, db[0]!]), []);
    },
  );

  await t.step(
    "kill -9, then a daemon without its database: port and key come from the marker [daemon 31] [overlay T42]",
    async () => {
      const before = (await third.status()).dedicatedServices[0]!;
      await third.end("SIGKILL");
      for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(`${third.dataDir}/overlayd.db${suffix}`);
      await third.boot();
      await third.client.setLocalNodeId(3n);
      members[2] = await cluster.setUpGlobal(2, V4);
      const { dedicated } = await third.client.setupServiceOverlay("db", "dedicated");
      assertEquals([dedicated?.wgPort, dedicated?.wgPublicKey], [before.listenPort, before.publicKey]);
    },
  );

  await t.step(
    "after teardown the link is gone; set-up gives the same name again [overlay T10]",
    async () => {
      const { interface: name, publicKey } = members[1]!;
      await second.client.teardownGlobalOverlay();
      assertEquals(await second.host.link(name), undefined);
      const { interface: shown, publicKey: shownKey } = await second.status();
      assertEquals([shown, shownKey], [undefined, undefined]);
      assertEquals(await cluster.setUpGlobal(1, V4), { ...members[1]!, interface: name, publicKey });
      await reach(second.host, members[0]!.nodeIp);
    },
  );

  await t.step("everything is taken down again", async () => {
    await cluster.everyPair((i, j) => cluster.node(i).client.removePeer(members[j]!.publicKey));
    for (const node of nodes) {
      for (const service of ["web", "db"]) await node.client.teardownServiceOverlay(service);
      await node.client.teardownGlobalOverlay();
      assertEquals(await node.ownLinkNames(), []);
    }
    await audit();
  });
});

/** What is asked of a peer, whatever happens. */
function wanted({ publicKey, endpoint, allowedIps, keepalive }: ShownPeer): unknown {
  return [publicKey, endpoint, allowedIps, keepalive];
}

/** What a device has to keep over a restart of the daemon. A session may be renewed meanwhile, not lost. */
function sessions({ interface: name, publicKey, listenPort, peers }: ShownDevice): unknown {
  const kept = peers.map((
    peer,
  ) => [peer.publicKey, peer.endpoint, peer.allowedIps, peer.latestHandshake > 0]);
  return [name, publicKey, listenPort, kept];
}

/** Leaves a socket in the file system that nobody listens on, as a process that was killed does. */
async function leaveSocket(dir: string, name: string): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  const listener = Deno.listen({ transport: "unix", path: `${dir}/zt.sock` });
  await Deno.rename(`${dir}/zt.sock`, `${dir}/${name}`);
  listener.close();
}
