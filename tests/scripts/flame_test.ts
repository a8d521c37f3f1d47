import { assert, assertEquals, assertMatch } from "@std/assert";
import { drawFlameGraph, foldStacks, type Frame } from "../../scripts/support/flame.ts";

/** As `perf script -F comm,pid,tid,time,event,ip,sym,symoff,dso` prints it. */
const PERF = `worker-1 100/101 1.000000: cpu-clock:pppH: 
	ffffffff8101 _copy_to_iter+0x12 ([kernel.kallsyms])
	ffffffff8100 do_syscall_64+0x1 ([kernel.kallsyms])
	    7f13d405fc65 JS:*'#seal file:///x/core/sender.ts:24:106+0x265 (/tmp/perf-100.map)
	    7f13d4009e64 JS:o*run file:///x/core/data_plane.ts:60:90+0x264 (/tmp/perf-100.map)
	         35dd2bb [unknown] (/usr/bin/deno)
	         362187a [unknown] (/usr/bin/deno)
	           891f5 start_thread+0x305 (/usr/lib/x86_64-linux-gnu/libc.so.6)

worker-1 100/101 1.100000: cpu-clock:pppH: 
	          138944 [unknown] (/usr/lib/x86_64-linux-gnu/libcrypto.so.3)
	c7c8b56e85466153 [unknown] ([unknown])

worker-1 200/201 1.200000: cpu-clock:pppH: 
	    7f13d405fc65 JS:wasm-function[0]-0-turbofan+0x5 (/tmp/perf-200.map)
	    7f13d4009e64 JS:o*run file:///x/core/data_plane.ts:60:90+0x264 (/tmp/perf-200.map)

iperf3 300 1.300000: cpu-clock:pppH: 
	           12345 main+0x1 (/usr/bin/iperf3)
`;

function paths(frame: Frame, above = ""): string[] {
  const path = above === "" ? frame.name : `${above};${frame.name}`;
  const below = [...frame.children.values()];
  const own = frame.samples - below.reduce((sum, { samples }) => sum + samples, 0);
  return [...own > 0 ? [`${path} ${own}`] : [], ...below.flatMap((child) => paths(child, path))];
}

Deno.test("foldStacks() names functions of ours, drops what has no name, and folds by process", () => {
  assertEquals(paths(foldStacks(PERF, new Map([["100", "sender"], ["201", "receiver"]]))), [
    "all;sender;run data_plane.ts;#seal sender.ts;do_syscall_64;_copy_to_iter 1",
    "all;sender;[libcrypto.so.3] 1",
    "all;receiver;run data_plane.ts;copySum (WebAssembly) 1",
  ]);
  assertEquals(paths(foldStacks(PERF)).at(-1), "all;iperf3;main 1");
  assertEquals(paths(foldStacks("no samples\n\n")), []);
});

Deno.test("drawFlameGraph() draws a box for each function, as wide as its share, and escapes names", () => {
  const svg = drawFlameGraph(foldStacks(PERF.replaceAll("iperf3", "a<b")), "A & B");
  assertMatch(svg, /^<svg [^>]*viewBox="0 0 1220 \d+"/);
  assert(svg.includes("A &amp; B") && svg.includes("a&lt;b") && !svg.includes("a<b"));
  assertMatch(svg, /<title>run data_plane\.ts: 50\.0 %<\/title><rect x="[\d.]+" y="\d+" width="600\.0"/);
  assertEquals(svg.match(/<title>/g)?.length, 10);
});
