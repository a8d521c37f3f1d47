/**
 * Claims a data directory for one process: an exclusive lock on `overlayd.lock` in the part of it that is ours.
 *
 * The lock is the kernel's, so it ends with the process however that ends. The file's text is the
 * holder's pid and only serves messages.
 */
import { dirname, join } from "@std/path";
import { PermissionError, PreconditionError } from "./errors.ts";
import {
  createPrivateFile,
  ensureOwnDirectory,
  makePrivateDirectory,
  ownDirectory,
} from "./transport/private_path.ts";

/** The lock file of a data directory. */
export function lockFile(dataDir: string): string {
  return join(ownDirectory(dataDir), "overlayd.lock");
}

/** How long a Deno without `tryLock` (before 2.5) is given to find out that the lock is free. */
const LOCK_WAIT_MS = 1000;

/** Another process holds the data directory. */
export class DataDirBusyError extends PreconditionError {
  /**
   * @param path The data directory.
   * @param holderPid Its holder, if the lock file names one.
   */
  constructor(readonly path: string, readonly holderPid: number | undefined) {
    const holder = holderPid === undefined ? "" : ` (pid ${holderPid})`;
    super(`data directory ${path} is in use by another zlayer-overlayd${holder}`);
  }
}

/** A held lock; disposing it releases the directory. */
export class DataDirLock implements Disposable {
  readonly #file: Deno.FsFile;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  [Symbol.dispose](): void {
    try {
      this.#file.close();
    } catch {
      // Closed already: the lock is gone, which is what was asked for.
    }
  }
}

/**
 * Takes the lock without waiting for its holder.
 *
 * @param options.create Make the directory, mode 0700, when it is missing; without it, a missing directory
 * gives `undefined`, since there is nothing to guard.
 * @throws {DataDirBusyError} If another process holds it.
 * @throws {PermissionError} If this user may not make the directory or the file.
 * @throws {PreconditionError} If they cannot be made for another reason.
 */
export async function lockDataDir(
  path: string,
  options: { create: boolean },
): Promise<DataDirLock | undefined> {
  if (options.create) await makeDataDir(path);
  for (;;) {
    const file = await openLockFile(path);
    if (!file) return undefined;
    try {
      if (!await tryLock(file)) throw new DataDirBusyError(path, await readPid(lockFile(path)));
      if (await isCurrent(file, path)) {
        await writePid(file);
        return new DataDirLock(file);
      }
      file.close(); // A purge removed the file between open and lock: lock the one that is there now.
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

/**
 * Takes the lock for a daemon, making the directory if need be.
 *
 * @throws As {@linkcode lockDataDir}.
 */
export async function claimDataDir(path: string): Promise<DataDirLock> {
  const lock = await lockDataDir(path, { create: true });
  if (lock) return lock;
  throw new PreconditionError(`data directory ${path} was removed while the daemon started`);
}

/**
 * Makes the data directory if it is missing, private, and what in it is ours alone. One that is there keeps its rights.
 *
 * @throws As {@linkcode lockDataDir}.
 */
export async function makeDataDir(path: string): Promise<void> {
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    makePrivateDirectory(path);
    ensureOwnDirectory(path);
  } catch (error) {
    if (error instanceof PermissionError) throw error;
    throw unusable(`cannot create data directory ${path}`, error);
  }
}

async function openLockFile(path: string): Promise<Deno.FsFile | undefined> {
  try {
    createPrivateFile(lockFile(path));
    return await Deno.open(lockFile(path), { read: true, write: true, create: true, mode: 0o600 });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw unusable(`cannot write in data directory ${path}`, error);
  }
}

/**
 * Root without CAP_DAC_OVERRIDE is refused in a directory of another user, and on Windows everybody who is not
 * elevated; say so.
 */
function unusable(what: string, cause: unknown): PermissionError | PreconditionError {
  if (!(cause instanceof Deno.errors.PermissionDenied)) return new PreconditionError(what, { cause });
  return new PermissionError(`${what}${permissionHint(Deno.uid())}`, { cause });
}

/** What whoever may not use a data directory has to be. @param uid Null on Windows, which has none. */
export function permissionHint(uid: number | null): string {
  if (uid === null) return " (run as Administrator, or as the service)";
  return uid === 0 ? " (needs CAP_DAC_OVERRIDE where a directory is another user's)" : "";
}

/** `Deno.FsFile.tryLock` exists since Deno 2.5; before, the blocking call is given a moment. */
async function tryLock(
  file: Deno.FsFile & { tryLock?: (exclusive: boolean) => Promise<boolean> },
): Promise<boolean> {
  if (file.tryLock) return await file.tryLock(true);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), LOCK_WAIT_MS));
  const locked = await Promise.race([file.lock(true).then(() => true), timeout]);
  clearTimeout(timer);
  return locked;
}

/** Whether the locked file is still the one at the path. */
async function isCurrent(file: Deno.FsFile, path: string): Promise<boolean> {
  const locked = await file.stat();
  try {
    const present = await Deno.stat(lockFile(path));
    return present.ino === locked.ino && present.dev === locked.dev;
  } catch {
    return false;
  }
}

async function writePid(file: Deno.FsFile): Promise<void> {
  await file.truncate(0);
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
}

async function readPid(path: string): Promise<number | undefined> {
  try {
    const text = await Deno.readTextFile(path);
    return /^[0-9]{1,10}\n?$/.test(text) ? Number.parseInt(text, 10) : undefined;
  } catch {
    return undefined;
  }
}
