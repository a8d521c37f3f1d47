/** A device of ours in a process of its own, on a system that lacks something. */
import { fromFileUrl } from "@std/path";
import { ChildLines } from "./child_lines.ts";
import type { NamedNetns } from "./test_netns.ts";

/** What is lacking. */
export const LIMITS = [
  "nothing",
  "no UDP_SEGMENT",
  "UDP_SEGMENT fails",
  "no UDP_GRO",
  "no USO",
  "no TUN offloads",
  "no vnet header",
  "no IPv6",
] as const;

/** One of {@linkcode LIMITS}. */
export type Limit = typeof LIMITS[number];

/** A device with one peer. */
export interface LimitedDevice {
  readonly limit: Limit;
  readonly link: string;
  readonly privateKey: string;
  readonly listenPort: number;
  readonly mtuBytes: number;
  readonly peer: {
    readonly publicKey: string;
    readonly host: string;
    readonly port: number;
    readonly allowedIps: readonly string[];
  };
}

/** Starts it in a namespace, and returns when its link is there and its data path runs. */
export async function startLimitedDevice(place: NamedNetns, device: LimitedDevice): Promise<AsyncDisposable> {
  const main = fromFileUrl(import.meta.resolve("./limited_device_main.ts"));
  const child = new Deno.Command("ip", {
    args: [
      ...["netns", "exec", place.name, Deno.execPath(), "run", "-A", "--frozen", "--no-check"],
      ...[main, JSON.stringify(device)],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = new ChildLines(child.stdout);
  const started = {
    async [Symbol.asyncDispose](): Promise<void> {
      child.kill("SIGKILL");
      await child.status;
      await lines.close();
    },
  };
  await using undo = new AsyncDisposableStack();
  undo.use(started);
  await lines.until("running");
  undo.move();
  return started;
}
