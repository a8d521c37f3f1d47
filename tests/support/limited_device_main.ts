/**
 * A process with the data path of a device on a system that lacks something: calls of the C library are refused as
 * an older kernel, or another device, would. Says a line when it runs; links and addresses are the caller's.
 */
import { DataPlane } from "../../core/transport/wireguard/data_plane.ts";
import { LinuxSystem } from "../../core/transport/wireguard/linux_system.ts";
import { UdpSockets } from "../../core/transport/wireguard/udp_sockets.ts";
import { ipToBytes, parseIp } from "../../core/ip/address.ts";
import { parsePrefix } from "../../core/ip/prefix.ts";
import { decodeKey } from "../../core/wireguard/keys.ts";
import { LinuxTun } from "../../ffi/linux_tun.ts";
import { AF_INET, AF_INET6 } from "../../ffi/netlink/constants.ts";
import { WakeUp } from "../../ffi/poll_set.ts";
import type { Limit, LimitedDevice } from "./limited_device.ts";

const EIO = 5, EINVAL = 22, ENOPROTOOPT = 92, EAFNOSUPPORT = 97;
const SOL_UDP = 17, UDP_SEGMENT = 103, UDP_GRO = 104;
const TUNSETIFF = 0x400454can, TUNSETOFFLOAD = 0x400454d0n, TUNSETVNETHDRSZ = 0x400454d8n;
const IFF_VNET_HDR = 0x4000;
const USO = 0x60n;

// deno-lint-ignore no-explicit-any
type Symbols = Record<string, (...args: any[]) => any>;

/** What a call is answered by: an error number, or undefined for what the kernel says. */
type Refusal = (symbol: string, args: readonly unknown[]) => number | undefined;

const REFUSALS: Readonly<Record<Limit, Refusal>> = {
  "nothing": () => undefined,
  "no UDP_SEGMENT": (symbol, args) => {
    // Before Linux 4.18 nobody read the control message: all went out as one datagram.
    if (symbol === "sendmsg") cutSegmentSize(args[1] as Deno.PointerObject);
    const [, level, option] = args;
    return symbol === "setsockopt" && level === SOL_UDP && option === UDP_SEGMENT ? ENOPROTOOPT : undefined;
  },
  "UDP_SEGMENT fails": (symbol, [, message]) =>
    symbol === "sendmsg" && segmentSizeAt(message as Deno.PointerObject) !== undefined ? EIO : undefined,
  "no UDP_GRO": (symbol, [, level, option]) =>
    symbol === "setsockopt" && level === SOL_UDP && option === UDP_GRO ? ENOPROTOOPT : undefined,
  "no USO": (symbol, [, request, flags]) =>
    symbol === "ioctlValue" && request === TUNSETOFFLOAD && ((flags as bigint) & USO) !== 0n
      ? EINVAL
      : undefined,
  "no TUN offloads": (symbol, [, request, flags]) =>
    symbol === "ioctlValue" && request === TUNSETOFFLOAD && flags !== 0n ? EINVAL : undefined,
  "no vnet header": (symbol, [, request, argument]) => {
    if (symbol !== "ioctl") return undefined;
    if (request === TUNSETVNETHDRSZ) return EINVAL;
    const wants = new DataView((argument as Uint8Array).buffer).getUint16(16, true);
    return request === TUNSETIFF && (wants & IFF_VNET_HDR) !== 0 ? EINVAL : undefined;
  },
  "no IPv6": (symbol, [family]) => symbol === "socket" && family === AF_INET6 ? EAFNOSUPPORT : undefined,
};

/** Where the control data of a `struct msghdr` asks for segments. */
function segmentSizeAt(message: Deno.PointerObject): number | undefined {
  const header = new Deno.UnsafePointerView(message);
  const length = Number(header.getBigUint64(40));
  const control = Deno.UnsafePointer.create(header.getBigUint64(32));
  if (control === null) return undefined;
  const view = new Deno.UnsafePointerView(control);
  for (let at = 0; at + 16 <= length; at += (view.getUint32(at) + 7) & ~7) {
    if (view.getInt32(at + 8) === SOL_UDP && view.getInt32(at + 12) === UDP_SEGMENT) return at;
  }
  return undefined;
}

/** Ends the control data before it asks for segments. */
function cutSegmentSize(message: Deno.PointerObject): void {
  const at = segmentSizeAt(message);
  if (at === undefined) return;
  new BigUint64Array(Deno.UnsafePointerView.getArrayBuffer(message, 56))[5] = BigInt(at);
}

/** From now on the C library refuses what the limit says. It has to be called before the library is opened. */
function limitLibc(limit: Limit): void {
  const dlopen = Deno.dlopen;
  const refusal = REFUSALS[limit];
  const limited = (name: string, table: Deno.ForeignLibraryInterface): { symbols: Symbols } => {
    const { symbols } = dlopen(name, table) as unknown as { symbols: Symbols };
    if (!name.startsWith("libc.so")) return { symbols };
    const wrapped = Object.entries(symbols).map((
      [symbol, call],
    ) => [symbol, (...args: unknown[]): unknown => {
      const errno = refusal(symbol, args);
      if (errno === undefined) return call(...args);
      const at = symbols.__errno_location!();
      new Int32Array(Deno.UnsafePointerView.getArrayBuffer(at, 4))[0] = errno;
      return -1;
    }]);
    return { symbols: { ...Object.fromEntries(wrapped), __errno_location: symbols.__errno_location } };
  };
  Object.defineProperty(Deno, "dlopen", { value: limited });
}

function run(device: LimitedDevice): void {
  limitLibc(device.limit);
  const tun = LinuxTun.open(device.link);
  const sockets = UdpSockets.bind(device.listenPort, 0);
  const plane = new DataPlane(new LinuxSystem({ tun: tun.fd, wakeUp: new WakeUp().fd }), {
    onNews: () => {},
    onSocketsLost: () => {},
  });
  plane.setMtu(device.mtuBytes);
  plane.setSockets(sockets.fds);
  plane.configure({
    privateKey: decodeKey(device.privateKey),
    peers: [{
      publicKey: decodeKey(device.peer.publicKey),
      endpoint: { address: ipToBytes(parseIp(device.peer.host)!), port: device.peer.port },
      allowedIps: device.peer.allowedIps.map((text) => {
        const { address, length } = parsePrefix(text)!;
        const family = address.family === 4 ? AF_INET : AF_INET6;
        return { family, address: ipToBytes(address), prefixLength: length };
      }),
    }],
  });
  Deno.stdout.writeSync(new TextEncoder().encode("running\n"));
  plane.run(() => false);
}

run(JSON.parse(Deno.args[0]!));
