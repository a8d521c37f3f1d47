/** Questions that a UDP socket answers without sending anything: is a port free, which source would be used. */

import { EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { FileDescriptor } from "./file_descriptor.ts";
import { libc } from "./libc.ts";
import { PinnedBuffer } from "./memory.ts";
import { AF_INET, AF_INET6 } from "./netlink/constants.ts";
import { decodeSockaddr, encodeSockaddr, SOCKADDR_BYTES } from "./sockaddr.ts";

const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/**
 * Whether the port can be bound on the wildcard address of the family. A family that the system lacks is free.
 *
 * @param port 1 to 65535.
 * @throws {ErrnoError} If the kernel refuses for another reason than a port in use.
 */
export function canBindUdp(family: 4 | 6, port: number): boolean {
  using socket = openUdp(family);
  if (socket === undefined) return true;
  const address = encodeSockaddr({ address: new Uint8Array(family === 4 ? 4 : 16), port });
  const result = libc().bind(socket.fd, address, address.length);
  const errno = lastErrno();
  if (result === 0 || errno === EADDRNOTAVAIL) return true;
  if (errno === EADDRINUSE) return false;
  throw errnoError(`test UDP port ${port}`, "bind", errno);
}

/**
 * The source address that the routing picks towards a destination; `undefined` if there is no route.
 *
 * @param destination 4 or 16 bytes.
 */
export function sourceAddressTowards(destination: Uint8Array): Uint8Array | undefined {
  using socket = openUdp(destination.length === 4 ? 4 : 6);
  if (socket === undefined) return undefined;
  const address = encodeSockaddr({ address: destination, port: 80 });
  if (libc().connect(socket.fd, address, address.length) !== 0) return undefined;
  const name = new PinnedBuffer(SOCKADDR_BYTES);
  const length = new PinnedBuffer(4);
  length.view.setUint32(0, SOCKADDR_BYTES, true);
  if (libc().getsockname(socket.fd, name.pointer, length.pointer) !== 0) return undefined;
  return decodeSockaddr(name.bytes).address;
}

function openUdp(family: 4 | 6): FileDescriptor | undefined {
  prepareErrno();
  const fd = libc().socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const errno = lastErrno();
  if (fd < 0) {
    if (errno === EAFNOSUPPORT) return undefined;
    throw errnoError("open UDP socket", "socket", errno);
  }
  if (family === 6) {
    libc().setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, new Uint8Array(new Int32Array([1]).buffer), 4);
  }
  return new FileDescriptor(fd);
}
