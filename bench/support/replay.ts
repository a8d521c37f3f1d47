/**
 * The netlink messages of an attach, sent without a daemon: what the kernel itself takes for the same work.
 *
 * The messages are those of `core/backend/linux/attachment.ts` that change something; what it looks up besides is
 * left out, and so is everything around a message: encoding, opening namespaces and sockets, reading the answer.
 * The kernel handles a request inside `send(2)`, so the time of that call is the time of the work.
 */
import { FileDescriptor } from "../../ffi/file_descriptor.ts";
import { NetlinkConnection, type NetlinkRequest } from "../../ffi/netlink.ts";
import * as nl from "../../ffi/netlink/constants.ts";
import { vethInfo } from "../../ffi/netlink/link_kind.ts";
import { type NetlinkSocket, openNetlinkSocket } from "../../ffi/netlink_socket.ts";
import { addAddress, addRoute, createLink, LINK_UP, setLink } from "../../core/backend/linux/requests.ts";
import { RtNetlink } from "../../core/backend/linux/rtnetlink.ts";
import type { IpAddress } from "../../core/ip/address.ts";
import type { Container } from "../../tests/support/test_netns.ts";

const MTU_BYTES = 1420;
/** 10.253.0.0/16, the bridge's. */
const NETWORK = 10 << 24 >>> 0 | 253 << 16;

/** Milliseconds that the kernel took for some attaches, and the host links that are there now. */
export interface Replayed {
  readonly kernelMs: number;
  readonly hostLinks: readonly string[];
}

/** A socket whose sends are timed. */
class TimedSocket implements NetlinkSocket {
  readonly #socket: NetlinkSocket;
  sendMs = 0;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  send(datagram: Uint8Array<ArrayBuffer>): void {
    const started = performance.now();
    this.#socket.send(datagram);
    this.sendMs += performance.now() - started;
  }

  sendInBackground(datagram: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#socket.sendInBackground(datagram);
  }

  receive(): ReturnType<NetlinkSocket["receive"]> {
    return this.#socket.receive();
  }

  waitReadable(): Promise<boolean> {
    return this.#socket.waitReadable();
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** Attaches the containers to a bridge of this namespace, one after another. */
export function replayAttaches(containers: readonly Container[], bridge: string): Replayed {
  using host = new Conversation();
  const { index: master } = host.lookUp(bridge);
  const hostLinks = containers.map(({ pid }) => `zt-${pid}-s`);
  let insideMs = 0;
  containers.forEach((container, n) => {
    using netns = FileDescriptor.open(container.path!);
    using inside = new Conversation({ netnsFd: netns.fd });
    const name = hostLinks[n]!;
    host.change(createPair(name, n, netns.fd));
    const { index } = host.lookUp(name);
    host.change(...configureHostEnd(name, { index, master }));
    inside.change(...configureInside(inside.lookUp("eth0").index, n));
    insideMs += inside.changeMs;
  });
  return { kernelMs: host.changeMs + insideMs, hostLinks };
}

/** One namespace: changes on a timed socket, look-ups on another. */
class Conversation implements Disposable {
  readonly #timed: TimedSocket;
  readonly #changes: NetlinkConnection;
  readonly #lookUps: RtNetlink;

  constructor(options: { readonly netnsFd?: number } = {}) {
    this.#timed = new TimedSocket(openNetlinkSocket(nl.NETLINK_ROUTE, options));
    this.#changes = new NetlinkConnection(this.#timed);
    this.#lookUps = RtNetlink.open(options);
  }

  get changeMs(): number {
    return this.#timed.sendMs;
  }

  change(...requests: readonly NetlinkRequest[]): void {
    this.#changes.execute(requests);
  }

  lookUp(name: string): { readonly index: number } {
    return this.#lookUps.link(name);
  }

  [Symbol.dispose](): void {
    this.#changes[Symbol.dispose]();
    this.#lookUps[Symbol.dispose]();
  }
}

function createPair(name: string, n: number, netNsFd: number): NetlinkRequest {
  const address = Uint8Array.of(0x02, 0x7a, 10, 253, n >> 8, n & 0xff);
  const both = { mtuBytes: MTU_BYTES, numTxQueues: 1, numRxQueues: 1 };
  const peer = { name: "eth0", address, netNsFd, ...both };
  return createLink(name, { group: 1, ...both, info: vethInfo({ peer }) });
}

function configureHostEnd(
  name: string,
  at: { readonly index: number; readonly master: number },
): NetlinkRequest[] {
  const alias = `zlayer-overlayd/bench/0000000000000000:${name}/eth0`;
  const afSpec = { inet6: { addressGenerationMode: nl.IN6_ADDR_GEN_MODE_NONE } };
  return [
    setLink(name, { index: at.index }, { alias, group: 0, afSpec }),
    setLink(name, { index: at.index }, { master: at.master, ...LINK_UP }),
  ];
}

function configureInside(index: number, n: number): NetlinkRequest[] {
  const everything = { address: { family: 4, value: 0n }, length: 0 } as const;
  return [
    setLink("lo", { index: 1 }, LINK_UP),
    setLink("eth0", { index }, LINK_UP),
    addAddress(index, { address: ipv4(n + 2), length: 16 }),
    addRoute({ destination: everything, index, gateway: ipv4(1) }),
  ];
}

function ipv4(host: number): IpAddress {
  return { family: 4, value: BigInt(NETWORK + host) };
}
