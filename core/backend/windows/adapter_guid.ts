/** Which GUID a device's adapter has: the same one every time, or Windows makes a new "Network" for each start. */

import { createHash } from "node:crypto";
import type { Guid } from "../../../ffi/windows/guid.ts";
import type { OwnerTag } from "../backend.ts";

/** The GUID of an adapter: a hash of deployment and interface name, in the form of RFC 9562 version 5. */
export function adapterGuid(deployment: string, name: string): Guid {
  const hash = createHash("sha256").update(`zlayer-wintun:${deployment}:${name}`).digest();
  const text = hash.subarray(0, 16);
  text[6] = (text[6]! & 0x0f) | 0x50;
  text[8] = (text[8]! & 0x3f) | 0x80;
  const digits = text.toString("hex");
  return [0, 8, 12, 16, 20].map((at, i, all) => digits.slice(at, all[i + 1])).join("-");
}

/** The deployment that an owner tag names. */
export function deploymentOf(tag: OwnerTag): string {
  return tag.split("/")[1] ?? "";
}
