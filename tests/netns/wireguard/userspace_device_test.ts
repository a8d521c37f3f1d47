/** Devices in user space, whole: our backend with TUN, sockets and worker, against itself. */
import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { DeviceChange, DevicePeer, DeviceSpec } from "../../../core/backend/backend.ts";
import { LinuxBackend } from "../../../core/backend/linux.ts";
import { parseIp } from "../../../core/ip/address.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { encodeKey, generateKeyPair, type KeyPair } from "../../../core/wireguard/keys.ts";
import { TcpFlow } from "../../../scripts/support/tcp_flow.ts";
import { BackendNode, type NodeDevice } from "../../support/backend_node.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { reach } from "../../support/reach.ts";
import { RunningPing } from "../../support/running_ping.ts";
import { HERE, NamedNetns, needing, testName } from "../../support/test_netns.ts";
import { ITS_PORT, joinUnderlay, OVERLAY, UNDERLAY } from "../../support/two_hosts.ts";
import { waitFor } from "../../support/wait_for.ts";

const UAPI_DIR = "/var/run/wireguard";
const TAG = "zlayer-overlayd/test/0:device";
const OUR_PORT = 51999;

/** One end in this namespace, by a backend of this process. */
class OurEnd implements AsyncDisposable {
  readonly link = testName("d");
  readonly spec: DeviceSpec;

  private constructor(readonly backend: LinuxBackend, keys: KeyPair, peer: DevicePeer) {
    this.spec = {
      name: this.link,
      tag: TAG,
      privateKey: keys.privateKey,
      listenPort: OUR_PORT,
      address: parsePrefix(`${OVERLAY.ours[0]}/24`)!,
      mtuBytes: 1420,
      peers: [peer],
      routes: [],
    };
  }

  static async start(keys: KeyPair, peer: DevicePeer): Promise<OurEnd> {
    const backend = await LinuxBackend.open(SILENT_LOG, { wireguard: "userspace", uapiDir: UAPI_DIR });
    const end = new OurEnd(backend, keys, peer);
    await backend.ensureDevice(end.spec);
    await HERE.must(["ip", "address", "add", `${OVERLAY.ours[1]}/64`, "dev", end.link, "nodad"]);
    return end;
  }

  get change(): DeviceChange {
    return { set: this.spec.peers, remove: [], addRoutes: [], removeRoutes: [] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.removeDevice(this.link, TAG);
    this.backend.close();
  }
}

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

function itsPeer(keys: KeyPair): DevicePeer {
  return {
    publicKey: keys.publicKey,
    endpoint: { ip: parseIp(UNDERLAY.its[0])!, port: ITS_PORT },
    allowedIps: OVERLAY.its.map((ip) => parsePrefix(ip)!),
    keepaliveSeconds: 0,
  };
}

/** The other end as one of ours, in a namespace and process of its own. */
async function startNode(
  stack: AsyncDisposableStack,
  keys: KeyPair,
  ours: KeyPair,
): Promise<
  { readonly netns: NamedNetns; readonly device: NodeDevice; node: BackendNode; readonly dir: string }
> {
  const netns = stack.use(await NamedNetns.create());
  await joinUnderlay(netns);
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const device: NodeDevice = {
    name: testName("n"),
    tag: TAG,
    privateKey: encodeKey(keys.privateKey),
    listenPort: ITS_PORT,
    address: `${OVERLAY.its[0]}/24`,
    mtuBytes: 1420,
    peers: [{ publicKey: encodeKey(ours.publicKey), allowedIps: OVERLAY.ours }],
    routes: [],
  };
  const node = stack.use(BackendNode.start(netns, dir));
  await node.ask({ op: "ensure", device });
  await netns.must(["ip", "address", "add", `${OVERLAY.its[1]}/64`, "dev", device.name, "nodad"]);
  return { netns, device, node, dir };
}

function liveTest(name: string, programs: readonly string[], run: () => Promise<void>): void {
  Deno.test({
    ...needing(["ip", "ping", ...programs], name),
    fn: async () => {
      await using _audit = await LeakAudit.begin();
      await run();
    },
  });
}

liveTest(
  "a peer added again and given more allowed IPs under traffic loses no packet [overlay T15] [overlay T16]",
  [],
  async () => {
    await using stack = new AsyncDisposableStack();
    const [ours, its] = [newKeys(), newKeys()];
    await startNode(stack, its, ours);
    await using end = await OurEnd.start(ours, itsPeer(its));
    await reach(HERE, OVERLAY.its[0]);
    await using ping = await RunningPing.start(HERE, OVERLAY.its[0]);
    let done = false;
    const answered = ping.answeredMore(100).finally(() => done = true);
    let changes = 0;
    for (; !done || changes <= 20; changes++) {
      const extra = parsePrefix(`10.77.${changes % 200}.0/24`)!;
      const [peer] = end.spec.peers;
      await end.backend.changeDevice(end.link, {
        ...end.change,
        set: [{ ...peer!, allowedIps: changes % 2 === 0 ? peer!.allowedIps : [...peer!.allowedIps, extra] }],
      });
    }
    await answered;
    await ping.answeredMore(5);
    assertEquals(ping.loss.lost, 0, `lost of ${ping.loss.sent} during ${changes} changes`);
    assertEquals((await end.backend.readDevice(end.link)).peers.length, 1);
  },
);

liveTest(
  "a process killed and started again keeps link and routes, and TCP goes on",
  [],
  async () => {
    await using stack = new AsyncDisposableStack();
    const [ours, its] = [newKeys(), newKeys()];
    const { netns, device, node, dir } = await startNode(stack, its, ours);
    await using _end = await OurEnd.start(ours, itsPeer(its));
    await reach(HERE, OVERLAY.its[0]);
    const before = await netns.link(device.name);
    await using flow = await TcpFlow.start(HERE, netns, {
      address: OVERLAY.its[0],
      bytesPerSecond: 4_000_000,
    });
    await flow.receivedMore(1_000_000);
    await node.kill();
    assertEquals((await netns.link(device.name))!.ifindex, before!.ifindex, "the link stays");
    assertEquals((await netns.addresses(device.name)).length, 2, "addresses stay");
    const again = stack.use(BackendNode.start(netns, dir));
    // It knows where the other end is and shakes hands at once; otherwise the other end would, after 15 s.
    const peers = device.peers.map((peer) => ({ ...peer, endpoint: `${UNDERLAY.ours[0]}:${OUR_PORT}` }));
    await again.ask({ op: "ensure", device: { ...device, peers } });
    await flow.receivedMore(1_000_000);
    const { sentBytes, receivedBytes, isIntact } = await flow.finish();
    assertEquals([receivedBytes, isIntact], [sentBytes, true]);
  },
);

liveTest(
  "wg shows and sets a device by its control socket, which replaces one left over [overlay T6] [overlay T8]",
  ["wg"],
  async () => {
    await Deno.mkdir(UAPI_DIR, { recursive: true });
    const [ours, its] = [newKeys(), newKeys()];
    await using end = await OurEnd.start(ours, itsPeer(its));
    const path = `${UAPI_DIR}/${end.link}.sock`;
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    const show = async (what: string): Promise<string> =>
      (await HERE.must(["wg", "show", end.link, what])).trim();
    assertEquals(await show("public-key"), encodeKey(ours.publicKey));
    assertEquals(await show("listen-port"), String(OUR_PORT));
    assertEquals(await show("endpoints"), `${encodeKey(its.publicKey)}\t${UNDERLAY.its[0]}:${ITS_PORT}`);
    const other = encodeKey(newKeys().publicKey);
    const set = ["peer", other, "allowed-ips", "10.9.9.0/24,fd99:9::/64", "endpoint", "[fd99::7]:7"];
    await HERE.must(["wg", "set", end.link, "fwmark", "0x10", ...set, "persistent-keepalive", "25"]);
    assertMatch(
      await show("allowed-ips"),
      new RegExp(`${other.replaceAll(/[+/]/g, ".")}\\s10.9.9.0/24 fd99:9::/64`),
    );
    assertMatch(await show("persistent-keepalive"), /\t25/);
    assertEquals(await show("fwmark"), "0x10");
    await HERE.must(["wg", "set", end.link, "peer", other, "remove"]);
    assertEquals((await show("peers")).split("\n"), [encodeKey(its.publicKey)]);
    await HERE.must(["wg", "set", end.link, "listen-port", "0"]);
    assertNotEquals(await show("listen-port"), String(OUR_PORT));
    await end.backend.removeDevice(end.link, TAG);
    assertEquals(await Deno.stat(path).catch(() => "gone"), "gone");
    await Deno.writeTextFile(path, "left over");
    await end.backend.ensureDevice(end.spec);
    assertEquals(await show("listen-port"), String(OUR_PORT));
  },
);

liveTest("a device whose link was deleted by hand is made anew", [], async () => {
  const [ours, its] = [newKeys(), newKeys()];
  await using end = await OurEnd.start(ours, itsPeer(its));
  await HERE.must(["ip", "link", "del", end.link]);
  await waitFor("the device is gone", () => end.backend.readDevice(end.link).then(() => false, () => true));
  await end.backend.ensureDevice(end.spec);
  assertEquals((await HERE.link(end.link))!.ifalias, TAG);
});
