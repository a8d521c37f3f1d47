import { assertEquals } from "@std/assert";
import { type DaemonEnvironment, type DaemonFlags, resolveConfig } from "../../core/config.ts";
import { levelOf } from "../../core/log_filter.ts";

const ENVIRONMENT: DaemonEnvironment = { os: "linux", euid: 0, terminal: true, env: {} };

function resolve(flags: DaemonFlags, env: DaemonEnvironment["env"] = {}): ReturnType<typeof resolveConfig> {
  return resolveConfig(flags, { ...ENVIRONMENT, env });
}

Deno.test("resolveConfig() without flags and environment gives the platform's defaults", () => {
  assertEquals(resolve({}), {
    dataDir: "/var/lib/zlayer",
    socket: "/var/run/zlayer-overlayd.sock",
    socketGiven: false,
    logFilter: { fallback: "info", targets: [] },
    colour: true,
    cleanupOnExit: false,
    removeAbandoned: false,
    service: false,
    wireguard: "auto",
    uapiDir: "/var/run/wireguard",
    windows: { systemRoot: "C:\\Windows", programData: "C:\\ProgramData" },
  });
});

Deno.test("a flag leads over the environment, and the socket goes with the resolved directory", () => {
  const env = { ZLAYER_DATA_DIR: "/tmp/env" };
  assertEquals(resolve({}, env).socket, "/tmp/env/run/zlayer-overlayd.sock");
  const flagged = resolve({ dataDir: "/tmp/flag/" }, env);
  assertEquals([flagged.dataDir, flagged.socket], ["/tmp/flag/", "/tmp/flag/run/zlayer-overlayd.sock"]);
  const both = resolve({ dataDir: "/tmp/flag", socket: "/run/x.sock" }, env);
  assertEquals(both.uapiDir, "/tmp/flag/run/wireguard");
  assertEquals([both.dataDir, both.socket, both.socketGiven], ["/tmp/flag", "/run/x.sock", true]);
});

Deno.test("colour needs a terminal and no NO_COLOR", () => {
  assertEquals(resolve({}, { NO_COLOR: "" }).colour, true);
  assertEquals(resolve({}, { NO_COLOR: "1" }).colour, false);
  assertEquals(resolveConfig({}, { ...ENVIRONMENT, terminal: false }).colour, false);
});

Deno.test("RUST_LOG, the switches and the adapter are taken over", () => {
  const config = resolve({ cleanupOnExit: true, wireguard: "kernel" }, {
    RUST_LOG: "warn,ipc=debug",
    ZLAYER_HCN_UPLINK_ADAPTER: " Ethernet 2 ",
  });
  assertEquals(levelOf(config.logFilter, "ipc"), "debug");
  assertEquals([config.cleanupOnExit, config.wireguard, config.hcnUplinkAdapter], [
    true,
    "kernel",
    "Ethernet 2",
  ]);
  assertEquals("hcnUplinkAdapter" in resolve({}, { ZLAYER_HCN_UPLINK_ADAPTER: "  " }), false);
});

Deno.test("--service counts on Windows only", () => {
  assertEquals(resolve({ service: true }).service, false);
  assertEquals("logFile" in resolve({ service: true }), false);
  const windows = resolveConfig({ service: true }, { ...ENVIRONMENT, os: "windows" });
  // Its standard output goes nowhere.
  assertEquals([windows.logFile, windows.colour], ["C:\\ProgramData\\ZLayer\\logs\\overlayd.log", false]);
  assertEquals("logFile" in resolveConfig({}, { ...ENVIRONMENT, os: "windows" }), false);
  assertEquals([windows.service, windows.socket], [true, "\\\\.\\pipe\\zlayer-overlayd"]);
});
