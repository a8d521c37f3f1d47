/** Interruptions, left-overs and crowds: what the Linux backend does when things go wrong around it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ContainerLinkSpec, ServiceNetworkSpec } from "../../../core/backend/backend.ts";
import { LinuxBackend } from "../../../core/backend/linux.ts";
import { attachContainer } from "../../../core/backend/linux/attachment.ts";
import { LinkRemover } from "../../../core/backend/linux/link_remover.ts";
import { NEWBORN_GROUP } from "../../../core/backend/linux/ownership.ts";
import { NotFoundError, OverlayError } from "../../../core/errors.ts";
import { RtNetlink } from "../../../core/backend/linux/rtnetlink.ts";
import { HostSysctls } from "../../../core/backend/linux/sysctl.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { NetlinkConnection } from "../../../ffi/netlink.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import { type NetlinkSocket, openNetlinkSocket, type Received } from "../../../ffi/netlink_socket.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { Container, HERE, type IpObject } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";

const TAG = "zlayer-overlayd/failure/0123456789abcdef:";
const BRIDGE: ServiceNetworkSpec = {
  name: "ztbr0",
  tag: `${TAG}service`,
  gateway: parsePrefix("10.213.0.1/16")!,
  mtuBytes: 1420,
};

function link(hostName: string, number = 2): ContainerLinkSpec {
  return {
    hostName,
    tag: `${TAG}${hostName}`,
    containerName: "eth0",
    mac: Uint8Array.of(2, 0, 0, 0, number >> 8, number & 0xff),
    address: parsePrefix(`10.213.${number >> 8}.${number & 0xff}/16`)!,
    mtuBytes: 1420,
    uplink: { kind: "bridge", bridge: BRIDGE.name, gateway: BRIDGE.gateway.address },
  };
}

async function withBridge(body: (backend: LinuxBackend) => Promise<void>): Promise<void> {
  await using _audit = await LeakAudit.begin();
  const backend = await LinuxBackend.open(SILENT_LOG);
  try {
    await backend.ensureServiceNetwork(BRIDGE);
    await body(backend);
  } finally {
    await backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
    backend.close();
  }
}

/** The kernel's socket, for others to meddle with. */
class RealSocket implements NetlinkSocket {
  readonly #socket = openNetlinkSocket(nl.NETLINK_ROUTE);

  send(datagram: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(datagram);
  }

  sendInBackground(datagram: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#socket.sendInBackground(datagram);
  }

  waitReadable(): Promise<boolean> {
    return this.#socket.waitReadable();
  }

  receive(): Received {
    return this.#socket.receive();
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** Counts what goes out in the background: deletions alone do. */
class DeletionCount extends RealSocket {
  deletions = 0;

  override sendInBackground(datagram: Uint8Array<ArrayBuffer>): Promise<void> {
    this.deletions++;
    return super.sendInBackground(datagram);
  }
}

Deno.test("100 concurrent detaches are one deletion", async () => {
  await withBridge(async (backend) => {
    const containers = await Promise.all(Array.from({ length: 100 }, () => Container.start()));
    const links = containers.map((_, i) => link(`ztv${i}`, 2 + i));
    try {
      await Promise.all(containers.map(async (container, i) => {
        const netns = await backend.identify(container.pid);
        await backend.attachContainer({ netns, links: [links[i]!] });
      }));
      assertEquals((await ports()).length, 100);
      const [{ num_tx_queues: tx, num_rx_queues: rx }] = await HERE.ip("link", "show", "ztv0") as [IpObject];
      assertEquals([tx, rx], [1, 1], "not one for each processor");
      // One at a time they take about 20 ms each.
      const socket = new DeletionCount();
      using remover = new LinkRemover(new RtNetlink(new NetlinkConnection(socket)));
      await Promise.all(links.map(({ hostName, tag }) => remover.remove([{ name: hostName, tag }])));
      assertEquals([await ports(), socket.deletions], [[], 1]);
    } finally {
      await Promise.all(containers.map((container) => container.kill()));
    }
  });
});

async function ports(): Promise<string[]> {
  return (await HERE.links()).filter(({ master }) => master === BRIDGE.name).map(({ ifname }) => ifname);
}

Deno.test("deleting many leaves links in other groups, and without tag, alone", async () => {
  await withBridge(async (backend) => {
    await HERE.must(["ip", "link", "add", "ztother", "group", "7", "type", "bridge"]);
    await HERE.must(["ip", "link", "add", "ztplain", "type", "bridge"]);
    for (const name of ["zt1", "zt2", "zt3"]) {
      await HERE.must(["ip", "link", "add", name, "type", "bridge"]);
      await HERE.must(["ip", "link", "set", name, "alias", `${TAG}${name}`]);
    }
    await backend.removeContainerLinks(
      ["zt1", "zt2", "zt3", "ztother", "ztplain"].map((name) => ({ hostName: name, tag: `${TAG}${name}` })),
    );
    const left = (await HERE.links()).map(({ ifname }) => ifname).filter((name) => name.startsWith("zt"));
    assertEquals(left.sort(), ["ztbr0", "ztother", "ztplain"]);
    for (const name of ["ztother", "ztplain"]) await HERE.must(["ip", "link", "del", name]);
  });
});

Deno.test("a link left half-made by a crash is removed as ours, and does not stand in the way", async () => {
  await withBridge(async (backend) => {
    const leave = (name: string): Promise<string> =>
      HERE.must([
        "ip",
        "link",
        "add",
        name,
        "group",
        String(NEWBORN_GROUP),
        "type",
        "veth",
        "peer",
        `${name}p`,
      ]);
    await leave("zta");
    await backend.removeContainerLinks([link("zta")]);
    assertEquals(await HERE.link("zta"), undefined);
    await leave("zta");
    await using container = await Container.start();
    const netns = await backend.identify(container.pid);
    await backend.attachContainer({ netns, links: [link("zta")] });
    assertEquals((await HERE.link("zta"))?.ifalias, `${TAG}zta`);
    await backend.removeContainerLinks([link("zta")]);
  });
});

Deno.test("an attach that was interrupted is done again from the start", async () => {
  await withBridge(async (backend) => {
    await using container = await Container.start();
    const netns = await backend.identify(container.pid);
    await backend.attachContainer({ netns, links: [link("zta")] });
    await backend.attachContainer({ netns, links: [link("zta")] });
    assertEquals(await container.addresses("eth0"), ["10.213.0.2/16"]);
    await backend.removeContainerLinks([link("zta")]);
  });
});

Deno.test("a container killed while it is attached leaves nothing", async () => {
  await withBridge(async (backend) => {
    for (let round = 0; round < 10; round++) {
      const container = await Container.start();
      const netns = await backend.identify(container.pid);
      const attaching = backend.attachContainer({ netns, links: [link("zta")] });
      const killing = container.kill();
      const failed = await attaching.then(() => undefined, (error) => error);
      await killing;
      assert(failed === undefined || failed instanceof NotFoundError, `${failed}`);
      await waitFor("the link is gone with its container", async () => !await HERE.link("zta"));
    }
  });
});

Deno.test("a failure inside the container undoes what the host has", async () => {
  await withBridge(async (backend) => {
    await using container = await Container.start();
    // An address without its family: IPv6 is switched off in this container.
    await container.must(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    const netns = await backend.identify(container.pid);
    const broken = { ...link("zta"), address: parsePrefix("fd00:213::2/64")! };
    const error = await assertRejects(() => backend.attachContainer({ netns, links: [broken] }));
    assert((error as Error).message.includes("add address fd00:213::2/64"), String(error));
    assertEquals([await HERE.link("zta"), await container.link("eth0")], [undefined, undefined]);
  });
});

/** A socket that loses the first answer it receives. */
class LossySocket extends RealSocket {
  #lost = false;

  override receive(): Received {
    const received = super.receive();
    if (this.#lost) return received;
    this.#lost = true;
    return { kind: "lost" };
  }
}

Deno.test("a link whose making the kernel confirmed in vain is undone", async () => {
  await withBridge(async (backend) => {
    await using container = await Container.start();
    using host = new RtNetlink(new NetlinkConnection(new LossySocket()));
    using remover = new LinkRemover(RtNetlink.open());
    const tools = { host, remover, sysctls: new HostSysctls(SILENT_LOG) };
    const netns = await backend.identify(container.pid);
    await assertRejects(
      () => attachContainer(tools, { netns, links: [link("zt1")] }),
      OverlayError,
      "the kernel's answer was lost",
    );
    assertEquals([await ports(), await container.link("eth0")], [[], undefined]);
  });
});

Deno.test("a bridge deleted by hand is told by watch, and so is a container that dies", async () => {
  await withBridge(async (backend) => {
    const container = await Container.start();
    const netns = await backend.identify(container.pid);
    await backend.attachContainer({ netns, links: [link("zta")] });
    const names = new Set<string>();
    const stop = await backend.watch((name) => names.add(name));
    await HERE.must(["ip", "link", "add", "ztquiet", "type", "bridge"]);
    await HERE.must(["ip", "address", "add", "10.99.0.1/24", "dev", BRIDGE.name]);
    await waitFor("the address is told", () => names.has(BRIDGE.name));
    await container.kill();
    await waitFor("the container's end is told", () => names.has("zta"));
    names.clear();
    await HERE.must(["ip", "link", "del", BRIDGE.name]);
    await waitFor("the bridge is told", () => names.has(BRIDGE.name));
    await HERE.must(["ip", "link", "del", "ztquiet"]);
    assert(!names.has("ztquiet"));
    stop();
  });
});

Deno.test("watch goes on through a burst of notifications", async () => {
  await withBridge(async (backend) => {
    const names = new Set<string>();
    const stop = await backend.watch((name) => names.add(name));
    const batch = Array.from({ length: 100 }, (_, i) => `link add zt${i} group 9 type bridge`).join("\n");
    await HERE.must(["sh", "-c", `printf '%s\\n' "$0" | ip -batch -`, batch]);
    await HERE.must(["ip", "link", "set", BRIDGE.name, "mtu", "1400"]);
    await waitFor("the bridge is told", () => names.has(BRIDGE.name));
    stop();
    await HERE.must(["ip", "link", "del", "group", "9"]);
  });
});

Deno.test("isUdpPortFree() sees ports held by IPv4 or IPv6 alone", async () => {
  await using _audit = await LeakAudit.begin();
  const backend = await LinuxBackend.open(SILENT_LOG);
  try {
    for (const hostname of ["127.0.0.1", "::1"]) {
      const { createSocket } = await import("node:dgram");
      const socket = createSocket({ type: hostname === "::1" ? "udp6" : "udp4", ipv6Only: true });
      await new Promise<void>((resolve) => socket.bind(0, hostname, resolve));
      const { port } = socket.address();
      assert(!await backend.isUdpPortFree(port), hostname);
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      assert(await backend.isUdpPortFree(port), hostname);
    }
  } finally {
    backend.close();
  }
});

Deno.test("egress() finds the interface of the default route, its address and MTU", async () => {
  await using _audit = await LeakAudit.begin();
  const backend = await LinuxBackend.open(SILENT_LOG);
  const run = (...args: string[]): Promise<string> => HERE.must(["ip", ...args]);
  try {
    await assertRejects(() => backend.egress(), NotFoundError, "no usable address");
    await run("link", "add", "ext0", "mtu", "1400", "type", "bridge");
    await run("address", "add", "192.0.2.10/24", "dev", "ext0");
    await run("link", "set", "ext0", "up");
    await run("route", "add", "default", "via", "192.0.2.1");
    const egress = await backend.egress();
    assertEquals([egress.interface, egress.ip.value, egress.mtuBytes], ["ext0", 0xc000020an, 1400]);
  } finally {
    await run("link", "del", "ext0");
    backend.close();
  }
});
