/** A tunnel between a device of ours and another implementation's, each on a host of its own. */
import type { KeyPair } from "../../../core/wireguard/keys.ts";
import { NamedNetns } from "../test_netns.ts";
import { Underlay, underlayIp } from "../underlay.ts";
import { waitFor } from "../wait_for.ts";
import { OurEnd } from "./ends.ts";
import { newKeys, type PeerSettings, PORT, type WireGuardEnd } from "./wireguard_end.ts";

/** Makes an end on a host. */
export type MakeEnd = (host: NamedNetns, addresses: readonly [string, string]) => WireGuardEnd;

/** Numbers of the hosts on the underlay. */
export const NUMBERS = { ours: 1, theirs: 2, bystander: 3 } as const;

const ADDRESSES = { ours: ["10.77.0.1", "fd77::1"], theirs: ["10.77.0.2", "fd77::2"] } as const;

/** Which end knows where the other is; the other one has to learn it. */
export type Knower = "ours" | "theirs" | "both";

/** How the two ends are introduced to each other. */
export interface Relation {
  readonly knower?: Knower;
  /** Family of the underlay. Default 4. */
  readonly family?: 4 | 6;
  readonly presharedKey?: Uint8Array;
}

/** See the file's comment. */
export class InteropPair implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(
    stack: AsyncDisposableStack,
    readonly underlay: Underlay,
    readonly ours: OurEnd,
    readonly theirs: WireGuardEnd,
  ) {
    this.#stack = stack;
  }

  /** Starts both ends, not yet related. */
  static async start(makeTheirs: MakeEnd): Promise<InteropPair> {
    await using stack = new AsyncDisposableStack();
    const underlay = stack.use(await Underlay.create());
    const [ourHost, theirHost] = [stack.use(await NamedNetns.create()), stack.use(await NamedNetns.create())];
    await underlay.connect(ourHost, NUMBERS.ours);
    await underlay.connect(theirHost, NUMBERS.theirs);
    const ours = stack.use(new OurEnd(ourHost, ADDRESSES.ours));
    const theirs = stack.use(makeTheirs(theirHost, ADDRESSES.theirs));
    await Promise.all([ours.start(), theirs.start()]);
    return new InteropPair(stack.move(), underlay, ours, theirs);
  }

  /** Gives both ends new keys and each other as their peer. Nothing of earlier sessions is left. */
  async relate({ knower = "both", family = 4, presharedKey }: Relation = {}): Promise<void> {
    const keys = { ours: newKeys(), theirs: newKeys() };
    const psk = presharedKey === undefined ? {} : { presharedKey };
    for (const side of ["ours", "theirs"] as const) {
      const other = side === "ours" ? "theirs" : "ours";
      const knows = knower === "both" || knower === side;
      const endpoint = knows ? { endpoint: endpointOf(other, family) } : {};
      const peer = { ...peerSettings(keys[other], other), ...psk, ...endpoint };
      await this[side].configure({ keys: keys[side], peer });
    }
  }

  /** The other end of one of them. */
  other(end: WireGuardEnd): WireGuardEnd {
    return end === this.ours ? this.theirs : this.ours;
  }

  /** Which of the two an end is. */
  sideOf(end: WireGuardEnd): "ours" | "theirs" {
    return end === this.ours ? "ours" : "theirs";
  }

  /**
   * Has an end reach the other one; the first packet may have to wait for a handshake, or several.
   *
   * @param options Family inside the tunnel, 0 for IPv4, and bytes of payload.
   */
  async reach(
    from: WireGuardEnd,
    options: { readonly inside?: 0 | 1; readonly size?: number } = {},
  ): Promise<void> {
    const address = this.other(from).addresses[options.inside ?? 0];
    const what = `${this.sideOf(from)} reaches ${address} with ${options.size ?? "any"} bytes`;
    const ping = options.size === undefined ? {} : { size: options.size };
    await waitFor(what, () => from.host.ping(address, ping), { timeoutMs: 60_000 });
  }

  /** A third host on the underlay; it goes with the scope of the caller. */
  async bystander(): Promise<NamedNetns> {
    const host = await NamedNetns.create();
    await this.underlay.connect(host, NUMBERS.bystander);
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Where an end listens on the underlay. */
export function endpointOf(side: "ours" | "theirs", family: 4 | 6, port: number = PORT): string {
  const ip = underlayIp(NUMBERS[side], family);
  return family === 4 ? `${ip}:${port}` : `[${ip}]:${port}`;
}

/** An end as the peer of the other. */
export function peerSettings(keys: KeyPair, side: "ours" | "theirs"): PeerSettings {
  const [v4, v6] = ADDRESSES[side];
  return { publicKey: keys.publicKey, allowedIps: [`${v4}/32`, `${v6}/128`] };
}
