/** Where errors of Windows become errors of the domain: above the backend nobody sees their codes. */

import { LibraryError } from "../../../ffi/errors.ts";
import { ERROR_NOT_FOUND, ERROR_OBJECT_ALREADY_EXISTS } from "../../../ffi/iphlpapi.ts";
import { ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND } from "../../../ffi/windows/constants.ts";
import { isPortTaken } from "../../../ffi/windows/udp_socket.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import {
  AlreadyExistsError,
  describeError,
  NotFoundError,
  OverlayError,
  PermissionError,
  PreconditionError,
  UnsupportedError,
} from "../../errors.ts";

/** Whether the code says that the object is not there: a row, or its interface. */
export function isGoneCode(code: number): boolean {
  return code === ERROR_NOT_FOUND || code === ERROR_FILE_NOT_FOUND;
}

/**
 * The domain's error for whatever was thrown.
 *
 * @param doing What was being done, after "cannot": `set up device zl-1-g`.
 */
export function translateWin32(doing: string, error: unknown): OverlayError {
  if (error instanceof OverlayError) return error;
  const message = `cannot ${doing}: ${describeError(error)}`;
  const options = { cause: error };
  if (error instanceof LibraryError) return new UnsupportedError(message, options);
  if (isPortTaken(error)) return new PreconditionError(message, options);
  if (!(error instanceof Win32Error)) return new OverlayError("internal", message, options);
  if (isGoneCode(error.code)) return new NotFoundError("Windows object", doing, { message, ...options });
  if (error.code === ERROR_OBJECT_ALREADY_EXISTS) return new AlreadyExistsError(message, options);
  if (error.code === ERROR_ACCESS_DENIED) {
    return new PermissionError(`${message}; run as LocalSystem or an administrator`, options);
  }
  return new OverlayError("internal", message, options);
}

/** Runs a section whose errors are translated. */
export async function translatedWin32<T>(doing: string, section: () => Promise<T>): Promise<T> {
  try {
    return await section();
  } catch (error) {
    throw translateWin32(doing, error);
  }
}
