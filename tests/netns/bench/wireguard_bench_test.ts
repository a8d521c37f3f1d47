/** That the benchmark still runs: the shortest load between two devices of ours. Its numbers are not looked at. */
import { assert } from "@std/assert";
import { compare } from "../../../bench/wireguard/compare.ts";
import { targetRows } from "../../../bench/wireguard/rows.ts";
import { openOurs } from "../../../bench/wireguard/tunnel.ts";
import { needing } from "../../support/test_netns.ts";

Deno.test({
  ...needing(["ip", "iperf3", "ping", "ss"], "compare() measures ours, and its rows say so"),
  async fn(): Promise<void> {
    const ours = { id: "ours", name: "ours", open: openOurs } as const;
    const comparison = await compare([ours], {
      loads: ["udp1372-1.5g", "ping"],
      rounds: 1,
      seconds: 1,
      say: () => {},
    });
    assert(comparison.missing.size === 0, [...comparison.missing.values()].join());
    const flow = comparison.outcomes.get("udp1372-1.5g")!.get("ours")!;
    assert(flow.kpps! > 0 && flow.cpuPerGb! > 0, Deno.inspect(flow));
    assert(comparison.outcomes.get("ping")!.get("ours")!.p99Ms! > 0);
    assert(comparison.rssMiB.get("ours")! > 0);
    assert(targetRows(comparison, ["udp1372-1.5g"]).every(({ state }) => state === "measured"));
  },
});
