/**
 * Whose signature a file carries (Authenticode), as this host's certificates have it.
 *
 * Nothing is fetched from the network and no revocation is looked up: a daemon that starts must not wait for that.
 *
 * Layouts on 64-bit Windows (wintrust.h):
 *
 *     WINTRUST_FILE_INFO, 32 bytes   u32 size @0, path @8, HANDLE @16, known subject @24: none
 *     WINTRUST_DATA, 88 bytes        u32 size @0, u32 UI @24, u32 revocation @28, u32 union choice @32,
 *                                    WINTRUST_FILE_INFO* @40, u32 state action @48, HANDLE state @56,
 *                                    u32 flags @72
 *     CRYPT_PROVIDER_CERT            u32 size @0, CERT_CONTEXT* @8
 *
 * @see wintrust.h `WinVerifyTrust`, wincrypt.h `CertGetNameStringW`.
 */
import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";
import { encodeGuid } from "./guid.ts";
import { encodePath } from "./long_path.ts";
import { systemDirectory } from "./system_directory.ts";
import { decodeWide } from "./wide_string.ts";

const WINTRUST = {
  /** `LONG (HWND, GUID* action, LPVOID data)` */
  WinVerifyTrust: { parameters: ["usize", "buffer", "pointer"], result: "i32" },
  /** `CRYPT_PROVIDER_DATA* (HANDLE state)` */
  WTHelperProvDataFromStateData: { parameters: ["usize"], result: "pointer" },
  /** `CRYPT_PROVIDER_SGNR* (CRYPT_PROVIDER_DATA*, DWORD signer, BOOL counterSigner, DWORD counterSignerIndex)` */
  WTHelperGetProvSignerFromChain: { parameters: ["pointer", "u32", "i32", "u32"], result: "pointer" },
  /** `CRYPT_PROVIDER_CERT* (CRYPT_PROVIDER_SGNR*, DWORD index)`; the first one is the signer's own. */
  WTHelperGetProvCertFromChain: { parameters: ["pointer", "u32"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

const CRYPT32 = {
  /** `DWORD (CERT_CONTEXT*, DWORD type, DWORD flags, void* typePara, LPWSTR, DWORD count)` */
  CertGetNameStringW: { parameters: ["usize", "u32", "u32", "pointer", "buffer", "u32"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type TrustSymbols =
  & Deno.StaticForeignLibraryInterface<typeof WINTRUST>
  & Deno.StaticForeignLibraryInterface<typeof CRYPT32>;

/** A file that is open, so that what is checked is what is loaded. */
export interface OpenFile {
  readonly path: string;
  /** Open for reading. */
  readonly handle: bigint;
}

/** What a check came to. */
export type Signature =
  | { readonly valid: true; /** Name in the signer's certificate. */ readonly signer: string }
  | { readonly valid: false; readonly why: string };

const GENERIC_VERIFY_V2 = "00aac56b-cd44-11d0-8cc2-00c04fc295ee";
const FILE_INFO_BYTES = 32, DATA_BYTES = 88;
const WTD_UI_NONE = 2, WTD_REVOKE_NONE = 0, WTD_CHOICE_FILE = 1;
const WTD_STATEACTION_VERIFY = 1, WTD_STATEACTION_CLOSE = 2;
/** `WTD_REVOCATION_CHECK_NONE`, `WTD_CACHE_ONLY_URL_RETRIEVAL`. */
const FLAGS = 0x10 | 0x1000;
const AT = { stateAction: 48, state: 56 } as const;
/** Nobody is asked anything. */
const NO_WINDOW = 0xffff_ffff_ffff_ffffn;
const CERT_NAME_SIMPLE_DISPLAY_TYPE = 4;
const NAME_UNITS = 256;

/** winerror.h: what is said of most files that are not valid. */
const TEXTS: Readonly<Record<number, string>> = {
  0x800b_0100: "it is not signed",
  0x800b_0003: "it is no file that can be signed",
  0x8009_6010: "it was changed after it was signed",
  0x800b_0101: "the signer's certificate was out of date",
  0x800b_0109: "this host does not know the root of the signer's certificate",
  0x800b_010a: "this host does not have the chain of the signer's certificate",
  0x800b_0111: "this host distrusts the signer",
};

let opened: TrustSymbols | undefined;

/** Windows does not look for these in its own directory only unless it is told to. */
function system(): TrustSymbols {
  const directory = systemDirectory();
  return opened ??= {
    ...lazyLibrary([`${directory}\\wintrust.dll`], WINTRUST)(),
    ...lazyLibrary([`${directory}\\crypt32.dll`], CRYPT32)(),
  };
}

/**
 * Checks a file's signature. Reads all of the file.
 *
 * @throws {LibraryError} On a system that cannot check signatures.
 */
export function verifySignature(file: OpenFile, symbols: TrustSymbols = system()): Signature {
  const action = encodeGuid(GENERIC_VERIFY_V2);
  const path = encodePath(file.path);
  const info = fileInfo(path, file.handle);
  const data = new PinnedBuffer(DATA_BYTES);
  describe(data, info);
  const result = symbols.WinVerifyTrust(NO_WINDOW, action, data.pointer);
  try {
    if (result !== 0) return { valid: false, why: reason(result >>> 0) };
    const signer = signerName(data.view.getBigUint64(AT.state, true), symbols);
    return signer === "" ? { valid: false, why: "its signer has no name" } : { valid: true, signer };
  } finally {
    data.view.setUint32(AT.stateAction, WTD_STATEACTION_CLOSE, true);
    symbols.WinVerifyTrust(NO_WINDOW, action, data.pointer);
    // Until here their addresses are in use.
    path.fill(0);
    info.bytes.fill(0);
  }
}

function fileInfo(path: Uint16Array<ArrayBuffer>, handle: bigint): PinnedBuffer {
  const info = new PinnedBuffer(FILE_INFO_BYTES);
  info.view.setUint32(0, FILE_INFO_BYTES, true);
  info.view.setBigUint64(8, Deno.UnsafePointer.value(Deno.UnsafePointer.of(path)), true);
  info.view.setBigUint64(16, handle, true);
  return info;
}

function describe({ view }: PinnedBuffer, info: PinnedBuffer): void {
  view.setUint32(0, DATA_BYTES, true);
  view.setUint32(24, WTD_UI_NONE, true);
  view.setUint32(28, WTD_REVOKE_NONE, true);
  view.setUint32(32, WTD_CHOICE_FILE, true);
  view.setBigUint64(40, BigInt(info.address), true);
  view.setUint32(AT.stateAction, WTD_STATEACTION_VERIFY, true);
  view.setUint32(72, FLAGS, true);
}

/** Empty if there is none. */
function signerName(state: bigint, symbols: TrustSymbols): string {
  const data = symbols.WTHelperProvDataFromStateData(state);
  const signer = data && symbols.WTHelperGetProvSignerFromChain(data, 0, 0, 0);
  const entry = signer && symbols.WTHelperGetProvCertFromChain(signer, 0);
  const certificate = entry ? new Deno.UnsafePointerView(entry).getBigUint64(8) : 0n;
  if (certificate === 0n) return "";
  const name = new Uint16Array(NAME_UNITS);
  symbols.CertGetNameStringW(certificate, CERT_NAME_SIMPLE_DISPLAY_TYPE, 0, null, name, NAME_UNITS - 1);
  return decodeWide((index) => name[index]!);
}

function reason(code: number): string {
  return `${TEXTS[code] ?? "its signature is not valid"} (${code.toString(16)})`;
}
