/**
 * SERVICE_STATUS: what a service tells the Service Control Manager, and what that tells others.
 *
 * Layout (winsvc.h), 28 bytes of u32, little-endian: dwServiceType @0, dwCurrentState @4, dwControlsAccepted @8,
 * dwWin32ExitCode @12, dwServiceSpecificExitCode @16, dwCheckPoint @20, dwWaitHint @24.
 */

/** Size of the structure. */
export const SERVICE_STATUS_BYTES = 28;

/** The only service of its process. */
const SERVICE_WIN32_OWN_PROCESS = 0x10;

/** A state as it is reported. */
export interface ServiceStatus {
  /** `SERVICE_RUNNING` and so on. */
  readonly state: number;
  /** Controls that may be sent, a bit each: `SERVICE_ACCEPT_STOP` and so on. */
  readonly accepted: number;
  /** Meaningful when stopped. */
  readonly exitCode: number;
  /** Rises while a pending state makes progress; 0 in the others. */
  readonly checkPoint: number;
  /** Within what time the next report comes, in milliseconds; 0 in states that are not pending. */
  readonly waitHintMs: number;
}

/** The structure of a service with a process of its own. */
export function encodeServiceStatus(status: ServiceStatus): Uint8Array<ArrayBuffer> {
  const fields = [
    SERVICE_WIN32_OWN_PROCESS,
    status.state,
    status.accepted,
    status.exitCode,
    0,
    status.checkPoint,
    status.waitHintMs,
  ];
  const bytes = new Uint8Array(SERVICE_STATUS_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, field] of fields.entries()) view.setUint32(4 * i, field, true);
  return bytes;
}

/** Reads the structure. */
export function decodeServiceStatus(bytes: Uint8Array<ArrayBuffer>): ServiceStatus {
  const view = new DataView(bytes.buffer, bytes.byteOffset, SERVICE_STATUS_BYTES);
  return {
    state: view.getUint32(4, true),
    accepted: view.getUint32(8, true),
    exitCode: view.getUint32(12, true),
    checkPoint: view.getUint32(20, true),
    waitHintMs: view.getUint32(24, true),
  };
}
