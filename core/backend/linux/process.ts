/** Processes and the network namespaces they live in, by `/proc`. */

import { EACCES, ENOENT, EPERM } from "../../../ffi/errno.ts";
import { ErrnoError } from "../../../ffi/errors.ts";
import { FileDescriptor } from "../../../ffi/file_descriptor.ts";
import { PinnedBuffer } from "../../../ffi/memory.ts";
import { InvalidConfigError, NotFoundError, PermissionError } from "../../errors.ts";
import type { NetnsIdentity } from "../backend.ts";
import { hasErrno, translate } from "./kernel_errors.ts";

/** A namespace that is held open, so that it cannot go or be replaced meanwhile. */
interface HeldNetns {
  readonly file: FileDescriptor;
  readonly device: bigint;
  readonly inode: bigint;
}

/** @throws As {@linkcode NetworkBackend.identify} says. */
export function identify(pid: number): NetnsIdentity {
  const startTicks = liveStartTicks(pid);
  const held = hold(pid);
  using _ = held.file;
  const own = Deno.statSync("/proc/thread-self/ns/net");
  if (held.inode === BigInt(own.ino ?? 0) && held.device === BigInt(own.dev)) {
    throw new InvalidConfigError(
      `process ${pid} lives in the host's network namespace: it has none of its own to attach`,
    );
  }
  if (readStartTicks(pid) !== startTicks) throw gone(pid);
  return { pid, startTicks, device: held.device, inode: held.inode, bootId: bootId() };
}

/** Whether the process is the same and lives in the same namespace. @throws {PermissionError} If it may not be told. */
export function isAlive(netns: NetnsIdentity): boolean {
  try {
    openNetns(netns)[Symbol.dispose]();
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

/**
 * Opens the namespace, making sure that it is the one.
 *
 * @throws {NotFoundError} If the process is gone, is another by now, or has changed namespaces.
 */
export function openNetns(netns: NetnsIdentity): FileDescriptor {
  if (netns.bootId !== bootId()) throw gone(netns.pid);
  const held = hold(netns.pid);
  const same = held.device === netns.device && held.inode === netns.inode;
  // After the opening: a pid that was reused before it would show another start time.
  if (same && readStartTicks(netns.pid) === netns.startTicks) return held.file;
  held.file[Symbol.dispose]();
  throw gone(netns.pid);
}

/** Whether the process that was identified still runs. */
export function stillRuns(netns: NetnsIdentity): boolean {
  return readStartTicks(netns.pid) === netns.startTicks;
}

function hold(pid: number): HeldNetns {
  try {
    const file = FileDescriptor.open(`/proc/${pid}/ns/net`);
    const { dev, ino } = Deno.statSync(`/proc/self/fd/${file.fd}`);
    return { file, device: BigInt(dev), inode: BigInt(ino ?? 0) };
  } catch (error) {
    if (hasErrno(error, ENOENT)) throw gone(pid, error);
    if (hasErrno(error, EACCES, EPERM)) {
      throw new PermissionError(
        `cannot open the network namespace of process ${pid}: CAP_SYS_PTRACE is missing ` +
          `(and CAP_SYS_ADMIN is needed to enter it); add both to the daemon's capabilities`,
        { cause: error },
      );
    }
    throw translate(`open the network namespace of process ${pid}`, error);
  }
}

function liveStartTicks(pid: number): bigint {
  const ticks = readStartTicks(pid);
  if (ticks === undefined) throw gone(pid);
  return ticks;
}

/** More than `/proc/<pid>/stat` can have: 52 numbers of at most 20 digits, and a name. */
const STAT_MAX_BYTES = 2048;

/** One for all: what is read is decoded at once. */
let statBuffer: PinnedBuffer | undefined;

/** Start time of a process that runs; a zombie counts as gone. */
function readStartTicks(pid: number): bigint | undefined {
  const buffer = statBuffer ??= new PinnedBuffer(STAT_MAX_BYTES);
  try {
    // Deno's own reading takes twice as long, in more steps than there are pieces; four of these are in an attach.
    using file = FileDescriptor.open(`/proc/${pid}/stat`);
    return parseStartTicks(new TextDecoder().decode(buffer.bytes.subarray(0, file.read(buffer))));
  } catch (error) {
    if (error instanceof ErrnoError) return undefined;
    throw error;
  }
}

/**
 * Field 22 of `/proc/<pid>/stat` (proc(5)); `undefined` for a zombie or a dead process.
 *
 * Field 2 is the name in parentheses and may itself hold blanks and parentheses, so fields count from its end.
 */
export function parseStartTicks(stat: string): bigint | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[22 - 3]];
  if (state === "Z" || state === "X" || startTicks === undefined || !/^\d+$/.test(startTicks)) {
    return undefined;
  }
  return BigInt(startTicks);
}

function gone(pid: number, cause?: unknown): NotFoundError {
  const message = `process ${pid} is gone, or is no longer the one it was`;
  return new NotFoundError("process", String(pid), { message, cause });
}

let currentBoot: string | undefined;

function bootId(): string {
  return currentBoot ??= Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
}
