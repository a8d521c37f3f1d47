/**
 * SECURITY_ATTRIBUTES made from a security descriptor's text.
 *
 * Layout (wtypesbase.h), 24 bytes: nLength u32 @0, lpSecurityDescriptor u64 @8, bInheritHandle i32 @16.
 */
import type { Advapi32 } from "./advapi32.ts";
import type { Kernel32 } from "./kernel32.ts";
import { encodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

const ATTRIBUTES_BYTES = 24;
const SDDL_REVISION_1 = 1;

/** Attributes for objects that child processes do not inherit. */
export class SecurityAttributes implements Disposable {
  /** The structure; valid until disposal. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(ATTRIBUTES_BYTES);
  readonly #kernel: Kernel32;
  #descriptor: Deno.PointerValue;

  /**
   * @param sddl Such as `D:P(A;;GA;;;SY)`.
   * @throws {Win32Error} If the text is no security descriptor.
   */
  constructor(sddl: string, libraries: { readonly kernel32: Kernel32; readonly advapi32: Advapi32 }) {
    this.#kernel = libraries.kernel32;
    const out = new BigUint64Array(1);
    const convert = libraries.advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW;
    if (convert(encodeWide(sddl), SDDL_REVISION_1, out, null) === 0) {
      const code = this.#kernel.GetLastError();
      throw new Win32Error(
        `read ${sddl}`,
        "ConvertStringSecurityDescriptorToSecurityDescriptorW",
        code,
      );
    }
    this.#descriptor = Deno.UnsafePointer.create(out[0]!);
    const view = new DataView(this.bytes.buffer);
    view.setUint32(0, ATTRIBUTES_BYTES, true);
    view.setBigUint64(8, out[0]!, true);
  }

  /** The descriptor; null after disposal. */
  get descriptor(): Deno.PointerValue {
    return this.#descriptor;
  }

  /** Frees the descriptor. */
  [Symbol.dispose](): void {
    if (this.#descriptor !== null) this.#kernel.LocalFree(this.#descriptor);
    this.#descriptor = null;
  }
}
