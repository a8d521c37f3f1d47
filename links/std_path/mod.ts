/** Stand-in for `jsr:@std/path`: delegates to `node:path`, published signatures of the functions we use. */
import * as path from "node:path";
import { fileURLToPath } from "node:url";

/** Joins path segments and normalises the result. */
export function join(...paths: string[]): string {
  return path.join(...paths);
}

/** Directory part of a path. */
export function dirname(p: string): string {
  return path.dirname(p);
}

/** Last part of a path, without `suffix` when it ends so. */
export function basename(p: string, suffix = ""): string {
  return path.basename(p, suffix);
}

/** Absolute form of the path made of the segments. */
export function resolve(...paths: string[]): string {
  return path.resolve(...paths);
}

/** Whether the path is absolute on this system. */
export function isAbsolute(p: string): boolean {
  return path.isAbsolute(p);
}

/** Path of a `file:` URL. */
export function fromFileUrl(url: string | URL): string {
  const u = new URL(url);
  if (u.protocol !== "file:") throw new TypeError(`URL must be a file URL: received "${u.protocol}"`);
  return fileURLToPath(u);
}
