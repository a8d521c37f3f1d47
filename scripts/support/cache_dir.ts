/** Where the test rigs keep what they fetch: outside the repository, shared by all checkouts of a user. */
import { isAbsolute, join } from "@std/path";

const NAME = "zlayer-overlayd-test";

/**
 * The cache directory: `$XDG_CACHE_HOME/zlayer-overlayd-test`, else `$HOME/.cache/…`, else one under `/var/tmp`
 * that carries the user id. Created with mode 0700.
 */
export function cacheDir(): string {
  const dir = locate((name) => Deno.env.get(name), Deno.uid() ?? 0);
  Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
  return dir;
}

/** The rule of {@linkcode cacheDir} without the effect. Relative values count as unset (XDG base directories). */
export function locate(env: (name: string) => string | undefined, uid: number): string {
  const xdg = env("XDG_CACHE_HOME");
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, NAME);
  const home = env("HOME");
  if (home !== undefined && isAbsolute(home)) return join(home, ".cache", NAME);
  return join("/var/tmp", `${NAME}-${uid}`);
}
