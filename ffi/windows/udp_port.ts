/**
 * Sending and receiving on a bound UDP socket of Windows, in one memory: trains of datagrams of one size by one call
 * where the system cuts and joins them (USO and URO, Windows 10 2004), and from the address of ours that the peer
 * reached us at.
 *
 * What cannot be sent from an address of ours, because it is gone, is sent without one.
 *
 * @see "IPPROTO_UDP socket options", "IP_PKTINFO", `WSARecvMsg`, `WSASendMsg`; `WSAEventSelect` for when an event is set
 * again; "Windows Sockets Error Codes".
 */

import { PinnedBuffer } from "../memory.ts";
import { SOCKADDR_IN_BYTES, SOCKADDR_INET_BYTES, writeSockaddr } from "./sockaddr.ts";
import {
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_UDP,
  IPV6_PKTINFO,
  type ReceiptInfo,
  SocketMessage,
  UDP_RECV_MAX_COALESCED_SIZE,
} from "./socket_message.ts";
import { setSocketOption } from "./udp_socket.ts";
import { describeWin32, Win32Error } from "./win32_error.ts";
import { type ReceiveMessage, receiveMessageOf, type Ws2, WSA } from "./ws2_32.ts";

const FD_READ = 1;
const POLLWRNORM = 0x10;
/** `sizeof(WSAPOLLFD)`: SOCKET, SHORT events, SHORT revents. */
const WSAPOLLFD_BYTES = 16;
/** `sizeof(WSANETWORKEVENTS)`. */
const NETWORK_EVENTS_BYTES = 44;
/** Failed receipts in a row before the others have their turn, and after which a socket is given up. */
const MAX_FAILURES = 64;
/** Most bytes of a train received: what fits into the length of UDP over IPv6. */
const MAX_TRAIN_BYTES = 65_527;
/** Trains sent without the address of ours that failed, before it is tried again. */
const SOURCELESS_SENDS = 1024;
const NO_ADDRESS = new Uint8Array(0);

/** The socket will never work again. */
const DEAD: ReadonlySet<number> = new Set([
  WSA.INVALID_HANDLE,
  WSA.ENOTSOCK,
  WSA.ENETDOWN,
  WSA.ESHUTDOWN,
  WSA.NOTINITIALISED,
]);
/** There is no room, for now. */
const FULL: ReadonlySet<number> = new Set([WSA.EWOULDBLOCK, WSA.ENOBUFS]);
/** What sending from an address that is not ours, or leads nowhere now, gives. */
const SOURCE_GONE: ReadonlySet<number> = new Set([
  WSA.EINVAL,
  WSA.EADDRNOTAVAIL,
  WSA.ENETUNREACH,
  WSA.EHOSTUNREACH,
]);
/** The system cannot cut trains after all. */
const CANNOT_SEGMENT: ReadonlySet<number> = new Set([WSA.EINVAL, WSA.ENOPROTOOPT, WSA.EOPNOTSUPP]);

/** What the system's UDP can do; see `udp_features.ts`. */
export interface UdpFeatures {
  /** `WSARecvMsg` tells which address of ours a datagram came to. */
  readonly messages: boolean;
  /** Trains are cut on their way out. */
  readonly segments: boolean;
  /** Trains are joined on their way in. */
  readonly coalesces: boolean;
}

/** A UDP address and, if known, the address of ours to use with it. */
export interface UdpDestination {
  readonly family: 4 | 6;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly scopeId: number;
  readonly local: { readonly address: Uint8Array } | undefined;
}

/** Why datagrams did not come or go, as counted. */
export interface UdpTroubles {
  /** Told by the network of something sent before: nobody listens there, or it did not get there. */
  unreachable: number;
  /** Received and larger than any datagram. */
  tooLong: number;
  /** Receipts that failed otherwise. */
  receiveFailed: number;
  /** Calls to send that the system refused. */
  sendFailed: number;
  /** Calls to send from an address of ours that is gone; they went out from another. */
  sourceGone: number;
  /** Receipts after which trains were not trusted any more. */
  unmarkedTrain: number;
}

/** See the module; for the thread of the data path. */
export class WindowsUdpPort {
  readonly #calls: Ws2;
  readonly #socket: bigint;
  readonly #event: bigint;
  readonly #memory: PinnedBuffer;
  readonly #receiveMessage: ReceiveMessage | undefined;
  readonly #in: SocketMessage;
  readonly #out: SocketMessage;
  readonly #moved = new PinnedBuffer(4);
  readonly #nameLength = new PinnedBuffer(4);
  readonly #events = new PinnedBuffer(NETWORK_EVENTS_BYTES);
  readonly #writable = new PinnedBuffer(WSAPOLLFD_BYTES);
  readonly #info: ReceiptInfo;
  #failuresInARow = 0;
  #canSegment: boolean;
  #isCoalescing = false;
  /** What the message to send is prepared for. */
  #destination: UdpDestination | undefined;
  /** Control data of its source. */
  #sourceEnd = 0;
  /** Destinations whose source is gone, and for how many sends that is believed. */
  #sourceless = new WeakSet<UdpDestination>();
  #sourcelessSends = 0;

  /** Where the last receipt came from: `sockaddr_in` up to the address, or `sockaddr_in6`. */
  readonly source: Uint8Array;
  /** Our own address that it came to, 4 or 16 bytes; empty where that is not known. */
  local: Uint8Array = NO_ADDRESS;
  /** Interface that it came by, 0 where that is not known. */
  interfaceIndex = 0;
  /** Bytes of each datagram of the last receipt but the last one, which may be shorter. */
  segmentBytes = 0;
  /** Why the socket will not work again; undefined as long as it does. */
  failure: string | undefined;
  readonly troubles: UdpTroubles = noTroubles();

  /**
   * @param socket Of a `WindowsUdpSocket`.
   * @param memory Where datagrams are; it stays reachable as long as this object is used.
   * @param options `event`: a manual event, set from now on when there is something to receive; sockets may share one.
   * @throws {Win32Error} If the socket cannot be listened to.
   */
  constructor(
    socket: number,
    readonly family: 4 | 6,
    memory: PinnedBuffer,
    options: { readonly event: number; readonly features: UdpFeatures; readonly calls: Ws2 },
  ) {
    const { event, features, calls } = options;
    this.#calls = calls;
    this.#socket = BigInt(socket);
    this.#event = BigInt(event);
    this.#memory = memory;
    this.#in = new SocketMessage(memory);
    this.#out = new SocketMessage(memory);
    this.#info = {
      local: new Uint8Array(family === 4 ? 4 : 16),
      hasLocal: false,
      interfaceIndex: 0,
      segmentBytes: 0,
    };
    this.source = this.#in.name.bytes.subarray(0, family === 4 ? 8 : SOCKADDR_INET_BYTES);
    this.#receiveMessage = features.messages ? receiveMessageOf(calls, this.#socket) : undefined;
    this.#canSegment = features.segments;
    if (this.#receiveMessage !== undefined) this.#ask(features);
    const result = calls.WSAEventSelect(this.#socket, this.#event, FD_READ);
    const code = calls.WSAGetLastError();
    if (result !== 0) throw new Win32Error("listen to a UDP socket", "WSAEventSelect", code);
  }

  /** Has receipts told of. */
  #ask({ coalesces }: UdpFeatures): void {
    const [level, name] = this.family === 4 ? [IPPROTO_IP, IP_PKTINFO] : [IPPROTO_IPV6, IPV6_PKTINFO];
    setSocketOption(this.#calls, this.#socket, { level, name, value: 1 });
    this.#isCoalescing = coalesces && this.#setCoalescing(MAX_TRAIN_BYTES);
  }

  #setCoalescing(value: number): boolean {
    const option = { level: IPPROTO_UDP, name: UDP_RECV_MAX_COALESCED_SIZE, value };
    return setSocketOption(this.#calls, this.#socket, option);
  }

  /** Whether several datagrams go out by one call. */
  get canSegment(): boolean {
    return this.#canSegment;
  }

  /** Whether several datagrams may come by one call. */
  get isCoalescing(): boolean {
    return this.#isCoalescing;
  }

  /**
   * Told that a lone message was not authentic. Some systems join datagrams and do not say so (drivers of some
   * adapters on Windows 11), which looks like this; so from now on they are not joined at all.
   */
  doubtReceipt(): void {
    if (!this.#isCoalescing) return;
    this.troubles.unmarkedTrain++;
    this.#setCoalescing(0);
    this.#isCoalescing = false;
  }

  /** Unsets the event; a receipt that leaves something behind sets it again. To be called after each wait. */
  acknowledge(): void {
    this.#calls.WSAEnumNetworkEvents(this.#socket, this.#event, this.#events.pointer);
  }

  /** Receives into the memory. @returns Bytes, 0 for an empty datagram; -1 when nothing is there. */
  receive(offset: number, length: number): number {
    if (this.failure !== undefined) return -1;
    for (let i = 0; i < MAX_FAILURES; i++) {
      const isDone = this.#receiveMessage === undefined
        ? this.#receivePlain(offset, length)
        : this.#receiveWithControl(this.#receiveMessage, offset, length);
      if (isDone) {
        this.#failuresInARow = 0;
        return this.#moved.view.getUint32(0, true);
      }
      const code = this.#calls.WSAGetLastError();
      if (code === WSA.EWOULDBLOCK) return -1;
      this.#receiveFailed(code);
      if (this.failure !== undefined) return -1;
    }
    return -1;
  }

  /** @returns False for a failure, whose code is to be asked for at once. */
  #receiveWithControl(receiveMessage: ReceiveMessage, offset: number, length: number): boolean {
    const message = this.#in;
    message.aimIncoming(offset, length);
    if (receiveMessage(this.#socket, message.pointer, this.#moved.pointer, null, null) !== 0) return false;
    const info = this.#info;
    message.readControl(info);
    this.local = info.hasLocal ? info.local : NO_ADDRESS;
    this.interfaceIndex = info.hasLocal ? info.interfaceIndex : 0;
    this.segmentBytes = info.segmentBytes > 0 ? info.segmentBytes : this.#moved.view.getUint32(0, true);
    return true;
  }

  #receivePlain(offset: number, length: number): boolean {
    this.#nameLength.view.setInt32(0, SOCKADDR_INET_BYTES, true);
    const count = this.#calls.recvfrom(
      ...[this.#socket, this.#memory.bytes.subarray(offset, offset + length), length, 0] as const,
      ...[this.#in.name.pointer, this.#nameLength.pointer] as const,
    );
    if (count < 0) return false;
    this.#moved.view.setUint32(0, count, true);
    this.segmentBytes = count;
    return true;
  }

  #receiveFailed(code: number): void {
    if (code === WSA.ECONNRESET || code === WSA.ENETRESET) {
      this.troubles.unreachable++;
      return;
    }
    if (code === WSA.EMSGSIZE) {
      this.troubles.tooLong++;
      return;
    }
    this.troubles.receiveFailed++;
    if (DEAD.has(code) || ++this.#failuresInARow >= MAX_FAILURES) this.#fail("receive", code);
  }

  #fail(doing: string, code: number): void {
    this.failure = `${doing}: ${describeWin32(code)}`;
  }

  /**
   * Sends datagrams that lie one behind the other.
   *
   * @param segmentBytes Of each but the last, which may be shorter.
   * @returns Bytes that the system has, or will not take: those are gone, as in a network. Fewer than `length` when
   * there is no room and it is worth trying again with the rest.
   */
  send(to: UdpDestination, offset: number, length: number, segmentBytes: number): number {
    if (this.#sourcelessSends > 0 && --this.#sourcelessSends === 0) this.#trustSources();
    if (to !== this.#destination) this.#prepare(to);
    if (length <= segmentBytes) return this.#sendOne(offset, length);
    if (!this.#canSegment) return this.#sendEach(offset, length, segmentBytes);
    const code = this.#call(offset, length, segmentBytes);
    if (code === 0) return length;
    if (FULL.has(code)) return 0;
    if (this.#noteDeath(code)) return length;
    // The size does not fit the way, the source is gone, or it cannot be done at all: each datagram by itself tells.
    const refused = this.troubles.sendFailed;
    const done = this.#sendEach(offset, length, segmentBytes);
    if (CANNOT_SEGMENT.has(code) && done === length && this.troubles.sendFailed === refused) {
      // Each for itself went out as it was, from where it should: so it was the train.
      this.#canSegment = this.#sourceless.has(to);
    }
    return done;
  }

  #sendEach(offset: number, length: number, segmentBytes: number): number {
    let done = 0;
    while (done < length) {
      const bytes = Math.min(segmentBytes, length - done);
      if (this.#sendOne(offset + done, bytes) === 0) break;
      done += bytes;
    }
    return done;
  }

  #sendOne(offset: number, length: number): number {
    let code = this.#call(offset, length, 0);
    if (code !== 0 && this.#sourceEnd > 0 && SOURCE_GONE.has(code)) {
      this.#leaveOutSource();
      code = this.#call(offset, length, 0);
    }
    if (code === 0) return length;
    if (FULL.has(code)) return 0;
    this.troubles.sendFailed++;
    this.#noteDeath(code);
    return length;
  }

  /** @returns 0, or the code of the failure. */
  #call(offset: number, length: number, segmentBytes: number): number {
    const message = this.#out;
    message.controlEnd = this.#sourceEnd;
    if (segmentBytes > 0) message.addSegmentBytes(segmentBytes);
    message.aimOutgoing(offset, length, this.family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_INET_BYTES);
    const { WSASendMsg, WSAGetLastError } = this.#calls;
    const result = WSASendMsg(this.#socket, message.pointer, 0, this.#moved.pointer, null, null);
    return result === 0 ? 0 : WSAGetLastError();
  }

  #noteDeath(code: number): boolean {
    if (!DEAD.has(code)) return false;
    this.#fail("send", code);
    return true;
  }

  #prepare(to: UdpDestination): void {
    this.#destination = to;
    const message = this.#out;
    message.name.bytes.fill(0);
    writeSockaddr(message.name.view, 0, to);
    message.controlEnd = 0;
    if (to.local !== undefined && !this.#sourceless.has(to)) message.addSource(to.local.address, to.scopeId);
    this.#sourceEnd = message.controlEnd;
  }

  /** The address that the peer reached us at is gone; the routing table knows another. */
  #leaveOutSource(): void {
    this.troubles.sourceGone++;
    if (this.#destination !== undefined) this.#sourceless.add(this.#destination);
    this.#sourcelessSends = SOURCELESS_SENDS;
    this.#sourceEnd = 0;
  }

  #trustSources(): void {
    this.#sourceless = new WeakSet();
    this.#destination = undefined;
  }

  /** Blocks this thread until there is room to send, or so many ms have passed. */
  waitWritable(timeoutMs: number): void {
    this.#writable.view.setBigUint64(0, this.#socket, true);
    this.#writable.view.setInt16(8, POLLWRNORM, true);
    this.#calls.WSAPoll(this.#writable.pointer, 1, timeoutMs);
  }
}

/** Nothing counted yet. */
export function noTroubles(): UdpTroubles {
  return { unreachable: 0, tooLong: 0, receiveFailed: 0, sendFailed: 0, sourceGone: 0, unmarkedTrain: 0 };
}
