/** Host names as peers may have them instead of addresses. Pure. */

const MAX_NAME_CHARACTERS = 253;
const MAX_LABEL_CHARACTERS = 63;

/**
 * Why a text is no host name; `undefined` when it is one. A final dot is allowed.
 *
 * Labels have 1 to 63 letters, digits and hyphens, none of these last at either end, and the last label is not
 * a number, or a mistyped address would be asked of name servers (RFC 1123 §2.1, RFC 3696 §2). Names in other
 * scripts are given in their `xn--` form.
 */
export function hostNameProblem(name: string): string | undefined {
  const text = name.endsWith(".") ? name.slice(0, -1) : name;
  if (text === "") return "is empty";
  if (text.length > MAX_NAME_CHARACTERS) {
    return `has ${text.length} characters: use at most ${MAX_NAME_CHARACTERS}`;
  }
  if (/[^\x20-\x7e]/.test(text)) {
    return 'has a character that is not plain ASCII: use the "xn--" form of the name';
  }
  const stray = /[^A-Za-z0-9.-]/.exec(text)?.[0];
  if (stray !== undefined) return `has "${stray}": use letters, digits, hyphens and dots`;
  const labels = text.split(".");
  for (const label of labels) {
    const problem = labelProblem(label);
    if (problem !== undefined) return problem;
  }
  return /^[0-9]+$/.test(labels.at(-1)!) ? "ends in a number, as an address does" : undefined;
}

function labelProblem(label: string): string | undefined {
  if (label === "") return "has an empty label: use one dot between labels";
  if (label.length > MAX_LABEL_CHARACTERS) {
    return `has a label of ${label.length} characters: use at most ${MAX_LABEL_CHARACTERS}`;
  }
  if (label.startsWith("-") || label.endsWith("-")) return "has a label with a hyphen at its end or start";
  return undefined;
}
