import { assertEquals } from "@std/assert";
import { medianOutcome } from "../../bench/wireguard/compare.ts";
import { countedOf } from "../../bench/wireguard/iperf.ts";
import { readPing } from "../../bench/wireguard/ping.ts";
import { measuredLines, targetRows } from "../../bench/wireguard/rows.ts";
import { stepsAhead } from "../../bench/wireguard/soaked_tunnel.ts";
import { complaintsOf, type Findings, findingsOf, type Sample } from "../../bench/wireguard/soak_report.ts";

Deno.test("countedOf() reads TCP, both directions, and UDP with its losses", async (t) => {
  const rows = [
    {
      name: "TCP",
      end: { sum_received: { bytes: 1000, seconds: 2 } },
      want: { bytes: 1000, seconds: 2, packets: 0, packetsSent: 0 },
    },
    {
      name: "TCP, both ways",
      end: {
        sum_received: { bytes: 1000, seconds: 2 },
        sum_received_bidir_reverse: { bytes: 500, seconds: 2 },
      },
      want: { bytes: 1500, seconds: 2, packets: 0, packetsSent: 0 },
    },
    {
      name: "UDP",
      end: { sum: { bytes: 6400, seconds: 2, packets: 100, lost_packets: 25 } },
      want: { bytes: 4800, seconds: 2, packets: 75, packetsSent: 100 },
    },
    {
      name: "UDP, nothing sent",
      end: { sum: { bytes: 0, seconds: 2, packets: 0, lost_packets: 0 } },
      want: { bytes: 0, seconds: 2, packets: 0, packetsSent: 0 },
    },
  ];
  for (const { name, end, want } of rows) await t.step(name, () => assertEquals(countedOf(end), want));
});

Deno.test("readPing() reads times and losses; undefined without a summary", () => {
  const text = [
    "64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.100 ms",
    "64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=1.50 ms",
    "3 packets transmitted, 2 received, 33% packet loss, time 4ms",
  ].join("\n");
  assertEquals(readPing(text), { ms: [0.1, 1.5], lost: 1 });
  assertEquals(readPing("64 bytes from"), undefined);
});

Deno.test("stepsAhead() goes on where 16 bits of a sequence number begin anew", () => {
  const rows = [[0, 1, 1], [65535, 0, 1], [65536, 0, 0], [65536, 4, 4], [131071, 65535, 0], [
    70000,
    4463,
    -1,
  ]];
  for (const [last, sequence, want] of rows) assertEquals(stepsAhead(last!, sequence!), want, `${last}`);
});

Deno.test("medianOutcome() takes the median of each metric by itself", () => {
  const outcomes = [{ gbps: 3, lossPercent: 0 }, { gbps: 1, lossPercent: 9 }, { gbps: 2, lossPercent: 1 }];
  assertEquals(medianOutcome(outcomes), { gbps: 2, lossPercent: 1 });
});

const COMPARISON = {
  outcomes: new Map([[
    "tcp1" as const,
    new Map([
      ["ours" as const, { gbps: 3.5, cpuPerGb: 3 }],
      ["wireguard-go" as const, { gbps: 1, cpuPerGb: 12 }],
      ["wireguard-go-newest" as const, { gbps: 4, cpuPerGb: 3 }],
    ]),
  ]]),
  rssMiB: new Map([["ours" as const, 180]]),
  missing: new Map([["boringtun" as const, "not built: no cargo"]]),
};

Deno.test("targetRows() holds ours against each peer, and names the one that is missing", () => {
  const rows = targetRows(COMPARISON, ["tcp1"]).map((row) =>
    row.state === "measured" ? [row.what, row.peer?.name, row.budget.kind] : [row.what, row.state, row.reason]
  );
  assertEquals(rows, [
    ["TCP, 1 stream", "wireguard-go", "ratioAtLeast"],
    ["TCP, 1 stream, CPU", "wireguard-go", "ratio"],
    ["TCP, 1 stream", "wireguard-go-newest", "ratioAtLeast"],
    ["TCP, 1 stream", "skipped", "boringtun: not built: no cargo"],
  ]);
  const empty = targetRows({ ...COMPARISON, outcomes: new Map() }, ["udp1372-1.5g"]);
  assertEquals(empty.map(({ state }) => state), ["failed", "failed"], "ours was not measured");
});

Deno.test("measuredLines() shows all that was measured and what is missing", () => {
  const lines = measuredLines(COMPARISON);
  assertEquals(lines[2], "TCP, 1 stream  ours                 3.5                   3");
  assertEquals(
    lines[3],
    "               wireguard-go         1                     12                        3.50 x",
  );
  assertEquals(lines.slice(-2), [
    "resident memory of both ends: ours 180 MiB",
    "boringtun: not built: no cargo",
  ]);
});

function samples(minutes: number, rssMiB: (minute: number) => number): Sample[] {
  return Array.from({ length: minutes * 6 }, (_, i) => {
    const minute = i / 6;
    const at = 1_000_000 + Math.floor(minute / 2) * 120;
    return { atSeconds: minute * 60, rssMiB: rssMiB(minute), descriptors: 40, handshakes: [at, at + 1] };
  });
}

function soaked(rssMiB: (minute: number) => number, gaps: { at: number; lost: number }[] = []): Findings {
  const pings = { sent: 90_000, gaps };
  return findingsOf({ name: "one", samples: samples(30, rssMiB), pings, bytes: 2e9 }, 300);
}

Deno.test("findingsOf() counts handshakes once, tells loss at rekeys from other loss, and sees a slope", () => {
  const found = soaked((minute) => 100 + minute, [{ at: 1_000_121, lost: 3 }, { at: 1_000_060, lost: 2 }]);
  assertEquals([found.handshakes, found.lost, found.lostAtRekeys, found.longestGap], [14, 5, 3, 3]);
  assertEquals(Math.round(found.slopeKiBPerMinute), 1024);
  assertEquals(found.gigabytes, 2);
});

Deno.test("complaintsOf() names loss, growth and missing rekeys, and nothing else", async (t) => {
  const flat = soaked(() => 100);
  const rows: { name: string; ours: Findings; want: string[] }[] = [
    { name: "all is well", ours: flat, want: [] },
    { name: "memory that goes up and down", ours: soaked((m) => 100 + 10 * (m % 2)), want: [] },
    {
      name: "growth",
      ours: soaked((minute) => 100 + minute),
      want: ["resident memory grew by 18.8 MiB after warm-up, 16 are allowed"],
    },
    {
      name: "loss at a rekey",
      ours: soaked(() => 100, [{ at: 1_000_120, lost: 1 }]),
      want: ["1 pings lost at rekeys, one lost 0", "1 pings lost, one lost 0"],
    },
    { name: "no rekeys", ours: { ...flat, handshakes: 2 }, want: ["2 rekeys seen, 14 expected"] },
    {
      name: "descriptors",
      ours: { ...flat, descriptors: [40, 41] },
      want: ["descriptors grew from 40 to 41"],
    },
  ];
  for (const { name, ours, want } of rows) {
    await t.step(name, () => assertEquals(complaintsOf(ours, flat, 1800), want));
  }
});
