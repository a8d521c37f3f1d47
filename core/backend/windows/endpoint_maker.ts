/**
 * Making HCN endpoints: on a network that is there, with an address that may not be ready yet, and with policies that
 * it may refuse.
 */

import type { Clock } from "../../clock.ts";
import { describeError, OverlayError } from "../../errors.ts";
import { formatIp, ipEquals, parseIp } from "../../ip/address.ts";
import { canonicalPrefix, formatPrefix } from "../../ip/prefix.ts";
import type { Log } from "../../log.ts";
import type { ContainerEndpointSpec, ContainerNetworkSpec, ContainerRepairSpec } from "../containers.ts";
import { endpointDocument, modifyNamespaceDocument } from "./documents.ts";
import { type HcnObject, type Hns, isHcn, isPolicyRefusal, pause } from "./hns.ts";
import { endpointName } from "./names.ts";
import type { HcnNetworks, KnownNetwork } from "./networks.ts";
import { type EndpointReading, readEndpoint, readNamespace } from "./readings.ts";

/** A network is not ready for addresses right after it was made; so long a refusal of one is not final. */
const YOUNG_MS = 10_000;
/** How long it is tried again then, and after which pauses; the last one repeats. */
const SETTLE_MS = 5_000;
const SETTLE_PAUSES_MS = [100, 200, 400, 800, 1000] as const;

/** What an {@linkcode EndpointMaker} works with. */
export interface EndpointMakerOptions {
  readonly networks: HcnNetworks;
  readonly clock: Clock;
  readonly log: Log;
}

/** A network that is open. */
export interface OpenNetwork {
  readonly known: KnownNetwork;
  readonly handle: HcnObject;
}

/** What an endpoint is made of. */
type Making = Omit<ContainerEndpointSpec, "onNamespace"> & { readonly mac?: string };

/** See the module. */
export class EndpointMaker {
  readonly #options: EndpointMakerOptions;

  constructor(options: EndpointMakerOptions) {
    this.#options = options;
  }

  /** The open that tells whether a remembered network is still there; one that is not is made anew, once. */
  async openNetwork(hns: Hns, spec: ContainerNetworkSpec, network: KnownNetwork): Promise<OpenNetwork> {
    const { networks, log } = this.#options;
    const handle = await hns.open("Network", network.id);
    if (handle) return { known: network, handle };
    networks.forget(network.name);
    log.warn("an HCN network is gone and is made anew", { network: network.name, id: network.id });
    const known = await networks.ensure(spec);
    const again = await hns.open("Network", known.id);
    if (again) return { known, handle: again };
    networks.forget(known.name);
    throw new OverlayError(
      "unavailable",
      `HCN network ${known.name} (${known.id}) vanished right after it was made`,
    );
  }

  /** Makes the endpoint. @returns It, open. */
  create(hns: Hns, spec: Making, { known, handle }: OpenNetwork): Promise<HcnObject> {
    const name = endpointName(spec.network.deployment, spec.containerId);
    const settings = endpointDocument({
      name,
      network: known.id,
      address: spec.address,
      clusterCidr: formatPrefix(canonicalPrefix(spec.clusterCidr)),
      dns: spec.dns,
      ...(spec.mac === undefined ? {} : { mac: spec.mac }),
    });
    const what = `cannot create HCN endpoint ${name} with address ${formatPrefix(spec.address)} on network ` +
      `${known.name} (${formatPrefix(known.subnet)})`;
    return this.#whenSettled(known, async () => {
      try {
        return await hns.create("Endpoint", spec.endpoint, { settings, what, network: handle });
      } catch (error) {
        throw isPolicyRefusal(error) ? explainPolicies(error) : error;
      }
    });
  }

  /** Makes it as it was, or, where HCN does not take the hardware address that it gave before, with another one. */
  async recreate(hns: Hns, spec: ContainerRepairSpec, network: OpenNetwork): Promise<HcnObject> {
    try {
      return await this.create(hns, spec, network);
    } catch (error) {
      if (spec.mac === undefined || !isHcn(error, "error", "invalid-json")) throw error;
      const { mac, ...rest } = spec;
      this.#options.log.info("HCN does not take the former hardware address of an endpoint", {
        endpoint: spec.endpoint,
        mac,
        err: describeError(error),
      });
      return await this.create(hns, rest, network);
    }
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

  /** Puts the endpoint into the namespace, unless it is there. */
  async add(namespace: HcnObject, endpoint: HcnObject, containerId: string): Promise<void> {
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
  async verify(
    endpoint: HcnObject,
    { address, containerId }: Pick<ContainerEndpointSpec, "address" | "containerId">,
  ): Promise<EndpointReading> {
    const reading = readEndpoint(await endpoint.query());
    const given = reading.ip === undefined ? undefined : parseIp(reading.ip);
    if (!given || ipEquals(given, address.address)) return reading;
    throw new OverlayError(
      "internal",
      `HCN gave the endpoint of container ${containerId} the address ${formatIp(given)} instead of ` +
        formatIp(address.address),
    );
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
