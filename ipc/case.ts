/**
 * Member names between the two spellings: `snake_case` on the wire, `camelCase` in the code.
 *
 * The types follow the values, so that a domain type that strays from its wire schema fails the type check.
 * Only for plain data whose member names are all fixed: a name that comes from a user would be rewritten.
 */

/** `persistentKeepaliveSecs` as `persistent_keepalive_secs`. */
export type SnakeCase<S extends string> = S extends `${infer Head}${infer Tail}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${SnakeCase<Tail>}`
  : S;

/** `persistent_keepalive_secs` as `persistentKeepaliveSecs`. */
export type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

type Primitive = string | number | bigint | boolean | null | undefined;

/** A value with all its member names in snake case. */
export type SnakeKeys<T> = T extends Primitive ? T
  : T extends readonly (infer Item)[] ? SnakeKeys<Item>[]
  : { -readonly [Key in keyof T as SnakeCase<Key & string>]: SnakeKeys<T[Key]> };

/** A value with all its member names in camel case, and without members that are `undefined`. */
export type CamelKeys<T> = T extends Primitive ? T
  : T extends readonly (infer Item)[] ? CamelKeys<Item>[]
  : { -readonly [Key in keyof T as CamelCase<Key & string>]: CamelKeys<Exclude<T[Key], undefined>> };

const snakeNames = new Map<string, string>();
const camelNames = new Map<string, string>();

/** Renames members deeply; members that are `undefined` are left out. */
export function toSnakeKeys<T>(value: T): SnakeKeys<T> {
  return renameKeys(value, snakeName) as SnakeKeys<T>;
}

/** Renames members deeply; members that are `undefined` are left out. */
export function toCamelKeys<T>(value: T): CamelKeys<T> {
  return renameKeys(value, camelName) as CamelKeys<T>;
}

function snakeName(name: string): string {
  return cached(snakeNames, name, (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

function camelName(name: string): string {
  return cached(camelNames, name, (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()));
}

function cached(names: Map<string, string>, name: string, make: (name: string) => string): string {
  let made = names.get(name);
  if (made === undefined) names.set(name, made = make(name));
  return made;
}

function renameKeys(value: unknown, rename: (name: string) => string): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => renameKeys(item, rename));
  const renamed: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) renamed[rename(name)] = renameKeys(member, rename);
  }
  return renamed;
}
