/** The way out of this host. */

import type { Adapter, AdapterList } from "../../../ffi/windows/adapters.ts";
import { NotFoundError } from "../../errors.ts";
import { ipFromBytes, ipToBytes, parseIp } from "../../ip/address.ts";
import type { Egress } from "../backend.ts";

/** Addresses outside, to ask the routing for; nothing is sent to them. */
const OUTSIDE = ["8.8.8.8", "2001:4860:4860::8888"] as const;

/** What Windows says of interfaces without a limit, such as loopback. */
const MAX_MTU_BYTES = 65_535;
const DEFAULT_MTU_BYTES = 1500;

/**
 * Finds the way out: the adapter that packets to the Internet leave by; on a host without, one that has a gateway.
 *
 * @throws {NotFoundError} If there is none.
 */
export function findWindowsEgress(list: AdapterList): Egress {
  const adapters = list.adapters().filter(({ isUp }) => isUp);
  for (const text of OUTSIDE) {
    const outside = parseIp(text)!;
    const index = list.bestInterface(ipToBytes(outside));
    const adapter = adapters.find((one) => index !== undefined && one.index[outside.family] === index);
    const egress = adapter && toEgress(adapter, outside.family);
    if (egress) return egress;
  }
  for (const adapter of adapters.filter(({ hasGateway }) => hasGateway)) {
    const egress = toEgress(adapter, 4) ?? toEgress(adapter, 6);
    if (egress) return egress;
  }
  throw new NotFoundError("egress", "default route", {
    message: "this host has no adapter with an address that leads out",
  });
}

function toEgress({ name, addresses, mtuBytes }: Adapter, family: 4 | 6): Egress | undefined {
  const address = addresses.find((one) => one.length === (family === 4 ? 4 : 16) && isGlobal(one));
  if (address === undefined) return undefined;
  const isKnown = mtuBytes > 0 && mtuBytes <= MAX_MTU_BYTES;
  return { interface: name, ip: ipFromBytes(address), mtuBytes: isKnown ? mtuBytes : DEFAULT_MTU_BYTES };
}

/** Neither loopback nor link-local. */
function isGlobal(address: Uint8Array): boolean {
  const [first, second] = [address[0]!, address[1]!];
  if (address.length === 4) return first !== 127 && !(first === 169 && second === 254);
  const isLoopback = address.every((byte, i) => byte === (i === 15 ? 1 : 0));
  return !isLoopback && !(first === 0xfe && (second & 0xc0) === 0x80);
}
