/**
 * Reads members of JSON that another daemon version, or the Rust daemon, wrote: what is missing or of another
 * type reads as `null`, an empty list or an empty object, and never throws. Pure.
 */

/** A JSON object's members. */
export type Members = Readonly<Record<string, unknown>>;

/** The member as text. */
export function readText(members: Members, name: string): string | null {
  const value = members[name];
  return typeof value === "string" ? value : null;
}

/** The member as a number. */
export function readNumber(members: Members, name: string): number | null {
  const value = members[name];
  return typeof value === "number" ? value : null;
}

/** The member as an object; `null` when it is none. */
export function readObject(members: Members, name: string): Members | null {
  return asObject(members[name]);
}

/** The objects in a list member. */
export function readObjects(members: Members, name: string): readonly Members[] {
  const value = members[name];
  return Array.isArray(value) ? value.map(asObject).filter((item) => item !== null) : [];
}

/** The texts in a list member. */
export function readTexts(members: Members, name: string): readonly string[] {
  const value = members[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function asObject(value: unknown): Members | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Members : null;
}
