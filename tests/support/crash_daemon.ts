/**
 * The daemon for crash tests: the whole of `main.ts`, which kills itself with SIGKILL before or after an effect.
 *
 * Effects are the netlink datagrams that change something, the commits of the database and the files written
 * while the operation under test runs; each is two points, before and after. `ZLAYER_TEST_CRASH_IN` names the
 * operation as the engine does (`attachContainer`), `ZLAYER_TEST_CRASH_AT` the point, counted from 0. The point it
 * dies at is told on stderr. With fewer points than that it lives on.
 */
import { StatementSync } from "node:sqlite";
import { OverlayEngine } from "../../core/engine.ts";
import { openEngine } from "../../core/open_engine.ts";
import { NetlinkConnection, type NetlinkRequest } from "../../ffi/netlink.ts";
import { RTM_GETLINK } from "../../ffi/netlink/constants.ts";
import { main } from "../../main.ts";

const operation = Deno.env.get("ZLAYER_TEST_CRASH_IN") ?? "";
const killAt = Number(Deno.env.get("ZLAYER_TEST_CRASH_AT"));
let isArmed = false;
let passed = 0;

function point(label: string): void {
  if (!isArmed || passed++ !== killAt) return;
  Deno.stderr.writeSync(new TextEncoder().encode(`killed ${label}\n`));
  Deno.kill(Deno.pid, "SIGKILL");
}

/** Runs an effect between its two points. */
function effect<T>(label: string, run: () => T): T {
  point(`before ${label}`);
  const result = run();
  if (!(result instanceof Promise)) {
    point(`after ${label}`);
    return result;
  }
  return result.finally(() => point(`after ${label}`)) as T;
}

function describe(requests: readonly NetlinkRequest[]): string {
  return requests.map(({ what }) => what).join(", ");
}

// deno-lint-ignore no-explicit-any
type AnyMethod = (...args: any[]) => unknown;

/** What stands around a method: given the call as it was, the arguments and the object. */
type Around = (call: () => unknown, args: readonly unknown[], self: unknown) => unknown;

/** Puts `around` in a method's place. */
function wrap(owner: object, method: string, around: Around): void {
  const original: AnyMethod | undefined = Reflect.get(owner, method);
  if (typeof original !== "function") throw new TypeError(`no method ${method}`);
  const value = function (this: unknown, ...args: unknown[]): unknown {
    return around(() => original.apply(this, args), args, this);
  };
  Reflect.defineProperty(owner, method, { configurable: true, writable: true, value });
}

for (const method of ["exchange", "tryExecuteInBackground"]) {
  wrap(NetlinkConnection.prototype, method, (call, [requests]) => {
    const list = requests as readonly NetlinkRequest[];
    return list.every(({ type }) => type === RTM_GETLINK) ? call() : effect(describe(list), call);
  });
}
wrap(StatementSync.prototype, "run", (call, _args, self) => {
  return (self as StatementSync).sourceSQL === "COMMIT" ? effect("commit", call) : call();
});
for (const method of ["writeTextFile", "writeTextFileSync", "rename", "renameSync", "remove", "removeSync"]) {
  wrap(Deno, method, (call, [path]) => effect(`${method} ${path}`, call));
}
wrap(OverlayEngine.prototype, operation, async (call) => {
  isArmed = true;
  try {
    return await call();
  } finally {
    isArmed = false;
  }
});

Deno.exit(await main(Deno.args, openEngine));
