/**
 * Writing files that hold secrets and must survive a crash: private from the first byte, on disk before the call returns.
 */

import { createPrivateFile } from "./transport/private_path.ts";

/** The few file operations that durable private files need; a fake can stop between any two. */
export interface PrivateFileSystem {
  /** @returns `undefined` if there is no such file. */
  readTextFile(path: string): Promise<string | undefined>;
  /** Makes a directory and its parents, mode 0700; one that exists is left as it is. */
  ensureDirectory(path: string): Promise<void>;
  /** Writes a new private file in place of what was there, and syncs it. */
  writeFile(path: string, text: string): Promise<void>;
  /** Moves a file over another. */
  rename(from: string, to: string): Promise<void>;
  /** Makes renames in the directory durable. */
  syncDirectory(path: string): Promise<void>;
}

/**
 * Pauses before a rename is tried again. On Windows whoever has the target open without sharing it for deletion, such
 * as a virus scanner, keeps it from being replaced for that moment.
 */
const RENAME_RETRIES_MS = [5, 10, 20, 50, 100, 200];

/** The file system of this host. */
export const HOST_FILES: PrivateFileSystem = {
  async readTextFile(path: string): Promise<string | undefined> {
    try {
      return await Deno.readTextFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  },

  async ensureDirectory(path: string): Promise<void> {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  },

  async writeFile(path: string, text: string): Promise<void> {
    // Rights are given to new files only, so a left-over of a crash goes first.
    await Deno.remove(path).catch(ignoreNotFound);
    if (!createPrivateFile(path)) throw new Deno.errors.AlreadyExists(`${path} is being written by another`);
    using file = await Deno.open(path, { write: true });
    const bytes = new TextEncoder().encode(text);
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    await file.sync();
  },

  async rename(from: string, to: string): Promise<void> {
    for (const delayMs of RENAME_RETRIES_MS) {
      try {
        return await Deno.rename(from, to);
      } catch (error) {
        if (!isHeld(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
    await Deno.rename(from, to);
  },

  async syncDirectory(path: string): Promise<void> {
    // Windows does not open directories as files, or does not let them be synced; its file system journals the
    // rename.
    using directory = await Deno.open(path, { read: true }).catch(() => undefined);
    await directory?.sync().catch(ignorePermission);
  },
};

/** Whether a file was refused as one is that is open elsewhere: access denied (5) or sharing violation (32). */
function isHeld(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || (error as { code?: unknown }).code === "EBUSY";
}

function ignorePermission(error: unknown): void {
  if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
