/** Resolver and domain of containers that are attached without naming one: the last ones that were named. */

import type { AttachRequest } from "../service.ts";
import type { StateWriter } from "../state/state_store.ts";
import type { EngineContext } from "./context.ts";

/** What a container is told: what its request names, and of what it does not what is remembered. */
export function dnsOf(
  context: EngineContext,
  { dnsServer, dnsDomain }: AttachRequest,
): { readonly server?: string; readonly domain?: string } {
  const old = context.store.settings.dnsDefaults ?? {};
  const server = dnsServer ?? old.server;
  const domain = dnsDomain ?? old.domain;
  return {
    ...(server === undefined ? {} : { server }),
    ...(domain === undefined ? {} : { domain }),
  };
}

/** Writes down what a request names; the other of the two stays. */
export function keepDnsDefaults(
  context: EngineContext,
  request: AttachRequest,
  write: Pick<StateWriter, "setting">,
): void {
  if (request.dnsServer === undefined && request.dnsDomain === undefined) return;
  write.setting("dnsDefaults", dnsOf(context, request));
}
