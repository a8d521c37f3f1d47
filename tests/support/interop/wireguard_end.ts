/**
 * One end of a tunnel on a host of its own, whatever implements it: configured and read by wireguard-tools, which
 * speak to all implementations alike.
 */
import { assert } from "@std/assert";
import { encodeKey, generateKeyPair, type KeyPair } from "../../../core/wireguard/keys.ts";
import { type NamedNetns, testName } from "../test_netns.ts";
import { waitFor } from "../wait_for.ts";

/** Also where nobody made `/dev/stdin`. */
const STDIN = "/proc/self/fd/0";

/** UDP port where nothing else is said. */
export const PORT = 51820;

/** The other end, as this one knows it. */
export interface PeerSettings {
  readonly publicKey: Uint8Array;
  readonly allowedIps: readonly string[];
  readonly presharedKey?: Uint8Array;
  /** `192.0.2.1:51820`; absent if it has to be learnt. */
  readonly endpoint?: string;
  readonly keepaliveSeconds?: number;
}

/** A whole configuration. */
export interface EndSettings {
  readonly keys: KeyPair;
  readonly peer: PeerSettings;
}

/** What `wg show dump` tells of the one peer. */
export interface PeerState {
  readonly publicKey: string;
  readonly endpoint: string;
  /** Unix time in seconds, 0 = never. */
  readonly latestHandshake: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

/** A fresh key pair. */
export function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

/** See the file's comment. */
export abstract class WireGuardEnd implements AsyncDisposable {
  readonly link: string = testName("w");
  #settings: EndSettings | undefined;

  /** @param addresses Inside the tunnel, IPv4 and IPv6, without prefix length. */
  constructor(readonly host: NamedNetns, readonly addresses: readonly [string, string]) {}

  /** What was configured last. */
  get settings(): EndSettings {
    assert(this.#settings !== undefined, `${this.link} is not configured`);
    return this.#settings;
  }

  abstract [Symbol.asyncDispose](): Promise<void>;

  /** Makes link, data path and addresses, without a peer; after {@linkcode WireGuardEnd.kill} again. */
  abstract start(): Promise<void>;

  /** Ends it as a crash would, or, for a kernel, by deleting the link. */
  abstract kill(): Promise<void>;

  /** Starts it again as it was. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
    await this.configure(this.settings);
  }

  /** Replaces keys, port and peer: all sessions end. */
  async configure(settings: EndSettings): Promise<void> {
    this.#settings = settings;
    await this.#wgReading("setconf", configText(settings));
  }

  /** Changes the private key and nothing else. */
  async setPrivateKey(keys: KeyPair): Promise<void> {
    this.#settings = { ...this.settings, keys };
    await this.#wgReading("set", encodeKey(keys.privateKey), "private-key", STDIN);
  }

  /** Adds the peer as it is, or changes it. */
  async setPeer(peer: PeerSettings): Promise<void> {
    this.#settings = { ...this.settings, peer };
    await this.#wgReading("addconf", peerText(peer));
  }

  /** Removes the peer. */
  async removePeer(): Promise<void> {
    await this.wg("set", this.link, "peer", encodeKey(this.settings.peer.publicKey), "remove");
  }

  /** Runs `wg`. */
  async wg(...words: readonly string[]): Promise<string> {
    return await this.host.must(["wg", ...words]);
  }

  /** Reads the peer. */
  async peer(): Promise<PeerState> {
    const lines = (await this.wg("show", this.link, "dump")).trim().split("\n").slice(1);
    assert(lines.length === 1, `${this.link} has ${lines.length} peers`);
    const [publicKey = "", , endpoint = "", , handshake, rx, tx] = lines[0]!.split("\t");
    return {
      publicKey,
      endpoint,
      latestHandshake: Number(handshake),
      rxBytes: Number(rx),
      txBytes: Number(tx),
    };
  }

  /** Waits for a state of the peer. */
  async peerIs(
    what: string,
    fits: (peer: PeerState) => boolean,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<PeerState> {
    let last: PeerState | undefined;
    return await waitFor(what, async () => fits(last = await this.peer()) && last, {
      timeoutMs: options.timeoutMs ?? 60_000,
      intervalMs: 50,
    }).catch((error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
    });
  }

  /** Gives the link its addresses inside the tunnel. */
  protected async addAddresses(...addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      const nodad = address.includes(":") ? ["nodad"] : [];
      await this.host.must(["ip", "address", "replace", address, "dev", this.link, ...nodad]);
    }
  }

  async #wgReading(verb: string, text: string, ...words: readonly string[]): Promise<void> {
    const script = 'text="$1"; shift; printf "%s\\n" "$text" | wg "$@"';
    const rest = words.length === 0 ? [STDIN] : words;
    await this.host.must(["sh", "-ec", script, "sh", text, verb, this.link, ...rest]);
  }
}

function configText({ keys, peer }: EndSettings): string {
  return `[Interface]\nPrivateKey=${encodeKey(keys.privateKey)}\nListenPort=${PORT}\n${peerText(peer)}`;
}

function peerText(peer: PeerSettings): string {
  const lines = [
    "[Peer]",
    `PublicKey=${encodeKey(peer.publicKey)}`,
    `AllowedIPs=${peer.allowedIps.join(",")}`,
  ];
  if (peer.presharedKey) lines.push(`PresharedKey=${encodeKey(peer.presharedKey)}`);
  if (peer.endpoint !== undefined) lines.push(`Endpoint=${peer.endpoint}`);
  if (peer.keepaliveSeconds !== undefined) lines.push(`PersistentKeepalive=${peer.keepaliveSeconds}`);
  return lines.join("\n");
}
