/**
 * Names that arrive over IPC, checked before anything is stored or made.
 *
 * Every function returns its argument or throws an `InvalidConfigError` that says which field, which value
 * (cut and escaped) and what to do. Unicode is welcome; what would break a path, a terminal, an interface
 * name or another grammar is not.
 */

import { InvalidConfigError } from "../errors.ts";
import { quote } from "../quote.ts";

/** With a deployment of 100 bytes, as much as fits into a link's tag: `IFALIASZ` is 256 (linux/if_link.h). */
const MAX_SERVICE_BYTES = 113;
const MAX_SCOPE_BYTES = 100;
const MAX_HANDLE_BYTES = 255;
const MAX_DNS_NAME_BYTES = 253;
const MAX_DNS_LABEL_BYTES = 63;
const MAX_INTERFACE_BYTES = 15;

/** Byte of UTF-8 that the kernel's `isspace` takes for a no-break space of Latin-1 (lib/ctype.c). */
const LATIN1_NBSP = 0xa0;

const encoder = new TextEncoder();

/** Bounds of a name in UTF-8 bytes. */
interface NameBounds {
  readonly min: number;
  readonly max: number;
}

/**
 * Checks a service name: 1 to 113 bytes, see {@linkcode checkName}.
 *
 * @throws {InvalidConfigError}
 */
export function checkServiceName(value: string): string {
  return checkName("service", value, { min: 1, max: MAX_SERVICE_BYTES });
}

/**
 * Checks a deployment name: 0 to 100 bytes, see {@linkcode checkName}.
 *
 * @throws {InvalidConfigError}
 */
export function checkDeployment(value: string): string {
  return checkName("deployment", value, { min: 0, max: MAX_SCOPE_BYTES });
}

/**
 * Checks an instance id: 0 to 100 bytes, see {@linkcode checkName}.
 *
 * @throws {InvalidConfigError}
 */
export function checkInstanceId(value: string): string {
  return checkName("instance_id", value, { min: 0, max: MAX_SCOPE_BYTES });
}

/**
 * Checks the id of a VM guest or a Windows container: 1 to 255 bytes, see {@linkcode checkName}.
 *
 * @param field Name of the field, for the message: `id`, `container_id`.
 * @throws {InvalidConfigError}
 */
export function checkHandleId(field: string, value: string): string {
  return checkName(field, value, { min: 1, max: MAX_HANDLE_BYTES });
}

/**
 * Checks a name within bounds: well-formed Unicode without control characters, white space, `/` or `:`, and
 * neither `.` nor `..`.
 *
 * @throws {InvalidConfigError}
 */
function checkName(field: string, value: string, bounds: NameBounds): string {
  const bytes = encoder.encode(value).length;
  if (bytes < bounds.min) throw invalid(field, value, "is empty", "send a name");
  if (bytes > bounds.max) throw invalid(field, value, `has ${bytes} bytes`, `use at most ${bounds.max}`);
  const problem = characterProblem(value) ??
    (value === "." || value === ".." ? "is a path component" : undefined);
  if (problem !== undefined) throw invalid(field, value, problem, "choose another name");
  return value;
}

function characterProblem(value: string): string | undefined {
  // Two names with different broken halves would become the same bytes.
  if (/\p{Cs}/u.test(value)) return "is not well-formed Unicode (half of a surrogate pair)";
  if (/\p{Cc}/u.test(value)) return "contains a control character";
  if (/\s/u.test(value)) return "contains white space";
  const sign = /[/:]/.exec(value)?.[0];
  return sign === undefined ? undefined : `contains "${sign}"`;
}

/**
 * Checks a DNS name as it is registered: labels of 1 to 63 bytes, 253 in all, a final dot allowed.
 *
 * @param field Name of the field, for the message: `name`, `dns_domain`.
 * @throws {InvalidConfigError}
 */
export function checkDnsName(field: string, value: string): string {
  const labels = (value.endsWith(".") ? value.slice(0, -1) : value).split(".");
  const bytes = encoder.encode(labels.join(".")).length;
  if (bytes > MAX_DNS_NAME_BYTES) {
    throw invalid(field, value, `has ${bytes} bytes`, `use at most ${MAX_DNS_NAME_BYTES}`);
  }
  const problem = characterProblem(value);
  if (problem !== undefined) throw invalid(field, value, problem, "choose another name");
  for (const label of labels) {
    const length = encoder.encode(label).length;
    if (length >= 1 && length <= MAX_DNS_LABEL_BYTES) continue;
    throw invalid(
      field,
      value,
      length === 0 ? "has an empty label" : `has a label of ${length} bytes`,
      `use labels of 1 to ${MAX_DNS_LABEL_BYTES} bytes`,
    );
  }
  return value;
}

/**
 * Checks that the kernel would take a name for an interface, exactly as written.
 *
 * @throws {InvalidConfigError}
 */
export function checkInterfaceName(value: string): string {
  const problem = interfaceNameProblem(value);
  if (problem === undefined) return value;
  throw invalid("interface", value, problem, "choose another name");
}

/**
 * Why the kernel would not make an interface of exactly this name; `undefined` when it would.
 *
 * `dev_valid_name` works on bytes and takes 0xa0 for a space, so `à` (c3 a0) is refused while `é` is not.
 * A `%` is no error to the kernel but a template: `zl-%d` becomes `zl-0`.
 *
 * @see Linux net/core/dev.c `dev_valid_name`, `dev_prep_valid_name`; lib/ctype.c.
 */
export function interfaceNameProblem(name: string): string | undefined {
  const bytes = encoder.encode(name);
  if (bytes.length === 0) return "is empty";
  if (bytes.length > MAX_INTERFACE_BYTES) {
    return `has ${bytes.length} bytes, more than the ${MAX_INTERFACE_BYTES} of the kernel`;
  }
  const problem = characterProblem(name) ??
    (name === "." || name === ".." ? "is a path component" : undefined);
  if (problem !== undefined) return problem;
  if (bytes.includes(LATIN1_NBSP)) {
    return "has the byte 0xa0 in UTF-8, which the kernel takes for a space";
  }
  return name.includes("%") ? 'contains "%", which the kernel takes for a template' : undefined;
}

function invalid(field: string, value: string, problem: string, remedy: string): InvalidConfigError {
  return new InvalidConfigError(`${field} ${quote(value)} ${problem}: ${remedy}`);
}
