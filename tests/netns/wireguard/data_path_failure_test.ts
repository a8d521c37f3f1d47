/** Data paths in user space that end by an error: what is left of them, who is told, and how they come back. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { DeviceSpec } from "../../../core/backend/backend.ts";
import { LinuxBackend } from "../../../core/backend/linux.ts";
import { NotFoundError, OverlayError } from "../../../core/errors.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { type Log, SILENT_LOG } from "../../../core/log.ts";
import { planRepair } from "../../../core/network/reconcile.ts";
import { LinuxTunnel } from "../../../core/transport/wireguard/linux_tunnel.ts";
import { UserspaceDevice } from "../../../core/transport/wireguard/userspace_device.ts";
import { generateKeyPair } from "../../../core/wireguard/keys.ts";
import { LinuxTun } from "../../../ffi/linux_tun.ts";
import type { WireGuardPeer } from "../../../ffi/netlink/wireguard.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { HERE, needing, testName } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";

const TAG = "zlayer-overlayd/test/0:device";

function newKeys(): ReturnType<typeof generateKeyPair> {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

/** Descriptors of this process; on request only those of netlink sockets. */
async function countDescriptors(options: { readonly netlink?: boolean } = {}): Promise<number> {
  const inodes = (await Deno.readTextFile("/proc/self/net/netlink")).matchAll(/([0-9]+)\s*$/gm);
  const netlink = new Set([...inodes].map(([, inode]) => `socket:[${inode}]`));
  const targets = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return "";
    }
  });
  return targets.filter((target) => options.netlink !== true || netlink.has(target)).length;
}

/** A peer to whose endpoint no socket address can be made: what is sent there ends the thread that sends. */
function badPeer(): WireGuardPeer {
  const endpoint = { address: new Uint8Array(16).fill(1), port: 9, scopeId: 1n as unknown as number };
  return { publicKey: newKeys().publicKey, endpoint };
}

/** Workers that, once they are to fail, get the poison from whoever asks them anything. */
class Poisoner implements Disposable {
  isOn = false;
  readonly #original = globalThis.Worker;

  constructor() {
    const isOn = (): boolean => this.isOn;
    globalThis.Worker = class extends Worker {
      override postMessage(message: { readonly kind: string }): void {
        const bad = message.kind === "configure" ? { change: { peers: [badPeer()] } } : { kind: "greet" };
        super.postMessage(isOn() ? { ...message, ...bad } : message);
      }
    };
  }

  [Symbol.dispose](): void {
    globalThis.Worker = this.#original;
  }
}

Deno.test({
  ...needing(["ip"], "a data path that ends by an error says so and closes all that it had opened"),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    const before = await countDescriptors({ netlink: true });
    const device = await UserspaceDevice.start(new LinuxTunnel(LinuxTun.open(testName("g"))));
    const { promise, resolve } = Promise.withResolvers<Error>();
    device.onFailure = resolve;
    await device.write({ privateKey: newKeys().privateKey, listenPort: 0, peers: [badPeer()] });
    await device.greet();
    assertMatch((await promise).message, /data path of zt.* has failed/);
    assertEquals([device.hasFailed, device.isAlive], [true, false]);
    await assertRejects(() => device.read(), OverlayError);
    await device[Symbol.asyncDispose]();
    await waitFor("its sockets are closed", async () => await countDescriptors({ netlink: true }) <= before);
  },
});

Deno.test({
  ...needing(["ip"], "a device tells its secret keys to those alone who read it to change it"),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    await using device = await UserspaceDevice.start(new LinuxTunnel(LinuxTun.open(testName("g"))));
    const [{ privateKey }, { publicKey }] = [newKeys(), newKeys()];
    const presharedKey = new Uint8Array(32).fill(7);
    await device.write({ privateKey, listenPort: 0, peers: [{ publicKey, presharedKey }] });
    const whole = await device.read();
    assertEquals([whole.privateKey, whole.peers?.[0]?.presharedKey], [privateKey, presharedKey]);
    const told = (await device.report()).device;
    assertEquals([told.privateKey, told.peers?.[0]?.presharedKey], [undefined, undefined]);
    assertEquals([told.publicKey, told.peers?.[0]?.publicKey], [whole.publicKey, publicKey]);
  },
});

Deno.test({
  ...needing(["ip"], "a data path that cannot begin leaves nothing open"),
  async fn(): Promise<void> {
    // Standard input is no TUN device.
    const tun = { fd: 0, name: "none", [Symbol.dispose]: () => {} } as unknown as LinuxTun;
    const fail = (): Promise<unknown> =>
      assertRejects(() => UserspaceDevice.start(new LinuxTunnel(tun)), OverlayError);
    // What a process opens with its first worker and keeps.
    await fail();
    const before = await countDescriptors();
    for (let i = 0; i < 5; i++) await fail();
    await waitFor("their descriptors are closed", async () => await countDescriptors() <= before);
  },
});

Deno.test({
  ...needing(
    ["ip"],
    "a device whose data path has failed is told in log and inventory, and repaired as such",
  ),
  async fn(): Promise<void> {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const errors: string[] = [];
    const log: Log = { ...SILENT_LOG, error: (text) => errors.push(text) };
    const backend = await LinuxBackend.open(log, { wireguard: "userspace" });
    stack.defer(() => backend.close());
    const address = parsePrefix("10.91.7.1/24")!;
    const spec: DeviceSpec = {
      name: testName("d"),
      tag: TAG,
      privateKey: newKeys().privateKey,
      listenPort: 51997,
      address,
      mtuBytes: 1420,
      peers: [],
      routes: [],
    };
    const plan = async (): Promise<string[]> => {
      const { name, tag, mtuBytes } = spec;
      const desired = {
        isOurs: () => false,
        devices: [{ service: "", name, tag, address, mtuBytes, routes: [] }],
        networks: [],
        attachments: [],
        busy: new Set<string>(),
      };
      return planRepair(desired, await backend.inventory())
        .map((action) => "why" in action ? `${action.kind} ${action.why}` : action.kind);
    };
    using poisoner = new Poisoner();
    await backend.ensureDevice(spec);
    stack.defer(() => backend.removeDevice(spec.name, TAG));
    assertEquals(await plan(), []);
    const link = await HERE.must(["ip", "-o", "link", "show", spec.name]);
    poisoner.isOn = true;
    await backend.changeDevice(spec.name, { set: [], remove: [], addRoutes: [], removeRoutes: [] });
    await assertRejects(() => backend.readDevice(spec.name));
    await waitFor("the failure is told", () => errors.length > 0);
    assertEquals(errors, ["user-space WireGuard device has failed"]);
    poisoner.isOn = false;
    await assertRejects(() => backend.readDevice(spec.name), NotFoundError);
    assertEquals(await plan(), ["device has lost its data path"]);
    await backend.ensureDevice(spec);
    assertEquals(await plan(), []);
    assertEquals((await backend.readDevice(spec.name)).kind, "userspace");
    const after = await HERE.must(["ip", "-o", "link", "show", spec.name]);
    assertEquals(after.split(":")[0], link.split(":")[0], "it is the same link");
  },
});
