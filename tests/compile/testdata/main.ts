/** A small program with every kind of part the daemon has; `compile_test.ts` compiles and runs it. */
import { getLogger } from "@logtape/logtape";
import { parseArgs } from "@std/cli";
import { basename } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";

const args = parseArgs(Deno.args, { boolean: ["version", "wait"] });
if (args.wait) await new Promise((resolve) => setTimeout(resolve, 60_000));

const libc = Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } });
const database = new DatabaseSync(":memory:");
database.exec("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (42)");
const parts = {
  ffi: libc.symbols.getpid() === Deno.pid,
  sqlite: database.prepare("SELECT a FROM t").get()?.a,
  zod: z.object({ n: z.number() }).safeParse({ n: "x" }).success,
  logtape: typeof getLogger,
  path: basename("/a/b.ts", ".ts"),
  version: args.version,
  environment: Object.keys(Deno.env.toObject()).length,
};
await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(parts)}\n`));
