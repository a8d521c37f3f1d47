/**
 * Group ids by name, through the C library, so that directory services (NSS) count and not only `/etc/group`.
 *
 * `struct group` on LP64 (grp.h): char *gr_name at 0, char *gr_passwd at 8, gid_t gr_gid at 16 (u32),
 * char **gr_mem at 24; 32 bytes.
 */

const SYMBOLS = {
  /**
   * `int getgrnam_r(const char *name, struct group *grp, char *buf, size_t buflen, struct group **result)`,
   * grp.h. On another thread: a directory service may take its time.
   */
  getgrnam_r: {
    parameters: ["buffer", "buffer", "buffer", "usize", "buffer"],
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

const GROUP_BYTES = 32;
const GR_GID_OFFSET = 16;
/** errno.h: the buffer is too small. */
const ERANGE = 34;
const FIRST_BUFFER_BYTES = 4096;
/** A group with more members than fit here is not worth the memory. */
const LAST_BUFFER_BYTES = 4 * 1024 * 1024;

let library: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;

/**
 * Looks a group up.
 *
 * @param name Without NUL.
 * @returns `undefined` if there is no such group or it cannot be looked up.
 * @throws {Error} If the system has no glibc (`libc.so.6`).
 * @see getgrnam_r(3)
 */
export async function findGroupId(name: string): Promise<number | undefined> {
  library ??= Deno.dlopen("libc.so.6", SYMBOLS);
  const cName = new TextEncoder().encode(`${name}\0`);
  const group = new Uint8Array(GROUP_BYTES);
  const result = new BigUint64Array(1);
  for (let size = FIRST_BUFFER_BYTES; size <= LAST_BUFFER_BYTES; size *= 4) {
    // These stay referenced here until the call on the other thread has returned.
    const text = new Uint8Array(size);
    const error = await library.symbols.getgrnam_r(cName, group, text, BigInt(size), result);
    if (error === ERANGE) continue;
    const found = error === 0 && result[0] !== 0n;
    return found ? new DataView(group.buffer).getUint32(GR_GID_OFFSET, true) : undefined;
  }
  return undefined;
}
