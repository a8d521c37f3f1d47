/** Host names to addresses, behind an interface that tests replace. */

import { lookup } from "node:dns";
import { OverlayError } from "./errors.ts";
import { type IpAddress, parseIp } from "./ip/address.ts";

/** Source of addresses. */
export interface Resolver {
  /**
   * Addresses of a host, the one to try first in front; at least one.
   *
   * @throws {OverlayError} If it has none or nobody answers.
   */
  resolve(name: string): Promise<readonly IpAddress[]>;
}

/**
 * The system's resolver, as every other program of this host has it: `getaddrinfo` with its host file, name
 * servers, time limits and its order, by which addresses that this host has a route to come first (RFC 6724).
 * A look-up occupies a thread of the runtime's pool until it ends, so few are to be under way at a time.
 */
export function systemResolver(): Resolver {
  return {
    resolve(name: string): Promise<readonly IpAddress[]> {
      return new Promise((resolve, reject) => {
        lookup(name, { all: true }, (error, found) => {
          const addresses = error ? [] : found.map(({ address }) => parseIp(address)).filter(isPresent);
          if (addresses.length > 0) return resolve(addresses);
          const why = error?.code ?? "no address";
          reject(new OverlayError("unavailable", `cannot resolve ${name}: ${why}`, { cause: error }));
        });
      });
    },
  };
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}
