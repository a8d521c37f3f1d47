/** Tells for which system an executable file was made, from its header: ELF (`elf.h`) or PE (`winnt.h`). */

/** Targets of `deno compile` that this project builds. */
export const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-pc-windows-msvc",
  "aarch64-pc-windows-msvc",
] as const;

/** One of {@linkcode TARGETS}. */
export type Target = typeof TARGETS[number];

/** `e_machine` at offset 18 of an ELF header. */
const ELF_MACHINES: Readonly<Record<number, Target>> = {
  62: "x86_64-unknown-linux-gnu",
  183: "aarch64-unknown-linux-gnu",
};

/** `IMAGE_FILE_HEADER.Machine`, 4 bytes after the start of the PE signature. */
const PE_MACHINES: Readonly<Record<number, Target>> = {
  0x8664: "x86_64-pc-windows-msvc",
  0xaa64: "aarch64-pc-windows-msvc",
};

const ELF_MAGIC = 0x7f454c46;
const MZ_MAGIC = 0x4d5a;
const PE_SIGNATURE = 0x50450000;
/** Where a DOS header says the PE signature is: `e_lfanew`. */
const E_LFANEW = 0x3c;

/**
 * The target an executable runs on.
 *
 * @param header The first bytes of the file; 4096 are enough for any linker's output.
 * @returns undefined when it is neither ELF nor PE or for another machine.
 */
export function targetOfExecutable(header: Uint8Array): Target | undefined {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (view.byteLength < 64) return undefined;
  if (view.getUint32(0) === ELF_MAGIC) return ELF_MACHINES[view.getUint16(18, true)];
  if (view.getUint16(0) !== MZ_MAGIC) return undefined;
  const signature = view.getUint32(E_LFANEW, true);
  if (signature + 6 > view.byteLength || view.getUint32(signature) !== PE_SIGNATURE) return undefined;
  return PE_MACHINES[view.getUint16(signature + 4, true)];
}
