/**
 * HCN endpoints and the namespaces that containers see them in.
 *
 * Connecting a container makes a namespace, then an endpoint, then puts the one into the other. Each is undone
 * in reverse if a later step fails; also one whose making was never answered, since it may exist all the same.
 */

import type { Guid } from "../../../ffi/windows/guid.ts";
import type { Clock } from "../../clock.ts";
import {
  attachIsLate,
  DeadlineError,
  describeError,
  IncompleteUndoError,
  TeardownError,
} from "../../errors.ts";
import type { Log } from "../../log.ts";
import type {
  ContainerConnection,
  ContainerEndpointSpec,
  ContainerPlace,
  ContainerRepairSpec,
} from "../containers.ts";
import { NoServiceError } from "./channel.ts";
import { modifyNamespaceDocument, namespaceDocument } from "./documents.ts";
import { EndpointMaker } from "./endpoint_maker.ts";
import { type HcnObject, type Hns, isHcn, isRefusal, toOverlayError } from "./hns.ts";
import { readEndpointName } from "./names.ts";
import type { HcnNetworks, KnownNetwork } from "./networks.ts";
import {
  type EndpointReading,
  isSystemNamespace,
  type NamespaceReading,
  readEndpoint,
  readNamespace,
} from "./readings.ts";

/** What {@linkcode HcnEndpoints} works with. */
export interface EndpointsOptions {
  readonly hns: Hns;
  readonly networks: HcnNetworks;
  readonly clock: Clock;
  readonly log: Log;
}

/** Steps that take back what was made, in the order of making. */
type UndoList = (() => Promise<unknown>)[];

/** See the module. */
export class HcnEndpoints {
  readonly #options: EndpointsOptions;
  readonly #maker: EndpointMaker;

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.#maker = new EndpointMaker(options);
  }

  /** Connects a container; see `ContainerNetworks.attach`. */
  attach(spec: ContainerEndpointSpec): Promise<ContainerConnection> {
    const explain = (error: unknown): unknown =>
      error instanceof DeadlineError ? attachIsLate(spec.containerId, error.message) : toOverlayError(error);
    return this.#allOrNothing((undo) => this.#connect(spec, undo), explain);
  }

  async #allOrNothing<T>(
    work: (undo: UndoList) => Promise<T>,
    explain: (error: unknown) => unknown = toOverlayError,
  ): Promise<T> {
    const undo: UndoList = [];
    try {
      return await work(undo);
    } catch (error) {
      const cause = explain(error);
      await this.#undo(undo, cause);
      throw cause;
    }
  }

  async #undo(undo: UndoList, cause: unknown): Promise<void> {
    const errors: unknown[] = [];
    for (const step of undo.reverse()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
        this.#options.log.warn("cannot undo what failed", { err: error });
      }
    }
    if (errors.length > 0) throw new IncompleteUndoError(cause, errors);
  }

  async #connect(spec: ContainerEndpointSpec, undo: UndoList): Promise<ContainerConnection> {
    const { networks, clock } = this.#options;
    const network = await networks.ensure(spec.network);
    if (clock.monotonicMs() >= spec.giveUpAtMs) {
      throw new DeadlineError(`its network ${network.name} took too long`);
    }
    const hns = this.#options.hns.until(spec.giveUpAtMs);
    await using namespace = await this.#makeNamespace(hns, spec, undo);
    const id = await this.#realId(namespace, spec, undo);
    await using endpoint = await this.#makeEndpoint(hns, spec, { network, undo });
    const { mac } = await this.#place(namespace, endpoint, spec);
    return { namespace: id, ...(mac === undefined ? {} : { mac }) };
  }

  async #makeEndpoint(
    hns: Hns,
    spec: ContainerEndpointSpec,
    { network, undo }: { readonly network: KnownNetwork; readonly undo: UndoList },
  ): Promise<HcnObject> {
    const { known, handle } = await this.#maker.openNetwork(hns, spec.network, network);
    await using open = handle;
    return await this.#make(
      undo,
      () => this.#options.hns.delete("Endpoint", spec.endpoint),
      () => this.#maker.create(hns, spec, { known, handle: open }),
    );
  }

  /** Makes something. What was refused needs no undoing; what was not answered may be there. */
  async #make<T>(undo: UndoList, remove: () => Promise<unknown>, make: () => Promise<T>): Promise<T> {
    undo.push(remove);
    try {
      return await make();
    } catch (error) {
      if (isRefusal(error)) undo.pop();
      throw error;
    }
  }

  #makeNamespace(
    hns: Hns,
    { namespace, containerId }: ContainerEndpointSpec,
    undo: UndoList,
  ): Promise<HcnObject> {
    const what = `cannot create an HCN namespace for container ${containerId}`;
    return this.#make(
      undo,
      () => this.#options.hns.delete("Namespace", namespace),
      () => hns.create("Namespace", namespace, { settings: namespaceDocument(), what }),
    );
  }

  /** The id that the host gave the namespace: the wanted one, unless it says otherwise. */
  async #realId(namespace: HcnObject, spec: ContainerEndpointSpec, undo: UndoList): Promise<Guid> {
    const id = await this.#readId(namespace) ?? spec.namespace;
    if (id === spec.namespace) return id;
    undo.pop();
    undo.push(() => this.#options.hns.delete("Namespace", id));
    await spec.onNamespace(id);
    return id;
  }

  async #readId(namespace: HcnObject): Promise<Guid | undefined> {
    try {
      return readNamespace(await namespace.query()).id;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return undefined;
    }
  }

  /** Mends a connection; see `ContainerNetworks.repair`. */
  async repair(spec: ContainerRepairSpec): Promise<"whole" | "lost"> {
    const network = await this.#options.networks.ensure(spec.network);
    const hns = this.#options.hns.until(spec.giveUpAtMs);
    await using namespace = await hns.open("Namespace", spec.namespace);
    const reading = namespace && readNamespace(await namespace.query());
    if (!reading || isSystemNamespace(spec.namespace, reading)) return "lost";
    const { known, handle } = await this.#maker.openNetwork(hns, spec.network, network);
    await using open = handle;
    await using present = await this.#usable(hns, spec, known);
    if (!present && reading.endpoints.includes(spec.endpoint)) {
      await this.#dropReference(namespace, spec.endpoint);
    }
    if (present) await this.#place(namespace, present, spec);
    else {
      await this.#allOrNothing(async (undo) => {
        await using made = await this.#make(
          undo,
          () => this.#options.hns.delete("Endpoint", spec.endpoint),
          () => this.#maker.recreate(hns, spec, { known, handle: open }),
        );
        await this.#place(namespace, made, spec);
      });
    }
    return "whole";
  }

  /** Puts an endpoint into its namespace. @returns What it says of itself then. */
  async #place(
    namespace: HcnObject,
    endpoint: HcnObject,
    spec: Pick<ContainerEndpointSpec, "address" | "containerId">,
  ): Promise<EndpointReading> {
    await this.#maker.add(namespace, endpoint, spec.containerId);
    return await this.#maker.verify(endpoint, spec);
  }

  /** The endpoint if it is there and on this network; one that is on another, which is gone, is deleted. */
  async #usable(hns: Hns, spec: ContainerRepairSpec, { id }: KnownNetwork): Promise<HcnObject | undefined> {
    const endpoint = await hns.open("Endpoint", spec.endpoint);
    if (!endpoint) return undefined;
    let isUsable = false;
    try {
      const { network } = readEndpoint(await endpoint.query());
      isUsable = network === undefined || network === id;
    } finally {
      if (!isUsable) await endpoint[Symbol.asyncDispose]();
    }
    if (isUsable) return endpoint;
    await this.#options.hns.delete("Endpoint", spec.endpoint);
    return undefined;
  }

  /** HNS may keep the id of an endpoint that is gone, and take a new one of this id for one that is in already. */
  async #dropReference(namespace: HcnObject, endpoint: Guid): Promise<void> {
    try {
      await this.#takeOut(namespace, endpoint);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#options.log.debug("HCN keeps the reference to an endpoint that is gone", {
        namespace: namespace.id,
        err: describeError(error),
      });
    }
  }

  /** Whether a place is whole; see `ContainerNetworks.inspect`. */
  async inspect({ namespace, endpoints }: ContainerPlace): Promise<"whole" | "gone" | "broken"> {
    const reading = namespace === undefined ? undefined : await this.#readNamespace(namespace);
    let there = 0;
    for (const id of endpoints) if (await this.#isThere(id)) there++;
    if (!reading && there === 0) return "gone";
    const isWhole = reading && there === endpoints.length &&
      endpoints.every((id) => reading.endpoints.includes(id));
    return isWhole ? "whole" : "broken";
  }

  async #isThere(endpoint: Guid): Promise<boolean> {
    await using object = await this.#options.hns.open("Endpoint", endpoint);
    return object !== undefined;
  }

  async #readNamespace(id: Guid): Promise<NamespaceReading | undefined> {
    const text = await this.#options.hns.read("Namespace", id);
    return text === undefined ? undefined : readNamespace(text);
  }

  /** Disconnects; see `ContainerNetworks.detach`. */
  async detach({ namespace, endpoints }: ContainerPlace): Promise<void> {
    const errors: unknown[] = [];
    const attempt = async <T>(step: () => Promise<T>): Promise<T | undefined> => {
      try {
        return await step();
      } catch (error) {
        if (error instanceof NoServiceError) throw error;
        errors.push(toOverlayError(error));
        return undefined;
      }
    };
    const isEmptied = namespace !== undefined &&
      await attempt(() => this.#empty(namespace, endpoints, attempt)) === true;
    for (const id of endpoints) await attempt(() => this.#options.hns.delete("Endpoint", id));
    if (isEmptied) await attempt(() => this.#options.hns.delete("Namespace", namespace));
    if (errors.length === 0) return;
    const what = namespace === undefined ? `endpoint ${endpoints.join(", ")}` : `namespace ${namespace}`;
    throw new TeardownError(`cannot remove HCN ${what}`, errors);
  }

  /** Takes the endpoints out of their namespace. @returns Whether it is there and may go. */
  async #empty(
    id: Guid,
    endpoints: readonly Guid[],
    attempt: (step: () => Promise<void>) => Promise<unknown>,
  ): Promise<boolean> {
    await using namespace = await this.#options.hns.open("Namespace", id);
    if (!namespace) return false;
    const reading = readNamespace(await namespace.query());
    if (isSystemNamespace(id, reading)) return false;
    for (const endpoint of endpoints) await attempt(() => this.#takeOut(namespace, endpoint));
    const others = reading.endpoints.filter((one) => !endpoints.includes(one));
    for (const other of others) {
      if (!await this.#isThere(other)) continue;
      this.#options.log.warn("an HCN namespace holds endpoints of others and stays", {
        namespace: id,
        other,
      });
      return false;
    }
    return true;
  }

  async #takeOut(namespace: HcnObject, endpoint: Guid): Promise<void> {
    const what = `cannot take endpoint ${endpoint} out of HCN namespace ${namespace.id}`;
    try {
      await namespace.modify(modifyNamespaceDocument("Remove", endpoint), what);
    } catch (error) {
      if (!isHcn(error, "not-found")) throw error;
    }
  }

  /** Endpoints in a namespace if all are ours; see `ContainerNetworks.claim`. */
  async claim(deployment: string, namespace: Guid): Promise<readonly Guid[] | undefined> {
    const reading = await this.#readNamespace(namespace);
    if (!reading || isSystemNamespace(namespace, reading)) return undefined;
    let isOurs = false;
    for (const id of reading.endpoints) {
      const text = await this.#options.hns.read("Endpoint", id);
      if (text === undefined) continue;
      const { name } = readEndpoint(text);
      isOurs = readEndpointName(deployment, name) !== undefined;
      if (isOurs) continue;
      this.#options.log.info("an HCN namespace is not ours to remove", { namespace, endpoint: name });
      return undefined;
    }
    // Nothing shows that an empty one was ever ours, nor one that keeps ids of endpoints that are gone.
    return isOurs ? reading.endpoints : undefined;
  }
}
