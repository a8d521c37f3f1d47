/** Error codes of Windows that this program meets, and the error that carries one. */
import { FfiError } from "../errors.ts";
import {
  ERROR_ACCESS_DENIED,
  ERROR_BROKEN_PIPE,
  ERROR_FILE_NOT_FOUND,
  ERROR_INVALID_HANDLE,
  ERROR_IO_PENDING,
  ERROR_NO_DATA,
  ERROR_OPERATION_ABORTED,
  ERROR_PIPE_BUSY,
  ERROR_PIPE_CONNECTED,
  ERROR_PIPE_NOT_CONNECTED,
  ERROR_SEM_TIMEOUT,
} from "./constants.ts";

/** Name and text, as `winerror.h` and the system's message table have them. */
const TEXTS: Readonly<Record<number, readonly [name: string, text: string]>> = {
  [ERROR_FILE_NOT_FOUND]: ["ERROR_FILE_NOT_FOUND", "there is nothing of that name"],
  [ERROR_ACCESS_DENIED]: ["ERROR_ACCESS_DENIED", "access is denied"],
  [ERROR_INVALID_HANDLE]: ["ERROR_INVALID_HANDLE", "the handle is invalid"],
  8: ["ERROR_NOT_ENOUGH_MEMORY", "not enough memory"],
  53: ["ERROR_BAD_NETPATH", "the path is not on this computer"],
  87: ["ERROR_INVALID_PARAMETER", "a parameter is wrong"],
  [ERROR_BROKEN_PIPE]: ["ERROR_BROKEN_PIPE", "the other end was closed"],
  [ERROR_SEM_TIMEOUT]: ["ERROR_SEM_TIMEOUT", "the time is over"],
  123: ["ERROR_INVALID_NAME", "the name is not valid"],
  [ERROR_PIPE_BUSY]: ["ERROR_PIPE_BUSY", "all instances of the pipe are busy"],
  [ERROR_NO_DATA]: ["ERROR_NO_DATA", "the pipe is being closed"],
  [ERROR_PIPE_NOT_CONNECTED]: ["ERROR_PIPE_NOT_CONNECTED", "nobody is at the other end"],
  [ERROR_PIPE_CONNECTED]: ["ERROR_PIPE_CONNECTED", "somebody is at the other end"],
  [ERROR_OPERATION_ABORTED]: ["ERROR_OPERATION_ABORTED", "the operation was cancelled"],
  [ERROR_IO_PENDING]: ["ERROR_IO_PENDING", "the operation is under way"],
  1307: ["ERROR_INVALID_OWNER", "this process may not give it that owner"],
  1450: ["ERROR_NO_SYSTEM_RESOURCES", "the system lacks resources"],
  1816: ["ERROR_NOT_ENOUGH_QUOTA", "the quota is used up"],
};

/** A function of Windows failed. */
export class Win32Error extends FfiError {
  /**
   * @param op What was being done, and to what.
   * @param call Name of the function.
   * @param code As `GetLastError` gave it.
   */
  constructor(op: string, readonly call: string, readonly code: number) {
    super(op, `${op}: ${call}: ${describeWin32(code)}`);
  }
}

/** `5 ERROR_ACCESS_DENIED, access is denied`; the number alone when there is no text for it. */
export function describeWin32(code: number): string {
  const known = TEXTS[code];
  return known ? `${code} ${known[0]}, ${known[1]}` : `error ${code}`;
}
