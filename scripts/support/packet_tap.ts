/**
 * Every frame that passes a link, in and out, as the kernel shows it to packet sockets (packet(7)): what `tcpdump`
 * would see, without having to be installed.
 */
import { EAGAIN, errnoError, lastErrno, prepareErrno } from "../../ffi/errno.ts";
import { FileDescriptor } from "../../ffi/file_descriptor.ts";
import { libc } from "../../ffi/libc.ts";
import { lazyLibrary } from "../../ffi/library.ts";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { withNetns } from "../../ffi/netns.ts";
import type { NetworkPlace } from "../../tests/support/test_netns.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** `linux/if_ether.h` */
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** linux/if_packet.h */
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const MSG_DONTWAIT = 0x40;
/** `struct sockaddr_ll` */
const SOCKADDR_LL_BYTES = 20;
/** A frame of segmentation offload is up to 64 KiB, and its Ethernet header. */
const FRAME_BYTES = 128 * 1024;
const QUEUE_BYTES = 64 * 1024 * 1024;

/** What the daemon has no use for. */
const extraLibc = lazyLibrary(["libc.so.6"], {
  /** `int getsockopt(int fd, int level, int name, void *value, socklen_t *len)`, sys/socket.h */
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
});

/** See the file's comment. */
export class PacketTap implements Disposable {
  readonly #socket: FileDescriptor;
  readonly #frame = new PinnedBuffer(FRAME_BYTES);

  private constructor(socket: FileDescriptor) {
    this.#socket = socket;
  }

  /** Starts to listen on a link. Needs CAP_NET_RAW there. */
  static async open(place: NetworkPlace, link: string): Promise<PacketTap> {
    const ifindex = (await place.link(link))?.ifindex;
    if (ifindex === undefined) throw new TypeError(`no link ${link} to listen on`);
    using netns = FileDescriptor.open(place.path ?? "/proc/thread-self/ns/net");
    return new PacketTap(withNetns(netns.fd, () => openSocket(ifindex)));
  }

  /** Takes the frames that have come since the last call. @throws {ErrnoError} If the link is gone or down. */
  read(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const { recvfrom } = libc();
    const { pointer, bytes } = this.#frame;
    for (;;) {
      prepareErrno();
      const count = recvfrom(this.#socket.fd, pointer, BigInt(FRAME_BYTES), MSG_DONTWAIT, null, null);
      const errno = lastErrno();
      if (count >= 0n) frames.push(bytes.slice(0, Number(count)));
      else if (errno === EAGAIN) return frames;
      else throw errnoError("listen on a link", "recvfrom", errno);
    }
  }

  /** Frames that found no room since the last call, and so were never read. */
  lost(): number {
    const { getsockopt } = extraLibc();
    const counts = new Uint8Array(8); // struct tpacket_stats: u32 tp_packets, u32 tp_drops
    const length = new Uint8Array(Uint32Array.of(counts.length).buffer);
    prepareErrno();
    const result = getsockopt(this.#socket.fd, SOL_PACKET, PACKET_STATISTICS, counts, length);
    if (result !== 0) throw errnoError("count lost frames", "getsockopt", lastErrno());
    return new DataView(counts.buffer).getUint32(4, true);
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** A socket that takes nothing before it is bound, so that no frame of another link gets in. */
function openSocket(ifindex: number): FileDescriptor {
  const { socket, bind, setsockopt } = libc();
  prepareErrno();
  const fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) throw errnoError("open a packet socket", "socket", lastErrno());
  const owned = new FileDescriptor(fd);
  const size = new Uint8Array(Int32Array.of(QUEUE_BYTES).buffer);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length);
  const address = new DataView(new ArrayBuffer(SOCKADDR_LL_BYTES));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL);
  address.setInt32(4, ifindex, true);
  prepareErrno();
  const result = bind(fd, new Uint8Array(address.buffer), SOCKADDR_LL_BYTES);
  if (result === 0) return owned;
  const error = errnoError(`listen on link ${ifindex}`, "bind", lastErrno());
  owned[Symbol.dispose]();
  throw error;
}
