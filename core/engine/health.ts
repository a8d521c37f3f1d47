/**
 * Health of peers, told as events: a peer is healthy while its last handshake is less than 180 s old
 * (overlay-core 6). Every peer is told when first seen and then on each change; one that goes is not told.
 */

import type { OverlayEvent } from "../service.ts";
import { isPeerHealthy } from "../wireguard/health.ts";
import { encodeKey } from "../wireguard/keys.ts";
import type { EngineContext } from "./context.ts";
import { type DeviceReader, findDevice } from "./devices.ts";

/** Time between looks: a change is told this much late at most. */
const INTERVAL_MS = 10_000;

/** Looks after all peers of all devices. */
export class HealthMonitor {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #emit: (event: OverlayEvent) => void;
  #known = new Map<string, boolean>();
  #cancel = (): void => {};
  #stopped = false;

  constructor(context: EngineContext, reader: DeviceReader, emit: (event: OverlayEvent) => void) {
    this.#context = context;
    this.#reader = reader;
    this.#emit = emit;
  }

  /** Begins to look, now and then. */
  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#context.clock.after(INTERVAL_MS, () => void this.look().then(() => this.start()));
  }

  /** Ends it. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** One look; resolves when all changes are told. */
  async look(): Promise<void> {
    const { store, clock } = this.#context;
    const seen = new Map<string, boolean>();
    for (const service of ["", ...store.services.keys()]) {
      const device = findDevice(this.#context, service);
      const state = device && await this.#reader.read(device.interface);
      for (const peer of state?.peers ?? []) {
        const { lastHandshakeUnixSecs: at } = peer;
        const handshakeMs = at === 0 ? undefined : at * 1000;
        seen.set(encodeKey(peer.publicKey), isPeerHealthy(handshakeMs, clock.wallSeconds() * 1000));
      }
    }
    const known = this.#known;
    this.#known = seen;
    for (const [pubkey, healthy] of seen) {
      if (known.get(pubkey) !== healthy) this.#emit({ event: "peer_health_changed", pubkey, healthy });
    }
  }
}
