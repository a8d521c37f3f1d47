/** What a running ping loses from a moment on, its first packets and those that are late left out. */
import { assertEquals } from "@std/assert";
import type { RunningPing } from "../running_ping.ts";
import { waitFor } from "../wait_for.ts";

/** Answers after which a session is settled: half a second's. */
const SETTLED = 25;
/** What has not come for so long does not come. */
const LATE_MS = 5_000;

/** See the file's comment. */
export class LossCount {
  readonly #ping: RunningPing;
  readonly #before: number;

  private constructor(ping: RunningPing, before: number) {
    this.#ping = ping;
    this.#before = before;
  }

  /** Counts from when the session is settled. */
  static async begin(ping: RunningPing): Promise<LossCount> {
    await ping.answeredMore(SETTLED, { timeoutMs: 60_000 });
    return new LossCount(ping, ping.loss.lost);
  }

  /** Fails if something was lost since, and does not come after all. */
  async assertNone(): Promise<void> {
    const none = (): boolean => this.#ping.loss.lost <= this.#before;
    await waitFor("late answers", none, { timeoutMs: LATE_MS }).catch(() => {});
    const { sent, lost } = this.#ping.loss;
    assertEquals(lost - this.#before, 0, `of ${sent}, ${this.#before} of them before`);
  }
}
