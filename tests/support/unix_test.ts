/**
 * Tests of what only Unix has: file modes, signals, Unix sockets. On Windows, where the suites run too, they are not
 * registered: there is nothing to test, and nothing that a rig lacks.
 */

/** Whether this is Windows. */
export const WINDOWS: boolean = Deno.build.os === "windows";

/** `Deno.test` everywhere but on Windows. */
export function unixTest(name: string, run: (t: Deno.TestContext) => void | Promise<void>): void {
  if (!WINDOWS) Deno.test(name, run);
}
