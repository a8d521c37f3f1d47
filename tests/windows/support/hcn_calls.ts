/** Plain calls of computenetwork.dll for the tests of its fake; the daemon has a binding of its own. */
import { fakePath } from "./fake_library.ts";

/** What a parameter is: `in` a handle, a GUID, text; `out` a handle, a string, the error record. */
type Role = "handle" | "id" | "text" | "handleOut" | "stringOut" | "record";

const ENUMERATE: readonly Role[] = ["text", "stringOut", "record"];
const CREATE: readonly Role[] = ["id", "text", "handleOut", "record"];
const OPEN: readonly Role[] = ["id", "handleOut", "record"];
const MODIFY: readonly Role[] = ["handle", "text", "record"];
const QUERY: readonly Role[] = ["handle", "text", "stringOut", "record"];
const DELETE: readonly Role[] = ["id", "record"];
const CLOSE: readonly Role[] = ["handle"];

/** Every function of the library, with its parameters. */
export const HCN_FUNCTIONS = {
  HcnEnumerateNetworks: ENUMERATE,
  HcnCreateNetwork: CREATE,
  HcnOpenNetwork: OPEN,
  HcnModifyNetwork: MODIFY,
  HcnQueryNetworkProperties: QUERY,
  HcnDeleteNetwork: DELETE,
  HcnCloseNetwork: CLOSE,
  HcnEnumerateEndpoints: ENUMERATE,
  HcnCreateEndpoint: ["handle", ...CREATE],
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
} as const satisfies Record<string, readonly Role[]>;

/** Name of a function. */
export type HcnFunction = keyof typeof HCN_FUNCTIONS;

/** What a call is given; whatever is absent is NULL. */
export interface HcnArguments {
  readonly handle?: Deno.PointerValue;
  readonly id?: string;
  /** Text as it is; anything else becomes JSON. */
  readonly document?: unknown;
}

/** What a call gave. */
export interface HcnAnswer {
  /** Unsigned, as in the headers. */
  readonly hr: number;
  readonly handle: Deno.PointerValue;
  readonly text: string;
  /** The error record. */
  readonly record: string;
}

/** UTF-16 with a NUL, as Windows wants it. */
export function wide(text: string): Uint16Array<ArrayBuffer> {
  return Uint16Array.from({ length: text.length + 1 }, (_, i) => i < text.length ? text.charCodeAt(i) : 0);
}

/** The 16 bytes of a GUID. */
export function guidBytes(text: string): Uint8Array<ArrayBuffer> {
  const hex = text.replaceAll("-", "");
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => parseInt(hex.slice(i * 2, i * 2 + 2), 16));
  for (const [from, to] of [[0, 4], [4, 6], [6, 8]]) bytes.subarray(from, to).reverse();
  return bytes;
}

/** `computenetwork.dll` of the rig. Frees every string it is given, unless told to keep them. */
export class HcnCalls implements Disposable {
  readonly #library: Deno.DynamicLibrary<Deno.ForeignLibraryInterface>;
  readonly #ole32 = Deno.dlopen(
    "ole32.dll",
    { CoTaskMemFree: { parameters: ["pointer"], result: "void" } } as const,
  );
  /** Leaks on purpose while true. */
  keepStrings = false;

  constructor() {
    const symbols = Object.entries(HCN_FUNCTIONS).map(([name, roles]) =>
      [
        name,
        {
          parameters: roles.map((role) => role === "handle" ? "pointer" : "buffer"),
          result: "i32",
          nonblocking: true,
        },
      ] as const
    );
    this.#library = Deno.dlopen(fakePath("computenetwork.dll"), Object.fromEntries(symbols));
  }

  /** Calls one function. */
  async call(name: HcnFunction, given: HcnArguments = {}): Promise<HcnAnswer> {
    const { document } = given;
    const text = typeof document === "string" || document === undefined ? document : JSON.stringify(document);
    const out = {
      handleOut: new BigUint64Array(1),
      stringOut: new BigUint64Array(1),
      record: new BigUint64Array(1),
    };
    const values: Record<Role, unknown> = {
      ...out,
      handle: given.handle ?? null,
      id: given.id === undefined ? null : guidBytes(given.id),
      text: text === undefined ? null : wide(text),
    };
    const hr = await this.raw(name, ...HCN_FUNCTIONS[name].map((role) => values[role]));
    return {
      hr: hr >>> 0,
      handle: Deno.UnsafePointer.create(out.handleOut[0] ?? 0n),
      text: this.#take(out.stringOut),
      record: this.#take(out.record),
    };
  }

  /** Calls one function with exactly these arguments. */
  raw(name: HcnFunction, ...values: unknown[]): Promise<number> {
    const symbols = this.#library.symbols as Record<string, (...values: unknown[]) => Promise<number>>;
    return (symbols[name] as (...values: unknown[]) => Promise<number>)(...values);
  }

  /** CoTaskMemFree. */
  free(pointer: Deno.PointerValue): void {
    this.#ole32.symbols.CoTaskMemFree(pointer);
  }

  #take(out: BigUint64Array): string {
    const pointer = Deno.UnsafePointer.create(out[0] ?? 0n);
    if (pointer === null) return "";
    const text = readWide(pointer);
    if (!this.keepStrings) this.free(pointer);
    return text;
  }

  [Symbol.dispose](): void {
    this.#library.close();
    this.#ole32.close();
  }
}

/** The UTF-16 text at an address. */
export function readWide(pointer: Deno.PointerObject): string {
  const view = new Deno.UnsafePointerView(pointer);
  let text = "";
  for (let at = 0, unit = view.getUint16(0); unit !== 0; unit = view.getUint16(at)) {
    text += String.fromCharCode(unit);
    at += 2;
  }
  return text;
}
