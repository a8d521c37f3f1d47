/**
 * The NTSTATUS values that operations on pipes end with, as Win32 error codes.
 *
 * `GetOverlappedResult` would translate them, but only while the handle is open, and a packet may come after
 * that. Values that are not in the table, which no operation on a pipe is known to give, stay as they are.
 *
 * @see ntstatus.h; Microsoft, "NTSTATUS to Win32 error code mappings".
 */

const WIN32: Readonly<Record<number, number>> = {
  0x0000_0000: 0, // STATUS_SUCCESS
  0xc000_0008: 6, // STATUS_INVALID_HANDLE
  0xc000_000d: 87, // STATUS_INVALID_PARAMETER
  0xc000_0011: 38, // STATUS_END_OF_FILE: ERROR_HANDLE_EOF
  0xc000_0022: 5, // STATUS_ACCESS_DENIED
  0xc000_009a: 1450, // STATUS_INSUFFICIENT_RESOURCES
  0xc000_00ac: 231, // STATUS_PIPE_NOT_AVAILABLE: ERROR_PIPE_BUSY
  0xc000_00b0: 233, // STATUS_PIPE_DISCONNECTED: ERROR_PIPE_NOT_CONNECTED
  0xc000_00b1: 232, // STATUS_PIPE_CLOSING: ERROR_NO_DATA
  0xc000_00b2: 535, // STATUS_PIPE_CONNECTED
  0xc000_00b3: 536, // STATUS_PIPE_LISTENING
  0xc000_0120: 995, // STATUS_CANCELLED: ERROR_OPERATION_ABORTED
  0xc000_014b: 109, // STATUS_PIPE_BROKEN: ERROR_BROKEN_PIPE
};

/** The error code of a status given as u32. */
export function win32OfStatus(status: number): number {
  return WIN32[status >>> 0] ?? status >>> 0;
}
