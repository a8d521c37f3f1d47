/** Aligned text for terminals. Pure. */

/** What stands where nothing is known. */
export const UNKNOWN = "-";

/**
 * A value for a terminal: control and direction characters escaped, since names come from other programs;
 * `null` and empty as {@linkcode UNKNOWN}.
 */
export function cell(value: string | number | null): string {
  if (value === null || value === "") return UNKNOWN;
  return String(value).replaceAll(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Rows below a heading, each column as wide as its widest cell, indented by two. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => displayWidth(row[column] ?? ""))));
  return all.map((row) =>
    `  ${row.map((text, column) => text + " ".repeat((widths[column] ?? 0) - displayWidth(text))).join("  ")}`
      .trimEnd()
  );
}

/** `name  value` lines, values aligned; rows without a value are left out. */
export function facts(rows: readonly (readonly [string, string | number | null])[]): string[] {
  const known = rows.filter(([, value]) => value !== null && value !== "");
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `  ${name.padEnd(width)}  ${cell(value)}`);
}

/** A duration in at most two units: `42 s`, `3 min 5 s`, `2 h 10 min`, `12 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const units: readonly (readonly [number, string])[] = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => whole >= size);
  if (at < 0) return "0 s";
  const [size, name] = units[at]!;
  const next = units[at + 1];
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return `${Math.floor(whole / size)} ${name}${next && rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}

/** A byte count with a binary unit: `512 B`, `1.5 KiB`. */
export function byteCount(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Code points; close enough for names and addresses. */
function displayWidth(text: string): number {
  return [...text].length;
}
