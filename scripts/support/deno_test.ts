/** How `deno test` is started. */
import { denoArgv } from "./process.ts";

/**
 * Command line of `deno test` for the files, with a JUnit report. Everything they import must be in the cache,
 * and types are not checked: both were seen to before.
 */
export function testArgv(
  files: readonly string[],
  junitPath: string,
  options: { readonly filter?: string } = {},
): string[] {
  const filter = options.filter === undefined ? [] : ["--filter", options.filter];
  return denoArgv(
    ...["test", "-A", "--frozen", "--cached-only", "--no-check", "--junit-path", junitPath, ...filter],
    ...files,
  );
}
