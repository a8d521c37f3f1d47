/**
 * The least that a server on a pipe can do by FFI: read, send an answer made beforehand, wait for the port on a
 * thread of the pool. It looks at nothing, so that what it takes is the price of the calls and of that thread.
 */
import { kernel32 } from "../../ffi/windows/kernel32.ts";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { encodeWide } from "../../ffi/windows/wide_string.ts";
import { FSCTL_PIPE_LISTEN, ntdll, STATUS_PENDING } from "../../ffi/windows/ntdll.ts";
import { encodeFrame } from "../../ipc/frame.ts";

// winbase.h
const DUPLEX_OVERLAPPED = 0x4000_0003;
const REJECT_REMOTE_CLIENTS = 8;
const INVALID_HANDLE_VALUE = 0xffff_ffff_ffff_ffffn;
/** `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS` */
const SKIP_PORT_WHEN_DONE = 1;
const ENTRY_TRANSFERRED = 24;
const INFINITE = 0xffff_ffff;
const BUFFER_BYTES = 64 * 1024;

/** Serves one client after the other, each asking for one `status` after the other with ids from 1 on. */
export async function serveByFfi(name: string): Promise<never> {
  for (;;) await serveOne(name);
}

async function serveOne(name: string): Promise<void> {
  const kernel = kernel32();
  const port = kernel.CreateIoCompletionPort(INVALID_HANDLE_VALUE, 0n, 0n, 0);
  const security = new Uint8Array([24, ...new Array(23).fill(0)]);
  const pipe = kernel.CreateNamedPipeW(
    encodeWide(name),
    DUPLEX_OVERLAPPED,
    REJECT_REMOTE_CLIENTS,
    1,
    BUFFER_BYTES,
    BUFFER_BYTES,
    0,
    security,
  );
  kernel.CreateIoCompletionPort(pipe, port, 0n, 0);
  kernel.SetFileCompletionNotificationModes(pipe, SKIP_PORT_WHEN_DONE);
  const [reading, writing] = [new PinnedBuffer(32), new PinnedBuffer(32)];
  const entries = new PinnedBuffer(64 * 32);
  const [into, removed] = [new PinnedBuffer(4096).bytes, new Uint32Array(new ArrayBuffer(4))];
  const wait = (): Promise<number> =>
    kernel.GetQueuedCompletionStatusEx(port, entries.bytes, 64, removed, INFINITE, 0);
  const { NtFsControlFile, NtReadFile, NtWriteFile } = ntdll();
  const [block, nowhere] = [reading.pointer, new PinnedBuffer(8).pointer];
  const listening = NtFsControlFile(pipe, 0n, null, block, block, FSCTL_PIPE_LISTEN, null, 0, null, 0);
  if (listening === STATUS_PENDING) await wait();
  for (let id = 1;; id++) {
    reading.bytes.fill(0);
    const status = NtReadFile(pipe, 0n, null, block, block, into, into.length, nowhere, null);
    if (status !== 0) {
      if (status !== STATUS_PENDING) break;
      await wait();
      if (entries.view.getUint32(ENTRY_TRANSFERRED, true) === 0) break;
    }
    writing.bytes.fill(0);
    const bytes = encodeFrame(
      `{"frame":"response","id":${id},"response":{"result":"status","overlay_cidr":"10.200.0.0/16",` +
        `"peer_count":0,"service_count":0}}`,
    );
    NtWriteFile(pipe, 0n, null, writing.pointer, writing.pointer, bytes, bytes.length, nowhere, null);
  }
  kernel.CloseHandle(pipe);
  kernel.CloseHandle(port);
}
