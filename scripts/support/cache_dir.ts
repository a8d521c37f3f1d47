/** Where the test rigs keep what they fetch: outside the repository, shared by all checkouts of a user. */
import { isAbsolute, join } from "@std/path";

const NAME = "zlayer-overlayd-test";

/**
 * The cache directory: `$XDG_CACHE_HOME/zlayer-overlayd-test`, else `$HOME/.cache/…`, else one under `/var/tmp`
 * that carries the user id. Created with mode 0700.
 *
 * @throws {Deno.errors.PermissionDenied} If it belongs to someone else, whose programs would be run from it.
 */
export function cacheDir(): string {
  const uid = Deno.uid();
  const dir = locate((name) => Deno.env.get(name), uid ?? 0);
  Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { uid: owner } = Deno.lstatSync(dir);
  if (uid !== null && owner !== uid) {
    throw new Deno.errors.PermissionDenied(
      `${dir} belongs to user ${owner}; set XDG_CACHE_HOME to a place of yours`,
    );
  }
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
