/**
 * computenetwork.dll: the Host Compute Network service (HCN, also HNS) of Windows, at the level of GUIDs,
 * handles and JSON text.
 *
 * Every call is a remote procedure call into the service `hns` and may take seconds, or for ever. All of them
 * run off the thread (`nonblocking`), each on one of the few threads of the runtime's pool, so whoever calls
 * keeps to an isolate of its own. The library opens at the first call.
 *
 * Memory: strings that come out belong to the caller and are freed with `CoTaskMemFree`, exactly once, whether the
 * call succeeded or not; {@linkcode callHcn} does it. A handle is closed by the `HcnClose…` of its kind; closing
 * deletes nothing and deleting closes nothing.
 *
 * @see computenetwork.h; Microsoft Virtualization-Documentation, hcn/.
 */

import { lazyLibrary } from "./library.ts";
import { encodeGuid, type Guid } from "./windows/guid.ts";
import { encodeWide, readWide } from "./windows/wide_string.ts";

// Parameters are always in this order, as far as a function has them: a handle (`void *`), `REFGUID`, `PCWSTR`,
// the out-parameter (`PWSTR *` or a handle `*`), and the error record (`PWSTR *`). The result is an HRESULT.

/** `HRESULT (PCWSTR Query, PWSTR *List, PWSTR *ErrorRecord)` */
const ENUMERATE = { parameters: ["buffer", "buffer", "buffer"], result: "i32", nonblocking: true } as const;
/** `HRESULT (REFGUID Id, PCWSTR Settings, HANDLE *Object, PWSTR *ErrorRecord)` */
const CREATE = {
  parameters: ["buffer", "buffer", "buffer", "buffer"],
  result: "i32",
  nonblocking: true,
} as const;
/** `HRESULT (HCN_NETWORK Network, REFGUID Id, PCWSTR Settings, HCN_ENDPOINT *Endpoint, PWSTR *ErrorRecord)` */
const CREATE_ENDPOINT = {
  parameters: ["pointer", "buffer", "buffer", "buffer", "buffer"],
  result: "i32",
  nonblocking: true,
} as const;
/** `HRESULT (REFGUID Id, HANDLE *Object, PWSTR *ErrorRecord)` */
const OPEN = { parameters: ["buffer", "buffer", "buffer"], result: "i32", nonblocking: true } as const;
/** `HRESULT (HANDLE Object, PCWSTR Settings, PWSTR *ErrorRecord)` */
const MODIFY = { parameters: ["pointer", "buffer", "buffer"], result: "i32", nonblocking: true } as const;
/** `HRESULT (HANDLE Object, PCWSTR Query, PWSTR *Properties, PWSTR *ErrorRecord)` */
const QUERY = {
  parameters: ["pointer", "buffer", "buffer", "buffer"],
  result: "i32",
  nonblocking: true,
} as const;
/** `HRESULT (REFGUID Id, PWSTR *ErrorRecord)` */
const DELETE = { parameters: ["buffer", "buffer"], result: "i32", nonblocking: true } as const;
/** `HRESULT (HANDLE Object)` */
const CLOSE = { parameters: ["pointer"], result: "i32", nonblocking: true } as const;

const SYMBOLS = {
  HcnEnumerateNetworks: ENUMERATE,
  HcnCreateNetwork: CREATE,
  HcnOpenNetwork: OPEN,
  HcnModifyNetwork: MODIFY,
  HcnQueryNetworkProperties: QUERY,
  HcnDeleteNetwork: DELETE,
  HcnCloseNetwork: CLOSE,
  HcnEnumerateEndpoints: ENUMERATE,
  HcnCreateEndpoint: CREATE_ENDPOINT,
  HcnOpenEndpoint: OPEN,
  HcnModifyEndpoint: MODIFY,
  HcnQueryEndpointProperties: QUERY,
  HcnQueryEndpointStats: QUERY,
  HcnDeleteEndpoint: DELETE,
  HcnCloseEndpoint: CLOSE,
  HcnEnumerateNamespaces: ENUMERATE,
  HcnCreateNamespace: CREATE,
  HcnOpenNamespace: OPEN,
  HcnModifyNamespace: MODIFY,
  HcnQueryNamespaceProperties: QUERY,
  HcnDeleteNamespace: DELETE,
  HcnCloseNamespace: CLOSE,
} as const satisfies Deno.ForeignLibraryInterface;

const OLE32_SYMBOLS = {
  /** `void CoTaskMemFree(LPVOID)`, combaseapi.h */
  CoTaskMemFree: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Name of an exported function. */
export type HcnFunction = keyof typeof SYMBOLS;

/** A handle as a number: it means the same to every thread of the process. */
export type HcnHandle = bigint;

/** What a call takes; a function uses what it has a parameter for. */
export interface HcnCall {
  readonly fn: HcnFunction;
  /** The object; for `HcnCreateEndpoint` its network. */
  readonly handle?: HcnHandle;
  readonly id?: Guid;
  /** Settings or query, JSON; absent: NULL. */
  readonly text?: string;
}

/** What a call gave. */
export interface HcnReply {
  /** Unsigned. */
  readonly hresult: number;
  /** The error record, JSON; empty when there is none. */
  readonly record: string;
  /** List or properties, JSON; empty for NULL. Functions with such an out-parameter only. */
  readonly text?: string;
  /** The new handle, 0 for NULL. Functions with such an out-parameter only. */
  readonly handle?: HcnHandle;
}

/** A call as the library answers it: addresses instead of texts. */
export interface RawHcnReply {
  readonly hresult: number;
  /** Address of the error record; 0 for none. */
  readonly record: bigint;
  /** Address of the text, or the handle; 0 for NULL. */
  readonly out: bigint;
}

/** The library and the memory it hands out. */
export interface HcnLibrary {
  /** Makes a call. Strings in the reply are the caller's to free. */
  invoke(call: HcnCall): Promise<RawHcnReply>;
  /** Reads a string that the library handed out. */
  readText(address: bigint): string;
  /** Frees one. */
  freeText(address: bigint): void;
}

/** Which kind of out-parameter a function has. */
export function outKind(fn: HcnFunction): "text" | "handle" | "none" {
  if (/^Hcn(Enumerate|Query)/.test(fn)) return "text";
  return /^Hcn(Create|Open)/.test(fn) ? "handle" : "none";
}

/** Makes a call and takes over what came out: strings are copied and freed, whatever the result. */
export async function callHcn(library: HcnLibrary, call: HcnCall): Promise<HcnReply> {
  const { hresult, out, record } = await library.invoke(call);
  const kind = outKind(call.fn);
  const take = (address: bigint): string => {
    if (address === 0n) return "";
    try {
      return library.readText(address);
    } finally {
      library.freeText(address);
    }
  };
  let text = "";
  let recordText = "";
  try {
    if (kind === "text") text = take(out);
  } finally {
    recordText = take(record);
  }
  return {
    hresult: hresult >>> 0,
    record: recordText,
    ...(kind === "text" ? { text } : {}),
    ...(kind === "handle" ? { handle: out } : {}),
  };
}

/** Where the two libraries are. */
export interface ComputeNetworkPaths {
  readonly computenetwork: string;
  readonly ole32: string;
}

/**
 * The system's own, by absolute path: a bare name would be looked for in the working directory too.
 *
 * @param systemRoot `%SystemRoot%`, as in `C:\\Windows`.
 */
export function systemPaths(systemRoot: string): ComputeNetworkPaths {
  const system32 = `${systemRoot}\\System32\\`;
  return { computenetwork: `${system32}computenetwork.dll`, ole32: `${system32}ole32.dll` };
}

/** Any of the functions of the library. */
type AnyHcnFunction = (...parameters: unknown[]) => Promise<number>;

/**
 * Describes the library; it opens at the first call.
 *
 * @returns Its `invoke` throws {@linkcode LibraryError} where there is none, as on a Windows without the feature, or where it cannot
 * be loaded.
 */
export function openComputeNetwork(paths: ComputeNetworkPaths): HcnLibrary {
  const hcn = lazyLibrary([paths.computenetwork], SYMBOLS);
  const ole32 = lazyLibrary([paths.ole32], OLE32_SYMBOLS);
  return {
    async invoke(call): Promise<RawHcnReply> {
      const symbols = hcn();
      // Before the call: what cannot be freed must not be handed out.
      ole32();
      const out = new BigUint64Array(1);
      const record = new BigUint64Array(1);
      const parameters = marshal(call, out, record);
      const hresult = await (symbols[call.fn] as AnyHcnFunction)(...parameters);
      // Memory that C writes to must not be collected while the call runs; being used after it keeps it.
      parameters.length = 0;
      return { hresult, out: out[0]!, record: record[0]! };
    },
    readText: (address) => readWide(Deno.UnsafePointer.create(address)),
    freeText: (address) => ole32().CoTaskMemFree(Deno.UnsafePointer.create(address)),
  };
}

/** The parameters in their order; see above. */
function marshal(call: HcnCall, out: BigUint64Array, record: BigUint64Array): unknown[] {
  const { fn, handle, id, text } = call;
  const takesHandle = SYMBOLS[fn].parameters[0] === "pointer";
  const takesText = /^Hcn(Enumerate|Create|Modify|Query)/.test(fn);
  return [
    ...(takesHandle ? [Deno.UnsafePointer.create(handle ?? 0n)] : []),
    ...(/^Hcn(Create|Open|Delete)/.test(fn) ? [encodeGuid(id ?? "")] : []),
    ...(takesText ? [text === undefined ? null : encodeWide(text)] : []),
    ...(outKind(fn) === "none" ? [] : [out]),
    ...(fn.startsWith("HcnClose") ? [] : [record]),
  ];
}
