/** What the process was started in; the one place that asks. */
import type { DaemonEnvironment } from "./config.ts";

/** Reads operating system, user, environment variables and whether stdout is a terminal. */
export function readEnvironment(): DaemonEnvironment {
  return {
    os: Deno.build.os,
    // The real user id; the executable is never installed set-user-id.
    euid: Deno.uid() ?? 0,
    env: {
      HOME: Deno.env.get("HOME"),
      PROGRAMDATA: Deno.env.get("PROGRAMDATA"),
      ZLAYER_DATA_DIR: Deno.env.get("ZLAYER_DATA_DIR"),
      RUST_LOG: Deno.env.get("RUST_LOG"),
      NO_COLOR: Deno.env.get("NO_COLOR"),
      SystemRoot: Deno.env.get("SystemRoot"),
      ZLAYER_HCN_UPLINK_ADAPTER: Deno.env.get("ZLAYER_HCN_UPLINK_ADAPTER"),
    },
    terminal: isTerminal(Deno.stdout),
  };
}

/** Whether a terminal controls the process: stdin is one. */
export function hasTerminal(): boolean {
  return isTerminal(Deno.stdin);
}

function isTerminal(stream: { isTerminal(): boolean }): boolean {
  try {
    return stream.isTerminal();
  } catch {
    return false; // The stream is closed.
  }
}
