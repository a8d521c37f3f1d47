/**
 * The Host Networking Service by its nouns: networks, endpoints, namespaces that are created, opened, queried,
 * changed and deleted by GUID.
 *
 * What every caller needs is done here: a service that is just restarting is asked again, deletion of what is
 * gone is success, and an answer that is an error becomes an {@linkcode HcnError} that says what was attempted.
 */

import type { HcnCall, HcnFunction, HcnHandle, HcnReply } from "../../../ffi/computenetwork.ts";
import { HcnError } from "../../../ffi/errors.ts";
import type { Guid } from "../../../ffi/windows/guid.ts";
import {
  describeHresult,
  HCN_E_VFP_NOT_ALLOWED,
  type HresultClass,
  hresultClass,
  succeeded,
} from "../../../ffi/windows/hresult.ts";
import type { Clock } from "../../clock.ts";
import {
  AlreadyExistsError,
  NotFoundError,
  OverlayError,
  PermissionError,
  UnavailableError,
} from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { CallLimits } from "./call_guard.ts";
import { type HcnDocument, queryDocument } from "./documents.ts";
import { OpenHandles } from "./open_handles.ts";
import { readGuidList } from "./readings.ts";

/** What HCN keeps. */
export type HcnKind = "Network" | "Endpoint" | "Namespace";

/** Makes calls, with deadlines; {@linkcode CallGuard} on a node. */
export interface HcnCaller {
  call(call: HcnCall, limits?: CallLimits): Promise<HcnReply>;
}

/** What an {@linkcode Hns} works with. */
export interface HnsOptions {
  readonly caller: HcnCaller;
  readonly clock: Clock;
  readonly log: Log;
}

/** Attempts at a call while the service is stopping or starting. */
const ATTEMPTS = 3;
const ATTEMPT_PAUSE_MS = 200;

/** An open object; it is closed at the end of its scope. */
export interface HcnObject extends AsyncDisposable {
  readonly id: Guid;
  readonly handle: HcnHandle;
  /** Its properties, JSON. */
  query(): Promise<string>;
  /** @param what Being done, for messages. */
  modify(settings: HcnDocument, what: string): Promise<void>;
}

/** See the module. */
export class Hns {
  readonly #options: HnsOptions;
  readonly #limits: CallLimits;
  readonly #handles: OpenHandles;

  /** @param limits Of every call. @param handles Those that are open. */
  constructor(options: HnsOptions, limits: CallLimits = {}, handles = new OpenHandles()) {
    this.#options = options;
    this.#limits = limits;
    this.#handles = handles;
  }

  /** The same service for someone whose time ends at this monotonic time. */
  until(giveUpAtMs: number): Hns {
    return new Hns(this.#options, { giveUpAtMs }, this.#handles);
  }

  /** Ids of all objects of a kind, or of those that pass a filter; a service may ignore the filter. */
  async enumerate(kind: HcnKind, filter?: Readonly<Record<string, string>>): Promise<Guid[]> {
    const fn: HcnFunction = `HcnEnumerate${kind}s`;
    const what = `cannot list HCN ${kind.toLowerCase()}s`;
    const reply = await this.#call({ fn, text: JSON.stringify(queryDocument(filter)) }, what);
    return readGuidList(reply.text ?? "", (element) => {
      this.#options.log.warn("HCN listed something that is no GUID", { call: fn, element: String(element) });
    });
  }

  /** Opens an object; `undefined` if there is none of this id. */
  async open(kind: HcnKind, id: Guid): Promise<HcnObject | undefined> {
    await this.#handles.enter(id);
    let object: HcnObject | undefined;
    try {
      const what = `cannot open HCN ${kind.toLowerCase()} ${id}`;
      const { handle } = await this.#call({ fn: `HcnOpen${kind}`, id }, what);
      return object = handle ? this.#object(kind, id, handle) : undefined;
    } catch (error) {
      if (isHcn(error, "not-found")) return undefined;
      throw error;
    } finally {
      if (!object) this.#handles.remove(id);
    }
  }

  /** Properties of an object; `undefined` if there is none of this id. */
  async read(kind: HcnKind, id: Guid): Promise<string | undefined> {
    await using object = await this.open(kind, id);
    try {
      return await object?.query();
    } catch (error) {
      if (isHcn(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** Creates an object. @param options `network` of an endpoint; `what` is being done, for messages. */
  async create(
    kind: HcnKind,
    id: Guid,
    options: { readonly settings: HcnDocument; readonly what: string; readonly network?: HcnObject },
  ): Promise<HcnObject> {
    const { settings, what, network } = options;
    const handle = network ? { handle: network.handle } : {};
    const fn: HcnFunction = `HcnCreate${kind}`;
    const reply = await this.#call({ fn, id, ...handle, text: JSON.stringify(settings) }, what);
    if (!reply.handle) throw new OverlayError("internal", `${what}: ${fn} gave no handle`);
    this.#handles.add(id);
    return this.#object(kind, id, reply.handle);
  }

  /** Deletes an object when nobody here reads it any more. @returns Whether it was there. */
  async delete(kind: HcnKind, id: Guid): Promise<boolean> {
    const what = `cannot delete HCN ${kind.toLowerCase()} ${id}`;
    try {
      await this.#handles.alone(id, () => this.#call({ fn: `HcnDelete${kind}`, id }, what));
      return true;
    } catch (error) {
      if (isHcn(error, "not-found")) return false;
      throw error;
    }
  }

  #object(kind: HcnKind, id: Guid, handle: HcnHandle): HcnObject {
    const noun = kind.toLowerCase();
    return {
      id,
      handle,
      query: async () => {
        const text = JSON.stringify(queryDocument());
        const fn: HcnFunction = `HcnQuery${kind}Properties`;
        return (await this.#call({ fn, id, handle, text }, `cannot query HCN ${noun} ${id}`)).text ?? "";
      },
      modify: async (settings, what) => {
        await this.#call({ fn: `HcnModify${kind}`, id, handle, text: JSON.stringify(settings) }, what);
      },
      [Symbol.asyncDispose]: async () => {
        // Not within anybody's time: a handle has to be closed however late it is.
        const close: HcnCall = { fn: `HcnClose${kind}`, id, handle };
        await this.#options.caller.call(close).catch((err) =>
          this.#options.log.warn("cannot close a handle of HCN", { call: close.fn, id, err })
        );
        this.#handles.remove(id);
      },
    };
  }

  async #call(call: HcnCall, what: string): Promise<HcnReply> {
    const { caller, clock, log } = this.#options;
    for (let attempt = 1;; attempt++) {
      const reply = await caller.call(call, this.#limits);
      const { hresult, record } = reply;
      if (succeeded(hresult)) {
        if (record !== "") log.warn("HCN succeeded with an error record", { call: call.fn, record });
        return reply;
      }
      if (hresultClass(hresult) !== "transient" || attempt === ATTEMPTS) {
        throw new HcnError(what, call.fn, hresult, {
          text: describeHresult(hresult),
          record,
          attempts: attempt,
        });
      }
      await pause(clock, ATTEMPT_PAUSE_MS);
    }
  }
}

/** Resolves after some time of the clock. */
export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}

/** Whether an error is an answer of HCN of one of these classes. */
export function isHcn(error: unknown, ...classes: readonly HresultClass[]): error is HcnError {
  return error instanceof HcnError && classes.includes(hresultClass(error.hresult));
}

/** Whether the service has answered and refused at once, so that nothing has happened. */
export function isRefusal(error: unknown): boolean {
  return error instanceof HcnError && error.attempts === 1 && !isHcn(error, "transient");
}

/** An answer of HCN as an error of the domain; any other error as it is. */
export function toOverlayError(error: unknown): unknown {
  if (!(error instanceof HcnError)) return error;
  const { message, hresult } = error;
  const options = { cause: error };
  switch (hresultClass(hresult)) {
    case "access-denied":
      return new PermissionError(
        `${message} (access denied: run the daemon as LocalSystem or an administrator)`,
        options,
      );
    case "not-found":
      return new NotFoundError("HCN object", error.op, { message, ...options });
    case "already-exists":
    case "already-attached":
      return new AlreadyExistsError(message, options);
    case "transient":
      return new UnavailableError(`${message} (the service hns is stopping or restarting)`, options);
    default:
      return new OverlayError("internal", message, options);
  }
}

/** Whether a document was refused for one of its policies. */
export function isPolicyRefusal(error: unknown): error is HcnError {
  return isHcn(error, "policy") || (error instanceof HcnError && error.hresult === HCN_E_VFP_NOT_ALLOWED);
}
