/**
 * Paths for the functions of Windows that end at 260 characters, a directory's at 248, unless a path says that it is
 * to be taken as it is.
 *
 * @see "Maximum Path Length Limitation" in Microsoft's File Management reference.
 */
import { win32 } from "node:path";
import { encodeWide } from "./wide_string.ts";

/** `MAX_PATH` less a file name of the oldest form, which a directory has to have room for. */
const SHORT_PATH = 248;

/**
 * The path as these functions take it whatever its length: a long one in full, with backslashes, without `.` and `..`,
 * and with `\\?\` or `\\?\UNC\` before it. A short one stays as it is, and so does what Windows makes of it.
 */
export function longPath(path: string): string {
  const full = win32.resolve(path);
  return full.length < SHORT_PATH ? path : win32.toNamespacedPath(full);
}

/** {@linkcode longPath} for C. @throws {TypeError} If the path holds a NUL. */
export function encodePath(path: string): Uint16Array<ArrayBuffer> {
  return encodeWide(longPath(path));
}

/**
 * The reverse: without the prefix where the path is short, and Windows reads the same without it: it drops full stops
 * and spaces at the end of a name.
 *
 * @param path As `GetFinalPathNameByHandleW` gives it.
 */
export function plainPath(path: string): string {
  const plain = path.startsWith("\\\\?\\UNC\\")
    ? `\\\\${path.slice(8)}`
    : /^\\\\\?\\[A-Za-z]:\\/.test(path)
    ? path.slice(4)
    : path;
  return plain.length < SHORT_PATH && !/[. ](\\|$)/.test(plain) ? plain : path;
}
