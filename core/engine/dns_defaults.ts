/** Resolver and domain of containers that are attached without naming one: the last ones that were named. */

import type { AttachRequest } from "../service.ts";
import type { StateWriter } from "../state/state_store.ts";
import type { EngineContext } from "./context.ts";

/** Writes down what a request names; the other of the two stays. */
export function keepDnsDefaults(
  context: EngineContext,
  { dnsServer, dnsDomain }: AttachRequest,
  write: Pick<StateWriter, "setting">,
): void {
  if (dnsServer === undefined && dnsDomain === undefined) return;
  const old = context.store.settings.dnsDefaults ?? {};
  const server = dnsServer ?? old.server;
  const domain = dnsDomain ?? old.domain;
  write.setting("dnsDefaults", {
    ...(server === undefined ? {} : { server }),
    ...(domain === undefined ? {} : { domain }),
  });
}
