/**
 * Deadlines and a circuit breaker before the Host Networking Service.
 *
 * A call that is not back in time has failed for whoever made it, though it may still go on: the thread that
 * makes it cannot be stopped. From then on new calls fail at once with the reason, until a late call comes back
 * or a probe, on a fresh channel, is answered. Whatever a late call then brings is given back: its handle is
 * closed, and an endpoint or namespace that nobody waits for any more is deleted. Until then no handle is closed
 * that such a call uses, and nothing is deleted that it may still make or change.
 *
 * The service does one thing after another, so a crowd of calls would look like one that hangs: few are made at a
 * time, and the others wait in a queue.
 */

import type { HcnCall, HcnReply } from "../../../ffi/computenetwork.ts";
import { succeeded } from "../../../ffi/windows/hresult.ts";
import type { Clock } from "../../clock.ts";
import { DeadlineError, describeError, UnavailableError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { CallQueue, type Leave } from "./call_queue.ts";
import { type HcnChannel, NoServiceError } from "./channel.ts";
import { queryDocument } from "./documents.ts";

/** A call that takes longer hangs: creating a network with its switch takes seconds. */
const CALL_DEADLINE_MS = 15_000;
/** Calls made at a time. What takes seconds on a busy host is to be done within the deadline behind three others. */
const MAX_CALLS = 4;
const PROBE_DEADLINE_MS = 5_000;
/** Pause before a probe, doubled after each that fails. */
const FIRST_PROBE_MS = 1_000;
const LAST_PROBE_MS = 60_000;
/** Each hanging call holds a thread, so with so many of them no probe is sent any more; one has to come back. */
const MAX_STUCK = 16;
/** Cheap, and changes nothing. */
const PROBE: HcnCall = { fn: "HcnEnumerateNetworks", text: JSON.stringify(queryDocument()) };

/** What a guard is made of. */
export interface CallGuardOptions {
  /** Opens a channel; called again when one has calls that hang. */
  readonly open: () => HcnChannel;
  readonly clock: Clock;
  readonly log: Log;
}

/** A channel, and how many calls it has to answer. */
interface Lane {
  readonly channel: HcnChannel;
  pending: number;
  retired: boolean;
}

/** A call that nobody waits for any more. */
interface StuckCall {
  readonly call: HcnCall;
  readonly sinceMs: number;
}

/** Limits of one call. */
export interface CallLimits {
  /** Monotonic time after which the caller does not wait, however young the call. */
  readonly giveUpAtMs?: number;
}

/** See the module. */
export class CallGuard {
  readonly #options: CallGuardOptions;
  readonly #queue: CallQueue;
  readonly #lanes = new Set<Lane>();
  readonly #stuck = new Set<StuckCall>();
  /** Calls under way that nobody waits for any more, for want of time or because they are stuck. */
  readonly #adrift = new Set<HcnCall>();
  /** Closes that were refused: a handle is to be closed however long that takes. */
  #owed: HcnCall[] = [];
  readonly #listeners = new Set<() => void>();
  #lane: Lane | undefined;
  /** Set while new calls are refused. */
  #trouble: { readonly fn: string; readonly sinceMs: number } | undefined;
  #absence: string | undefined;
  #cancelProbe = (): void => {};
  #closed = false;

  constructor(options: CallGuardOptions) {
    this.#options = options;
    this.#queue = new CallQueue(MAX_CALLS, options.clock);
  }

  /** Why calls fail at once; `undefined` while they do not. */
  get trouble(): string | undefined {
    if (this.#trouble === undefined) return undefined;
    const seconds = Math.round((this.#options.clock.monotonicMs() - this.#trouble.sinceMs) / 1000);
    return `the Host Networking Service does not answer: ${this.#trouble.fn} has not come back for ${seconds} s; ` +
      "calls are refused until it does (restart the service hns if it stays so)";
  }

  /** Why there is no service, if the last call that was answered found none. */
  get absence(): string | undefined {
    return this.#absence;
  }

  /** Calls back each time the service answers again. */
  onRecovered(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Makes a call. A close is accepted at any time; if need be it is made later. Calls are to have the object's id
   * also where the function itself has no use for it.
   *
   * @throws {UnavailableError} If it did not come back in time, or none is made now.
   * @throws {DeadlineError} If the caller's own time was up first.
   */
  async call(call: HcnCall, limits: CallLimits = {}): Promise<HcnReply> {
    if (call.fn.startsWith("HcnClose")) return await this.#close(call);
    this.#check(call);
    const leave = this.#queue.enter() ?? await this.#turn(call, limits);
    try {
      return await this.#run(call, { ...limits, deadlineMs: CALL_DEADLINE_MS });
    } finally {
      leave();
    }
  }

  async #close(call: HcnCall): Promise<HcnReply> {
    if (this.#trouble === undefined && !this.#isInUse(call)) {
      return await this.#run(call, { deadlineMs: CALL_DEADLINE_MS });
    }
    this.#owed.push(call);
    return { hresult: 0, record: "" };
  }

  async #turn(call: HcnCall, { giveUpAtMs }: CallLimits): Promise<Leave> {
    const leave = await this.#queue.wait(
      giveUpAtMs,
      () => new DeadlineError(`${call.fn} was not made in time, as others went before`),
    );
    try {
      this.#check(call);
    } catch (error) {
      leave();
      throw error;
    }
    return leave;
  }

  /** @throws {UnavailableError} If the call is not to be made now. */
  #check(call: HcnCall): void {
    const { trouble } = this;
    if (trouble !== undefined) throw new UnavailableError(trouble);
    const other = call.fn.startsWith("HcnDelete") ? this.#unfinished(call) : undefined;
    if (other) throw new UnavailableError(`${call.fn} of ${call.id} has to wait until ${other.fn} is back`);
  }

  /** Ends all channels; calls under way are rejected. */
  close(): void {
    this.#closed = true;
    this.#cancelProbe();
    this.#queue.refuseAll(closedError);
    for (const lane of this.#lanes) lane.channel.close();
    this.#lanes.clear();
    this.#lane = undefined;
  }

  #run(call: HcnCall, { giveUpAtMs, deadlineMs }: CallLimits & { deadlineMs: number }): Promise<HcnReply> {
    if (this.#closed) return Promise.reject(closedError());
    const { clock } = this.#options;
    const lane = this.#openLane();
    const sinceMs = clock.monotonicMs();
    const stuck: StuckCall = { call, sinceMs };
    const { promise, resolve, reject } = Promise.withResolvers<HcnReply>();
    let isAwaited = true;
    const abandon = (error: Error): void => {
      isAwaited = false;
      this.#adrift.add(call);
      reject(error);
    };
    const cancelDeadline = clock.after(deadlineMs, () => {
      this.#stuck.add(stuck);
      this.#trip(stuck, lane);
      abandon(new UnavailableError(this.trouble ?? `${call.fn} does not come back`));
    });
    const cancelGiveUp = giveUpAtMs === undefined ? (): void => {} : clock.after(
      giveUpAtMs - sinceMs,
      () => isAwaited && abandon(new DeadlineError(`${call.fn} did not come back in time`)),
    );
    const finish = (): boolean => {
      cancelDeadline();
      cancelGiveUp();
      this.#leave(lane);
      return this.#stuck.delete(stuck);
    };
    lane.channel.call(call).then(async (reply) => {
      this.#absence = undefined;
      const wasStuck = finish();
      if (isAwaited) return resolve(reply);
      // Before anybody is told to go on: whoever cleans up must not come across it half-way.
      await this.#giveBack(call, reply);
      this.#adrift.delete(call);
      await this.#cameBack(wasStuck);
    }, (error) => {
      if (error instanceof NoServiceError) this.#absence = error.message;
      this.#adrift.delete(call);
      void this.#cameBack(finish());
      // A channel that broke is replaced at the next call.
      if (error instanceof UnavailableError) this.#retire(lane);
      reject(error);
    });
    return promise;
  }

  /** What has to be done when a call is back, however late it was. */
  async #cameBack(wasStuck: boolean): Promise<void> {
    if (wasStuck) await this.#recover();
    else if (this.#trouble === undefined) await this.#payOwed();
  }

  /** A late success made something that whoever asked for it has undone already, or thinks was never made. */
  async #giveBack(call: HcnCall, reply: HcnReply): Promise<void> {
    if (!succeeded(reply.hresult) || !reply.handle) return;
    const kind = /^Hcn(?:Create|Open)(.*)$/.exec(call.fn)![1]!;
    const follow: HcnCall[] = [{ fn: `HcnClose${kind}` as HcnCall["fn"], handle: reply.handle }];
    // A network is found by its name when it is next wanted.
    if (call.fn === "HcnCreateEndpoint" || call.fn === "HcnCreateNamespace") {
      follow.push({ fn: `HcnDelete${kind}` as HcnCall["fn"], id: call.id! });
    }
    for (const one of follow) await this.#finish(one);
  }

  /** A call that cleans up and that nobody waits for. */
  async #finish(call: HcnCall): Promise<void> {
    await this.#run(call, { deadlineMs: CALL_DEADLINE_MS }).catch((err) =>
      this.#options.log.warn("cannot give back what an HCN call brought", { call: call.fn, err })
    );
  }

  /** Makes the closes that were refused, but for handles that a hanging call still uses. */
  async #payOwed(): Promise<void> {
    const due = this.#owed.filter((call) => !this.#isInUse(call));
    this.#owed = this.#owed.filter((call) => this.#isInUse(call));
    for (const call of due) await this.#finish(call);
  }

  /** Whether a call that is still under way has been given this call's handle. */
  #isInUse({ handle }: HcnCall): boolean {
    return [...this.#adrift].some((one) => one.handle === handle);
  }

  /** A call on the same object that nobody waits for, or a close of it that is still to be made. */
  #unfinished({ id }: HcnCall): HcnCall | undefined {
    return [...this.#adrift, ...this.#owed].find((one) => one.id === id);
  }

  #openLane(): Lane {
    if (this.#lane === undefined) {
      this.#lane = { channel: this.#options.open(), pending: 0, retired: false };
      this.#lanes.add(this.#lane);
    }
    this.#lane.pending++;
    return this.#lane;
  }

  #leave(lane: Lane): void {
    lane.pending--;
    this.#closeIfIdle(lane);
  }

  /** No new calls on this channel. It is closed when it has brought back what it owes. */
  #retire(lane: Lane): void {
    lane.retired = true;
    if (this.#lane === lane) this.#lane = undefined;
    this.#closeIfIdle(lane);
  }

  #closeIfIdle(lane: Lane): void {
    if (!lane.retired || lane.pending > 0 || !this.#lanes.delete(lane)) return;
    lane.channel.close();
  }

  #trip({ call, sinceMs }: StuckCall, lane: Lane): void {
    this.#retire(lane);
    if (this.#trouble !== undefined) return;
    this.#trouble = { fn: call.fn, sinceMs };
    this.#queue.refuseAll(() => new UnavailableError(this.trouble!));
    this.#options.log.error("the Host Networking Service does not answer; calls are refused", {
      call: call.fn,
    });
    this.#probeAfter(FIRST_PROBE_MS);
  }

  async #recover(): Promise<void> {
    await this.#payOwed();
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#cancelProbe();
    // What was refused while the others were made.
    await this.#payOwed();
    this.#options.log.info("the Host Networking Service answers again");
    for (const listener of this.#listeners) listener();
  }

  #probeAfter(delayMs: number): void {
    if (this.#closed || this.#trouble === undefined) return;
    this.#cancelProbe = this.#options.clock.after(delayMs, () => void this.#probe(delayMs));
  }

  async #probe(delayMs: number): Promise<void> {
    try {
      if (this.#stuck.size < MAX_STUCK) {
        await this.#run(PROBE, { deadlineMs: PROBE_DEADLINE_MS });
        return await this.#recover();
      }
    } catch (error) {
      this.#options.log.debug("the Host Networking Service still does not answer", {
        err: describeError(error),
      });
    }
    this.#probeAfter(Math.min(2 * delayMs, LAST_PROBE_MS));
  }
}

function closedError(): UnavailableError {
  return new UnavailableError("the HCN backend is closed");
}
