/**
 * Draws a flame graph of processes that `perf` has watched.
 *
 * For names of our functions, start them with `DENO_V8_FLAGS=--perf-basic-prof`. Then
 *
 *     perf record -F 997 -g -o perf.data -p <pid>,<pid> -- sleep 5
 *     perf script -i perf.data -F comm,pid,tid,time,event,ip,sym,symoff,dso |
 *       deno run -A scripts/flame_graph.ts --title <text> --labels <pid>=sender,<pid>=receiver > graph.svg
 *
 * Samples of processes without label are left out if any has one.
 */
import { parseArgs } from "@std/cli";
import { drawFlameGraph, foldStacks } from "./support/flame.ts";

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["title", "labels"] });
  const pairs = String(flags.labels ?? "").split(",").filter((text: string) => text !== "");
  const labels = new Map(pairs.map((text: string) => text.split("=", 2) as [string, string]));
  const text = await new Response(Deno.stdin.readable).text();
  const svg = drawFlameGraph(foldStacks(text, labels), String(flags.title ?? "flame graph"));
  await new Response(svg).body!.pipeTo(Deno.stdout.writable);
}
