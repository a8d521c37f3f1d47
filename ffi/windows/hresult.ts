/**
 * HRESULTs that HCN answers with: their names, and what a caller makes of each.
 *
 * @see Microsoft Virtualization-Documentation, hcn/HCNHResult.md; winerror.h.
 */

/**
 * - `not-found`: what was named is not there; for a deletion that is success.
 * - `already-exists`: a network of that name or id is there.
 * - `already-attached`: the endpoint is in a namespace already, ours or another.
 * - `has-references`: something still uses it; a deletion may be tried again without that.
 * - `settling`: the address is reserved, or the network is so young that its addresses are not ready.
 * - `transient`: the service is stopping or starting; the same call may succeed shortly.
 * - `policy`, `invalid-json`: the document is refused, for a policy or as such.
 */
export type HresultClass =
  | "ok"
  | "access-denied"
  | "already-attached"
  | "already-exists"
  | "error"
  | "has-references"
  | "invalid-json"
  | "not-found"
  | "policy"
  | "settling"
  | "transient";

/** Name and class by code, unsigned. */
const TABLE: Readonly<Record<number, readonly [name: string, kind: HresultClass]>> = {
  0x00000000: ["S_OK", "ok"],
  0x80004001: ["E_NOTIMPL", "error"],
  0x80070005: ["E_ACCESSDENIED", "access-denied"],
  0x80070057: ["E_INVALIDARG", "error"],
  0x80070490: ["ERROR_NOT_FOUND", "not-found"],
  0x800706ba: ["RPC_S_SERVER_UNAVAILABLE", "transient"],
  0x800706be: ["RPC_S_CALL_FAILED", "transient"],
  0x803b0001: ["HCN_E_NETWORK_NOT_FOUND", "not-found"],
  0x803b0002: ["HCN_E_ENDPOINT_NOT_FOUND", "not-found"],
  0x803b0003: ["HCN_E_LAYER_NOT_FOUND", "error"],
  0x803b0004: ["HCN_E_SWITCH_NOT_FOUND", "error"],
  0x803b0005: ["HCN_E_SUBNET_NOT_FOUND", "error"],
  0x803b0006: ["HCN_E_ADAPTER_NOT_FOUND", "error"],
  0x803b0007: ["HCN_E_PORT_NOT_FOUND", "error"],
  0x803b0008: ["HCN_E_POLICY_NOT_FOUND", "error"],
  0x803b0009: ["HCN_E_VFP_PORTSETTING_NOT_FOUND", "error"],
  0x803b000a: ["HCN_E_INVALID_NETWORK", "error"],
  0x803b000b: ["HCN_E_INVALID_NETWORK_TYPE", "error"],
  0x803b000c: ["HCN_E_INVALID_ENDPOINT", "error"],
  0x803b000d: ["HCN_E_INVALID_POLICY", "policy"],
  0x803b000e: ["HCN_E_INVALID_POLICY_TYPE", "policy"],
  0x803b0010: ["HCN_E_NETWORK_ALREADY_EXISTS", "already-exists"],
  0x803b0011: ["HCN_E_LAYER_ALREADY_EXISTS", "error"],
  0x803b0012: ["HCN_E_POLICY_ALREADY_EXISTS", "error"],
  0x803b0013: ["HCN_E_PORT_ALREADY_EXISTS", "error"],
  0x803b0014: ["HCN_E_ENDPOINT_ALREADY_ATTACHED", "already-attached"],
  0x803b0015: ["HCN_E_REQUEST_UNSUPPORTED", "error"],
  0x803b0017: ["HCN_E_DEGRADED_OPERATION", "error"],
  0x803b0018: ["HCN_E_SHARED_SWITCH_MODIFICATION", "error"],
  0x803b001b: ["HCN_E_INVALID_JSON", "invalid-json"],
  0x803b001c: ["HCN_E_INVALID_JSON_REFERENCE", "invalid-json"],
  0x803b001e: ["HCN_E_INVALID_IP", "error"],
  0x803b0020: ["HCN_E_MANAGER_STOPPED", "transient"],
  0x803b002b: ["HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS", "already-attached"],
  0x803b002c: ["HCN_E_ENTITY_HAS_REFERENCES", "has-references"],
  0x803b002e: ["HCN_E_NAMESPACE_ATTACH_FAILED", "error"],
  0x803b002f: ["HCN_E_ADDR_INVALID_OR_RESERVED", "settling"],
  0x803b0031: ["HCN_E_OBJECT_USED_AFTER_UNLOAD", "transient"],
  0x803b0032: ["HCN_E_INVALID_SUBNET", "error"],
  0x803b0033: ["HCN_E_INVALID_IP_SUBNET", "error"],
  0x803b0037: ["HCN_E_VFP_NOT_ALLOWED", "error"],
};

/** Codes that are looked for by themselves. */
export const HCN_E_INVALID_IP = 0x803b001e, HCN_E_VFP_NOT_ALLOWED = 0x803b0037;

/** Whether the call succeeded (winerror.h `SUCCEEDED`): the highest bit is clear. */
export function succeeded(hresult: number): boolean {
  return (hresult & 0x8000_0000) === 0;
}

/** What a code means to a caller; one that is not in the table is `error`, or `ok` where it tells of success. */
export function hresultClass(hresult: number): HresultClass {
  return TABLE[hresult >>> 0]?.[1] ?? (succeeded(hresult) ? "ok" : "error");
}

/** `0x803b0001 HCN_E_NETWORK_NOT_FOUND`; the number alone where the name is not known. */
export function describeHresult(hresult: number): string {
  const hex = `0x${(hresult >>> 0).toString(16).padStart(8, "0")}`;
  const name = TABLE[hresult >>> 0]?.[0];
  return name === undefined ? hex : `${hex} ${name}`;
}
