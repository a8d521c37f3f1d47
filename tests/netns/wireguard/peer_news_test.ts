/** What a device in user space tells of its peers by itself, and what is left of one that was killed. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import type { DeviceSpec, PeerNews } from "../../../core/backend/backend.ts";
import { LinuxBackend } from "../../../core/backend/linux.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { formatPeerEndpoint } from "../../../core/network/peer_spec.ts";
import { encodeKey, generateKeyPair } from "../../../core/wireguard/keys.ts";
import { BackendNode } from "../../support/backend_node.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { reach } from "../../support/reach.ts";
import { HERE, NamedNetns, needing, testName } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";
import { ITS_PORT, joinUnderlay, OVERLAY, UNDERLAY } from "../../support/two_hosts.ts";

const TAG = "zlayer-overlayd/test/0:device";
const OUR_PORT = 51998;

Deno.test({
  ...needing(
    ["ip", "ping"],
    "a device tells when a handshake is done and when a peer moves, and where it is",
  ),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const [ours, its] = [newKeys(), newKeys()];
    const netns = stack.use(await NamedNetns.create());
    await joinUnderlay(netns);
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    stack.defer(() => Deno.remove(dir, { recursive: true }));
    const other = stack.use(BackendNode.start(netns, dir));

    const backend = await LinuxBackend.open(SILENT_LOG, { wireguard: "userspace" });
    stack.defer(() => backend.close());
    const news: PeerNews[] = [];
    const stop = backend.watchPeers((device, some) => {
      assertEquals(device, spec.name);
      news.push(...some);
    });
    const spec: DeviceSpec = {
      name: testName("d"),
      tag: TAG,
      privateKey: ours.privateKey,
      listenPort: OUR_PORT,
      address: parsePrefix(`${OVERLAY.ours[0]}/24`)!,
      mtuBytes: 1420,
      peers: [{
        publicKey: its.publicKey,
        allowedIps: OVERLAY.its.map((ip) => parsePrefix(ip)!),
        keepaliveSeconds: 0,
      }],
      routes: [],
    };
    await backend.ensureDevice(spec);
    stack.defer(() => backend.removeDevice(spec.name, TAG));
    const device = {
      name: testName("n"),
      tag: TAG,
      privateKey: encodeKey(its.privateKey),
      listenPort: ITS_PORT,
      address: `${OVERLAY.its[0]}/24`,
      mtuBytes: 1420,
      peers: [{
        publicKey: encodeKey(ours.publicKey),
        endpoint: `${UNDERLAY.ours[0]}:${OUR_PORT}`,
        allowedIps: OVERLAY.ours,
      }],
      routes: [],
    };
    await other.ask({ op: "ensure", device });
    await reach(netns, OVERLAY.ours[0]);
    const session = await waitFor("news of the handshake", () => news.find((one) => one.handshake));
    assertEquals([session.handshake, encodeKey(session.publicKey)], ["completed", encodeKey(its.publicKey)]);
    assertEquals(formatPeerEndpoint(session.endpoint!), `${UNDERLAY.its[0]}:${ITS_PORT}`);

    await other.ask({ op: "ensure", device: { ...device, listenPort: ITS_PORT + 1 } });
    await reach(netns, OVERLAY.ours[0]);
    const isMoved = ({ endpoint }: PeerNews): boolean => endpoint?.port === ITS_PORT + 1;
    const moved = await waitFor("news of the move", () => news.find(isMoved));
    assertEquals(formatPeerEndpoint(moved.endpoint!), `${UNDERLAY.its[0]}:${ITS_PORT + 1}`);
    stop();
  },
});

Deno.test({
  ...needing(["ip"], "control sockets that a killed process left go when their devices are gone"),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    stack.defer(() => Deno.remove(dir, { recursive: true }));
    const left = async (name: string): Promise<string> => {
      const path = join(dir, `${name}.sock`);
      const listener = Deno.listen({ transport: "unix", path: `${path}.tmp` });
      await Deno.rename(`${path}.tmp`, path);
      listener.close();
      return path;
    };
    const present = (): string[] => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
    const name = `zl-${testName()}`.slice(0, 15);
    await HERE.must(["ip", "tuntap", "add", name, "mode", "tun"]);
    await HERE.must(["ip", "link", "set", name, "alias", TAG]);
    for (const one of [name, "zl-gone-g", "wg0"]) await left(one);
    const backend = await LinuxBackend.open(SILENT_LOG, { wireguard: "userspace", uapiDir: dir });
    stack.defer(() => backend.close());
    assertEquals(present(), ["wg0.sock", `${name}.sock`]);
    await backend.removeDevice(name, TAG);
    assertEquals(present(), ["wg0.sock"]);
  },
});

function newKeys(): ReturnType<typeof generateKeyPair> {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}
