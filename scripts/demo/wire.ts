/** What a host's uplink carries while containers talk across nodes: tapped, counted, searched for plain text. */
import { Buffer } from "node:buffer";
import type { NetworkPlace } from "../../tests/support/test_netns.ts";
import { MARKER } from "../support/flow_pattern.ts";
import { frameKind } from "../support/frame_kind.ts";
import { PacketTap } from "../support/packet_tap.ts";

/** How often taps are emptied. */
const READ_MS = 10;

/** A link to listen on. */
export interface TapPoint {
  readonly place: NetworkPlace;
  readonly link: string;
}

/** What passed a link. */
export interface Seen {
  /** Packets by kind: `WireGuard` is UDP between its ports, all else goes by its protocol. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Packets in which the text of a TCP flow can be read: {@linkcode MARKER}. */
  readonly withMarker: number;
  /** Packets that passed unseen. */
  readonly missed: number;
}

/** Listens on links while `work` runs. */
export async function watchLinks(
  points: readonly TapPoint[],
  work: () => Promise<void>,
  options: { readonly wireguardPorts: readonly number[] },
): Promise<Seen[]> {
  using stack = new DisposableStack();
  const counts: Count[] = [];
  for (const { place, link } of points) {
    counts.push(new Count(stack.use(await PacketTap.open(place, link)), options.wireguardPorts));
  }
  const timer = setInterval(() => counts.forEach((count) => count.read()), READ_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return counts.map((count) => count.total());
}

/** Counts what a tap sees. */
class Count {
  readonly #kinds = new Map<string, number>();
  #withMarker = 0;

  constructor(readonly tap: PacketTap, readonly ports: readonly number[]) {}

  read(): void {
    for (const frame of this.tap.read()) {
      const kind = kindName(frame, this.ports);
      this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
      if (Buffer.from(frame.buffer, frame.byteOffset, frame.length).includes(MARKER)) this.#withMarker++;
    }
  }

  total(): Seen {
    this.read();
    return { kinds: this.#kinds, withMarker: this.#withMarker, missed: this.tap.lost() };
  }
}

/** UDP is WireGuard's when both of its ports are. */
function kindName(frame: Uint8Array, wireguardPorts: readonly number[]): string {
  const { name, ports } = frameKind(frame);
  if (ports === undefined || !ports.every((port) => wireguardPorts.includes(port))) return name;
  return "WireGuard";
}
