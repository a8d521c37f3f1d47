/**
 * Fields of log records as safe, bounded text values. Pure.
 *
 * A second line of defence: nobody should log a key, and whoever does by mistake logs `[redacted]`.
 */

const REDACTED = "[redacted]";

/** Longest text of one value, in UTF-16 units; the rest is cut and said so. */
const MAX_TEXT = 2000;

/** Deepest level of a nested value that is shown. */
const MAX_DEPTH = 4;

/** Whether a field of that name may hold a secret: `private_key`, `psk`, `apiToken`; not `public_key`. */
export function isSecretName(name: string): boolean {
  const plain = name.replaceAll(/[^a-z]/gi, "").toLowerCase();
  if (/(public|pub)keys?$/.test(plain)) return false;
  return /keys?$|keypair|psk|secret|token|password|passphrase|credential/.test(plain);
}

/** A copy of the fields that is safe to write: JSON values only, secrets replaced, long texts cut. */
export function safeFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) safe[name] = isSecretName(name) ? REDACTED : safeValue(value, 0);
  }
  return safe;
}

function safeValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}… (${value.length} characters)` : value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
      return value;
    case "object":
      return value === null ? null : safeObject(value, depth);
    default:
      return String(value);
  }
}

function safeObject(value: object, depth: number): unknown {
  if (value instanceof Error) return safeValue(causeChain(value), depth);
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`;
  if (depth >= MAX_DEPTH) return "…";
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => safeValue(item, depth + 1));
  const safe: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    safe[name] = isSecretName(name) ? REDACTED : safeValue(item, depth + 1);
  }
  return safe;
}

/** The messages of an error and its causes, outermost first: `a: b: c`. Never a stack. */
export function causeChain(error: unknown): string {
  const texts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 8 && current !== undefined && current !== null; depth++) {
    const text = current instanceof Error ? current.message || current.name : String(current);
    // A wrapper often repeats its cause's text; saying it once is enough.
    if (!texts.some((earlier) => earlier.includes(text))) texts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return texts.join(": ").replaceAll(/\s*[\r\n]+\s*/g, " ");
}
