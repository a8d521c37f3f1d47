/**
 * TUN devices of Linux: layer 3, with the header of `virtio_net` before every packet, so that the kernel hands
 * over and takes up to 64 KiB of TCP at once.
 *
 * A device is found by name. One that is persistent outlives its process with link, address and routes; opening
 * it again attaches to it.
 *
 * @see Documentation/networking/tuntap.rst; linux/if_tun.h.
 */

import { EAGAIN, EINVAL, errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { FileDescriptor } from "./file_descriptor.ts";
import { libc } from "./libc.ts";
import { cString, PinnedBuffer } from "./memory.ts";

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

const TUNSETIFF = 0x400454can;
const TUNGETIFF = 0x800454d2n;
const TUNSETPERSIST = 0x400454cbn;
const TUNSETOFFLOAD = 0x400454d0n;
const TUNSETVNETHDRSZ = 0x400454d8n;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** `sizeof(struct ifreq)`; the flags follow the name of 16 bytes. */
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

const TUN_F_CSUM = 0x01n;
const TUN_F_TSO4 = 0x02n;
const TUN_F_TSO6 = 0x04n;
const TUN_F_USO4 = 0x20n;
const TUN_F_USO6 = 0x40n;

/** Bytes of `struct virtio_net_hdr_mrg_rxbuf`; 12 keep the IP header behind it at a multiple of 4. */
export const VNET_HEADER_BYTES = 12;

const TSO = TUN_F_TSO4 | TUN_F_TSO6;
/** Since Linux 6.2, and both or none. */
const USO = TUN_F_USO4 | TUN_F_USO6;
/** What a kernel is asked to hand over, the most first. */
const OFFLOADS = [TUN_F_CSUM | TSO | USO, TUN_F_CSUM | TSO, TUN_F_CSUM | TUN_F_TSO4, TUN_F_CSUM, 0n];

/** A TUN device that is open. */
export class LinuxTun implements Disposable {
  readonly #file: FileDescriptor;

  private constructor(file: FileDescriptor, readonly name: string) {
    this.#file = file;
  }

  /**
   * Makes the device of that name, or attaches to it if it is there, in the network namespace of this thread.
   *
   * @param name 1 to 15 bytes.
   * @throws {ErrnoError} `ENOENT`: no /dev/net/tun. `EPERM`: CAP_NET_ADMIN is missing. `EBUSY`: another process
   * has it. `EINVAL`: a link of that name is no TUN device.
   */
  static open(name: string): LinuxTun {
    const { length } = cString(name);
    if (length < 2 || length > IFNAMSIZ) {
      throw new RangeError(`an interface name has 1 to 15 bytes: '${name}'`);
    }
    const file = openClone();
    try {
      if (attach(file.fd, name, IFF_VNET_HDR)) {
        const size = new Uint8Array(new Int32Array([VNET_HEADER_BYTES]).buffer);
        check(`open TUN device ${name}`, libc().ioctl(file.fd, TUNSETVNETHDRSZ, size));
        return new LinuxTun(file, name);
      }
      // No header, no offloads: packets come and go whole, as in gVisor.
      attach(file.fd, name, 0);
      return new LinuxTun(file, name);
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** The descriptor, nonblocking. It stays this object's to close. */
  get fd(): number {
    return this.#file.fd;
  }

  /** Whether its link is still there under its name; somebody may have deleted or renamed it. */
  get isAttached(): boolean {
    const request = new Uint8Array(IFREQ_BYTES);
    // EBADFD when the link is gone.
    if (libc().ioctl(this.#file.fd, TUNGETIFF, request) < 0) return false;
    return new TextDecoder().decode(request.subarray(0, request.indexOf(0))) === this.name;
  }

  /** Says whether the device outlives this process. @throws {ErrnoError} If the kernel refuses. */
  persist(isPersistent: boolean): void {
    const what = `make TUN device ${this.name} persistent`;
    check(what, libc().ioctlValue(this.#file.fd, TUNSETPERSIST, isPersistent ? 1n : 0n));
  }

  /** Closes it; the device goes unless it is persistent. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

function openClone(): FileDescriptor {
  const path = cString("/dev/net/tun");
  prepareErrno();
  const fd = libc().open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const errno = lastErrno();
  if (fd < 0) throw errnoError("open /dev/net/tun", "open", errno);
  return new FileDescriptor(fd);
}

/** @returns False if a flag, or the link of that name, is not what the kernel wants. */
function attach(fd: number, name: string, flag: number): boolean {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(cString(name));
  new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | flag, true);
  const result = libc().ioctl(fd, TUNSETIFF, request);
  const errno = lastErrno();
  if (result < 0 && (errno !== EINVAL || flag === 0)) {
    throw errnoError(`open TUN device ${name}`, "ioctl", errno);
  }
  return result >= 0;
}

/** Whether packets of an open device have a header in front. */
function hasHeader(fd: number): boolean {
  const request = new Uint8Array(IFREQ_BYTES);
  check("ask what a TUN device is", libc().ioctl(fd, TUNGETIFF, request));
  return (new DataView(request.buffer).getUint16(IFNAMSIZ, true) & IFF_VNET_HDR) !== 0;
}

/** @returns What the kernel hands over in large pieces. */
function askForOffloads(fd: number): bigint {
  for (const flags of OFFLOADS) {
    const result = libc().ioctlValue(fd, TUNSETOFFLOAD, flags);
    const errno = lastErrno();
    if (result >= 0) return flags;
    if (errno !== EINVAL) throw errnoError("set offloads of a TUN device", "ioctl", errno);
  }
  return 0n;
}

function check(op: string, result: number): void {
  const errno = lastErrno();
  if (result < 0) throw errnoError(op, "ioctl", errno);
}

/** `struct iovec`: address and length, 8 bytes each. */
const IOVEC_BYTES = 16;

/** Reading and writing of a TUN device's packets in one memory; for the thread of the data path. */
export class TunPort {
  readonly #fd: number;
  readonly #base: number;
  readonly #readPointer: Deno.PointerObject;
  readonly #readBytes: bigint;
  readonly #vectors: PinnedBuffer;
  readonly #vectorWords: Uint32Array;
  readonly #vectorsPointer: Deno.PointerObject;
  #count = 0;
  /** Whether the kernel takes many UDP datagrams of one flow at once, as it takes TCP. */
  readonly takesUdpTrains: boolean;
  /** What the kernel leaves out of the header that we count on: none of it, or all. */
  readonly #absentBytes: number;
  /** And so many pieces of what is written. */
  readonly #absentPieces: number;
  readonly #read = libc().read;
  readonly #writev = libc().writev;

  /**
   * Asks the kernel to hand over TCP, and UDP where it can, in large pieces.
   *
   * @param fd Of an open device.
   * @param arena Where packets are; it stays reachable as long as this object is used.
   * @param options `readOffset`, `readBytes`: where packets are read to. `maxPieces`: pieces of one packet written.
   * @throws {ErrnoError} If the kernel refuses even to hand over nothing but whole packets.
   */
  constructor(
    fd: number,
    arena: PinnedBuffer,
    options: { readonly readOffset: number; readonly readBytes: number; readonly maxPieces: number },
  ) {
    prepareErrno();
    this.#fd = fd;
    this.#absentBytes = hasHeader(fd) ? 0 : VNET_HEADER_BYTES;
    this.takesUdpTrains = this.takesLarge && (askForOffloads(fd) & USO) !== 0n;
    this.#base = arena.address;
    const at = Deno.UnsafePointer.create(BigInt(arena.address + options.readOffset + this.#absentBytes));
    if (at === null) throw new TypeError("the arena has no address");
    this.#readPointer = at;
    this.#readBytes = BigInt(options.readBytes - this.#absentBytes);
    this.#vectors = new PinnedBuffer(IOVEC_BYTES * options.maxPieces);
    this.#vectorWords = new Uint32Array(this.#vectors.bytes.buffer);
    this.#absentPieces = this.#absentBytes > 0 ? 1 : 0;
    const first = this.#vectors.address + this.#absentPieces * IOVEC_BYTES;
    this.#vectorsPointer = Deno.UnsafePointer.create(BigInt(first))!;
  }

  /** Whether the kernel takes TCP that is still to be cut. */
  get takesLarge(): boolean {
    return this.#absentBytes === 0;
  }

  /**
   * Reads one packet with its header, which is left as it was, zeros, where there is none.
   *
   * @returns Its bytes; 0 when none is there, or the device is down.
   */
  read(): number {
    const count = Number(this.#read(this.#fd, this.#readPointer, this.#readBytes));
    // EAGAIN, or EIO and EBADFD while the device is down or gone: nothing to read in either case.
    return count <= 0 ? 0 : count + this.#absentBytes;
  }

  /** Starts a packet to write. */
  begin(): void {
    this.#count = 0;
  }

  /** Adds a piece, header first. */
  add(offset: number, length: number): void {
    const at = this.#count++ * 4;
    const address = this.#base + offset;
    this.#vectorWords[at] = address;
    this.#vectorWords[at + 1] = address / 2 ** 32;
    this.#vectorWords[at + 2] = length;
    this.#vectorWords[at + 3] = 0;
  }

  /** Writes the packet. @returns False if the kernel did not take it. */
  write(): boolean {
    return Number(this.#writev(this.#fd, this.#vectorsPointer, this.#count - this.#absentPieces)) >= 0;
  }

  /** Whether the last failure was for want of room. */
  get isFull(): boolean {
    return lastErrno() === EAGAIN;
  }
}
