/** How an operator starts and stops the daemon of this host by its service manager. Pure. */
import { SERVICE_NAME } from "../windows_service/definition.ts";

/** A command line. @param os As `Deno.build.os` has it. */
export function serviceHint(action: "start" | "stop", os: string): string {
  return os === "windows" ? `sc.exe ${action} ${SERVICE_NAME}` : `systemctl ${action} zlayer-overlayd`;
}
