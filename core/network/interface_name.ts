/**
 * Names of the interfaces that this daemon makes.
 *
 * `zl-<parts>-<suffix>` where that fits into the kernel's 15 bytes, else the same with a hash in the middle.
 * Callers, operators and a reference daemon on the same host all know this rule, so it never changes.
 *
 * @see linux/if.h `IFNAMSIZ` (16, with the final NUL).
 */

import { sipHash13 } from "../hash/siphash.ts";
import { InvalidConfigError } from "../errors.ts";
import { quote } from "../quote.ts";
import { interfaceNameProblem } from "./validate.ts";

const PREFIX = "zl-";
const MAX_BYTES = 15;
/** Digits of the hash in a name without suffix. */
const BARE_DIGITS = 12;
/** Ends every part in the hashed message, so that `[a-b]` and `[a,b]` differ; no UTF-8 text holds this byte. */
const PART_END = 0xff;

const encoder = new TextEncoder();

/**
 * Makes an interface name.
 *
 * Lengths are UTF-8 bytes. Nothing is trimmed or replaced: whether the kernel takes a short result is the
 * caller's to check ({@linkcode globalDeviceName} and its neighbours do). Short results can coincide across
 * part borders (`[a-b]` and `[a,b]`).
 *
 * @param parts Well-formed text, as from `validate.ts`.
 * @param suffix Kind of interface: `g`, `b`, `d`, or empty.
 * @returns At most 15 bytes, starting with `zl-`.
 */
export function makeInterfaceName(parts: readonly string[], suffix: string): string {
  const plain = PREFIX + parts.join("-") + (suffix === "" ? "" : `-${suffix}`);
  if (encoder.encode(plain).length <= MAX_BYTES) return plain;
  // Without zero padding: leading zero digits are lost, as they always were.
  const hex = sipHash13(hashedMessage(parts, suffix)).toString(16);
  const budget = MAX_BYTES - PREFIX.length - 1 - encoder.encode(suffix).length;
  if (suffix === "" || budget <= 0) return PREFIX + hex.slice(0, BARE_DIGITS);
  return `${PREFIX}${hex.slice(0, budget)}-${suffix}`;
}

function hashedMessage(parts: readonly string[], suffix: string): Uint8Array {
  const bytes: number[] = [];
  for (const part of [...parts, suffix]) bytes.push(...encoder.encode(part), PART_END);
  return Uint8Array.from(bytes);
}

/** What the names of a node's interfaces start from. */
export interface NameScope {
  readonly deployment: string;
  readonly instanceId: string;
}

/** Before the first global set-up. */
export const NO_SCOPE: NameScope = { deployment: "", instanceId: "" };

/**
 * Name of the global WireGuard device.
 *
 * @throws {InvalidConfigError} If the kernel would refuse the name.
 */
export function globalDeviceName(scope: NameScope): string {
  return checkedName([scope.deployment, scope.instanceId], "g");
}

/**
 * Name of a service's bridge (of its placeholder where there are no bridges).
 *
 * @throws {InvalidConfigError} If the kernel would refuse the name.
 */
export function serviceBridgeName(scope: NameScope, service: string): string {
  return checkedName([scope.deployment, scope.instanceId, service], "b");
}

/**
 * Name of a dedicated service's WireGuard device.
 *
 * @throws {InvalidConfigError} If the kernel would refuse the name.
 */
export function dedicatedDeviceName(scope: NameScope, service: string): string {
  return checkedName([scope.deployment, scope.instanceId, service], "d");
}

function checkedName(parts: readonly string[], suffix: string): string {
  const name = makeInterfaceName(parts, suffix);
  const problem = interfaceNameProblem(name);
  if (problem === undefined) return name;
  throw new InvalidConfigError(
    `interface name ${quote(name)}, made of ${parts.map((part) => quote(part)).join(", ")}, ${problem}: ` +
      "choose a deployment, instance id or service name without that character",
  );
}
