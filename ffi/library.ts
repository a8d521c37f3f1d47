/** Opening of shared libraries: late, once, and with the names tried in the error. */

import { LibraryError } from "./errors.ts";

/**
 * Describes a library without opening it.
 *
 * @param names File names or absolute paths, tried in order; bare names go through the loader's search.
 * @param symbols The symbol table.
 * @returns A function that opens the library at its first call and gives the symbols at each.
 *   It throws {@linkcode LibraryError} if no name can be opened or a symbol is missing; the next call tries again.
 */
export function lazyLibrary<S extends Deno.ForeignLibraryInterface>(
  names: readonly string[],
  symbols: S,
): () => Deno.StaticForeignLibraryInterface<S> {
  let opened: Deno.StaticForeignLibraryInterface<S> | undefined;
  return () => opened ??= open(names, symbols);
}

function open<S extends Deno.ForeignLibraryInterface>(
  names: readonly string[],
  symbols: S,
): Deno.StaticForeignLibraryInterface<S> {
  let cause: unknown;
  for (const name of names) {
    try {
      return Deno.dlopen(name, symbols).symbols;
    } catch (error) {
      cause = error;
    }
  }
  throw new LibraryError(names.join(" or "), { cause, isAbsent: names.every(isAbsent) });
}

/** Whether there is no such file. Where the loader looks for a bare name is its own affair. */
function isAbsent(name: string): boolean {
  if (!/[\\/]/.test(name)) return false;
  try {
    Deno.statSync(name);
    return false;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}
