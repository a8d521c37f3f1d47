/**
 * What UDP of this system can do, tried on loopback: a system that takes an option need not keep what it promises,
 * and some that know the control messages pass over them in silence.
 */

import { PinnedBuffer } from "../memory.ts";
import { IPPROTO_UDP, UDP_SEND_MSG_SIZE } from "./socket_message.ts";
import { type UdpDestination, type UdpFeatures, WindowsUdpPort } from "./udp_port.ts";
import { setSocketOption, WindowsUdpSocket } from "./udp_socket.ts";
import { WaitSet, WindowsEvent } from "./wait_set.ts";
import type { Ws2 } from "./ws2_32.ts";

/** One datagram for a call, and nothing is known of where it came to. */
export const NO_FEATURES: UdpFeatures = { messages: false, segments: false, coalesces: false };

/** IPv4 is everywhere where there is loopback, and cut and joined by the same part of the system. */
const FAMILY = 4, LOOPBACK = Uint8Array.of(127, 0, 0, 1);
/** Three datagrams, the last one shorter. */
const SEGMENT_BYTES = 96, TRAIN_BYTES = 2 * SEGMENT_BYTES + 40;
/** Where the train is; what is received comes before it. */
const TRAIN = 65_536;
/** Loopback answers at once; a system that does not is not worth more. */
const WAIT_MS = 100;
const MAX_WAITS = 4;

/** Tries it out; one call takes some milliseconds. Never throws: what fails is not there. */
export function probeUdpFeatures(calls: Ws2): UdpFeatures {
  const keeps = (features: UdpFeatures): boolean => {
    try {
      return exchanges(calls, features);
    } catch {
      return false;
    }
  };
  let features = NO_FEATURES;
  for (const name of ["messages", "segments", "coalesces"] as const) {
    const wanted = { ...features, [name]: true };
    if ((name === "messages" || features.messages) && keeps(wanted)) features = wanted;
  }
  return features;
}

/** Whether trains come as they were sent, twice: the event has to be set for the second one too. */
function exchanges(calls: Ws2, features: UdpFeatures): boolean {
  using stack = new DisposableStack();
  const options = { address: LOOPBACK, calls };
  const from = WindowsUdpSocket.bind(FAMILY, 0, options);
  const into = WindowsUdpSocket.bind(FAMILY, 0, options);
  if (from === undefined || into === undefined) return false;
  stack.use(from);
  stack.use(into);
  if (features.segments && !canAskForSegments(calls, from.fd)) return false;
  const memory = new PinnedBuffer(TRAIN + TRAIN_BYTES);
  for (let i = 0; i < TRAIN_BYTES; i++) memory.bytes[TRAIN + i] = i;
  const [unused, event] = [1, 2].map(() => stack.use(new WindowsEvent("manual")).handle);
  const sender = new WindowsUdpPort(from.fd, FAMILY, memory, { event: unused!, features, calls });
  const receiver = new WindowsUdpPort(into.fd, FAMILY, memory, { event: event!, features, calls });
  if (features.coalesces && !receiver.isCoalescing) return false;
  const to = { family: FAMILY, address: LOOPBACK, port: into.port, scopeId: 0, local: undefined } as const;
  const wait = new WaitSet([event!]);
  return [1, 2].every(() => {
    return sendsTrain(sender, to) && receivesTrain(receiver, wait, memory) && knowsLocal(receiver, features);
  });
}

/** A system that passes over the control message would send all as one datagram. */
function canAskForSegments(calls: Ws2, socket: number): boolean {
  return setSocketOption(calls, BigInt(socket), { level: IPPROTO_UDP, name: UDP_SEND_MSG_SIZE, value: 0 });
}

function sendsTrain(port: WindowsUdpPort, to: UdpDestination): boolean {
  const before = port.canSegment;
  return port.send(to, TRAIN, TRAIN_BYTES, SEGMENT_BYTES) === TRAIN_BYTES && port.canSegment === before &&
    port.troubles.sendFailed === 0;
}

function receivesTrain(port: WindowsUdpPort, wait: WaitSet, { bytes }: PinnedBuffer): boolean {
  let done = 0;
  for (let waits = 0; done < TRAIN_BYTES;) {
    const count = port.receive(0, TRAIN);
    if (count < 0) {
      if (++waits > MAX_WAITS) return false;
      wait.wait(WAIT_MS);
      port.acknowledge();
      continue;
    }
    // Whole datagrams, each as long as it was.
    if (port.segmentBytes !== Math.min(SEGMENT_BYTES, TRAIN_BYTES - done)) return false;
    for (let i = 0; i < count; i++) if (bytes[i] !== bytes[TRAIN + done + i]) return false;
    done += count;
  }
  return done === TRAIN_BYTES && port.receive(0, TRAIN) < 0;
}

function knowsLocal(port: WindowsUdpPort, { messages }: UdpFeatures): boolean {
  return !messages || (port.local.length === 4 && LOOPBACK.every((byte, i) => port.local[i] === byte));
}
