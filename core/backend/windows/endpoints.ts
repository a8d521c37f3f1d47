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
  IncompleteUndoError,
  OverlayError,
  TeardownError,
} from "../../errors.ts";
import { formatIp, ipEquals, parseIp } from "../../ip/address.ts";
import { canonicalPrefix, formatPrefix } from "../../ip/prefix.ts";
import type { Log } from "../../log.ts";
import type { ContainerEndpointSpec, ContainerPlace } from "../containers.ts";
import { endpointDocument, modifyNamespaceDocument, namespaceDocument } from "./documents.ts";
import { type HcnObject, type Hns, isHcn, isPolicyRefusal, isRefusal, pause, toOverlayError } from "./hns.ts";
import { endpointName, readEndpointName } from "./names.ts";
import type { HcnNetworks, KnownNetwork } from "./networks.ts";
import { isSystemNamespace, type NamespaceReading, readEndpoint, readNamespace } from "./readings.ts";

/** A network is not ready for addresses right after it was made; so long a refusal of one is not final. */
const YOUNG_MS = 10_000;
/** How long it is tried again then, and after which pauses; the last one repeats. */
const SETTLE_MS = 5_000;
const SETTLE_PAUSES_MS = [100, 200, 400, 800, 1000] as const;

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

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** Connects a container; see `ContainerNetworks.attach`. */
  async attach(spec: ContainerEndpointSpec): Promise<Guid> {
    const undo: UndoList = [];
    try {
      return await this.#connect(spec, undo);
    } catch (error) {
      const isLate = error instanceof DeadlineError;
      const cause = isLate ? attachIsLate(spec.containerId, error.message) : toOverlayError(error);
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
        this.#options.log.warn("cannot undo a failed attach", { err: error });
      }
    }
    if (errors.length > 0) throw new IncompleteUndoError(cause, errors);
  }

  async #connect(spec: ContainerEndpointSpec, undo: UndoList): Promise<Guid> {
    const { networks, clock } = this.#options;
    const network = await networks.ensure(spec.network);
    if (clock.monotonicMs() >= spec.giveUpAtMs) {
      throw new DeadlineError(`its network ${network.name} took too long`);
    }
    const hns = this.#options.hns.until(spec.giveUpAtMs);
    await using namespace = await this.#makeNamespace(hns, spec, undo);
    const id = await this.#realId(namespace, spec, undo);
    await using endpoint = await this.#makeEndpoint(hns, spec, { network, undo });
    await this.#add(namespace, endpoint, spec);
    await this.#verify(endpoint, spec);
    return id;
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

  async #makeEndpoint(
    hns: Hns,
    spec: ContainerEndpointSpec,
    { network, undo }: { readonly network: KnownNetwork; readonly undo: UndoList },
  ): Promise<HcnObject> {
    const { known, handle } = await this.#openNetwork(hns, spec, network);
    await using open = handle;
    const name = endpointName(spec.network.deployment, spec.containerId);
    const settings = endpointDocument({
      name,
      network: known.id,
      address: spec.address,
      clusterCidr: formatPrefix(canonicalPrefix(spec.clusterCidr)),
      dns: spec.dns,
    });
    const what = `cannot create HCN endpoint ${name} with address ${formatPrefix(spec.address)} on network ` +
      `${known.name} (${formatPrefix(known.subnet)})`;
    return await this.#make(
      undo,
      () => this.#options.hns.delete("Endpoint", spec.endpoint),
      () =>
        this.#whenSettled(known, async () => {
          try {
            return await hns.create("Endpoint", spec.endpoint, { settings, what, network: open });
          } catch (error) {
            throw isPolicyRefusal(error) ? explainPolicies(error) : error;
          }
        }),
    );
  }

  /** The open that tells whether a remembered network is still there; one that is not is made anew, once. */
  async #openNetwork(
    hns: Hns,
    spec: ContainerEndpointSpec,
    network: KnownNetwork,
  ): Promise<{ known: KnownNetwork; handle: HcnObject }> {
    const { networks, log } = this.#options;
    const handle = await hns.open("Network", network.id);
    if (handle) return { known: network, handle };
    networks.forget(network.name);
    log.warn("an HCN network is gone and is made anew", { network: network.name, id: network.id });
    const known = await networks.ensure(spec.network);
    const again = await hns.open("Network", known.id);
    if (again) return { known, handle: again };
    networks.forget(known.name);
    throw new OverlayError(
      "unavailable",
      `HCN network ${known.name} (${known.id}) vanished right after it was made`,
    );
  }

  /** Tries again while the network is so young that its addresses may not be ready. */
  async #whenSettled<T>({ madeAtMs }: KnownNetwork, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const start = clock.monotonicMs();
    const isYoung = madeAtMs !== undefined && start - madeAtMs < YOUNG_MS;
    for (let attempt = 0;; attempt++) {
      try {
        return await work();
      } catch (error) {
        const pauseMs = SETTLE_PAUSES_MS[attempt] ?? SETTLE_PAUSES_MS.at(-1)!;
        const isTimeLeft = clock.monotonicMs() - start + pauseMs <= SETTLE_MS;
        if (!isYoung || !isTimeLeft || !isHcn(error, "settling")) throw error;
        await pause(clock, pauseMs);
      }
    }
  }

  async #add(
    namespace: HcnObject,
    endpoint: HcnObject,
    { containerId }: ContainerEndpointSpec,
  ): Promise<void> {
    const what = `cannot put the endpoint of container ${containerId} into its namespace`;
    try {
      await namespace.modify(modifyNamespaceDocument("Add", endpoint.id), what);
    } catch (error) {
      // After a call that broke off it may be in this one already; in another one it is an error.
      const isIn = isHcn(error, "already-attached") &&
        readNamespace(await namespace.query()).endpoints.includes(endpoint.id);
      if (!isIn) throw error;
    }
  }

  /** A service that does not know how the address is spelled in our document would choose one of its own. */
  async #verify(endpoint: HcnObject, { address, containerId }: ContainerEndpointSpec): Promise<void> {
    const { ip } = readEndpoint(await endpoint.query());
    const given = ip === undefined ? undefined : parseIp(ip);
    if (!given || ipEquals(given, address.address)) return;
    throw new OverlayError(
      "internal",
      `HCN gave the endpoint of container ${containerId} the address ${formatIp(given)} instead of ` +
        formatIp(address.address),
    );
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
    // Nothing shows that an empty one was ever ours.
    if (!reading || reading.endpoints.length === 0 || isSystemNamespace(namespace, reading)) return undefined;
    for (const id of reading.endpoints) {
      const text = await this.#options.hns.read("Endpoint", id);
      if (text === undefined) continue;
      const { name } = readEndpoint(text);
      if (readEndpointName(deployment, name) !== undefined) continue;
      this.#options.log.info("an HCN namespace is not ours to remove", { namespace, endpoint: name });
      return undefined;
    }
    return reading.endpoints;
  }
}

/** Where HCN says only that it refuses, the policies that a container cannot do without are named. */
function explainPolicies(error: Error): OverlayError {
  return new OverlayError(
    "internal",
    `${error.message} (the network does not take one of the policies OutBoundNAT, SDNRoute and ACL, which the ` +
      "container needs)",
    { cause: error },
  );
}
