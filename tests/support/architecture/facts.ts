/** What the architecture rules look at in a source file, read from its syntax tree with Deno's own parser. */

/** One import, re-export or dynamic import. */
export interface Import {
  /** As written. */
  readonly specifier: string;
  /** Path relative to the repository when the specifier is relative, else undefined. */
  readonly path?: string;
}

/** What is known of one file. */
export interface SourceFacts {
  /** Relative to the repository, with `/`. */
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  /** Dotted names that are read or called, such as `Deno.build.os`, `setTimeout`, `new Date()`. */
  readonly uses: readonly string[];
  /** Names of exported declarations, and of public members of exported classes, without a doc comment. */
  readonly undocumented: readonly string[];
}

/** Reads the facts of one source text; only inside `deno test`, which alone has `Deno.lint`. */
export function factsOf(path: string, source: string): SourceFacts {
  const imports: Import[] = [];
  const uses = new Set<string>();
  const undocumented: string[] = [];
  const plugin: Deno.lint.Plugin = {
    name: "architecture",
    rules: {
      facts: {
        create: ({ sourceCode }) => {
          const documented = docCommentTest(path, sourceCode);
          const addImport = (node: { source?: Deno.lint.Node | null }): void => {
            if (node.source?.type === "Literal") imports.push(importOf(path, String(node.source.value)));
          };
          return {
            ImportDeclaration: addImport,
            ExportAllDeclaration: addImport,
            ImportExpression: addImport,
            ExportNamedDeclaration: (node) => {
              addImport(node);
              if (node.declaration === null) return;
              for (const name of undocumentedIn(node, documented)) undocumented.push(name);
            },
            MemberExpression: (node) => {
              const name = dottedName(node);
              if (name !== undefined) uses.add(name.replace(/^globalThis\./, ""));
            },
            CallExpression: (node) => {
              if (node.callee.type === "Identifier") uses.add(node.callee.name);
            },
            NewExpression: (node) => {
              const isNow = node.callee.type === "Identifier" && node.callee.name === "Date" &&
                node.arguments.length === 0;
              if (isNow) uses.add("new Date()");
            },
          };
        },
      },
    },
  };
  Deno.lint.runPlugin(plugin, "source.ts", source);
  return {
    path,
    lines: source.split("\n").length - (source.endsWith("\n") ? 1 : 0),
    imports,
    uses: [...uses],
    undocumented,
  };
}

function importOf(from: string, specifier: string): Import {
  if (!specifier.startsWith(".")) return { specifier };
  const url = new URL(specifier, `file:///${from}`);
  return { specifier, path: url.pathname.slice(1) };
}

/** `a.b.c` of a member expression made of plain names only. */
function dottedName(node: Deno.lint.Node): string | undefined {
  if (node.type === "Identifier") return node.name;
  if (node.type !== "MemberExpression" || node.computed || node.property.type !== "Identifier") {
    return undefined;
  }
  const object = dottedName(node.object);
  return object === undefined ? undefined : `${object}.${node.property.name}`;
}

type DocTest = (node: Deno.lint.Node) => boolean;

/** Tells whether nothing but white space stands between a doc comment and a node. */
function docCommentTest(path: string, sourceCode: Deno.lint.SourceCode): DocTest {
  const ends = new Set<number>();
  for (const comment of sourceCode.getAllComments()) {
    if (comment.type === "Block" && comment.value.startsWith("*")) ends.add(comment.range[1]);
  }
  const isTable = path.endsWith("/constants.ts");
  return (node) => {
    const before = sourceCode.text.slice(0, node.range[0]).replace(
      /(\s|\/\/ deno-lint-ignore[^\n]*\n)+$/,
      "",
    );
    return ends.has(before.length) || (isTable && isInHeadedRun(sourceCode.text.slice(0, node.range[0])));
  };
}

/** In a table of a header's numbers one comment heads all that follow on consecutive lines. */
function isInHeadedRun(before: string): boolean {
  const lines = before.trimEnd() === before.replace(/\n$/, "") ? before.trimEnd().split("\n") : [];
  const head = lines.findLast((line) => !/^export const [A-Z][A-Z0-9_]* = /.test(line));
  return head !== undefined && /^\/\/|\*\/$/.test(head);
}

function undocumentedIn(node: Deno.lint.ExportNamedDeclaration, documented: DocTest): string[] {
  const declaration = node.declaration;
  if (declaration === null) return [];
  const names = documented(node) ? [] : [nameOf(declaration)];
  if (declaration.type !== "ClassDeclaration" || declaration.implements.length > 0) return names;
  for (const member of declaration.body.body) {
    if (member.type !== "MethodDefinition" || !isPublic(member) || documented(member)) continue;
    names.push(`${nameOf(declaration)}.${nameOf(member)}`);
  }
  return names;
}

/**
 * Constructors and accessors need no comment of their own; neither does what overrides. The methods of a class
 * that implements an interface are described there.
 */
function isPublic(member: Deno.lint.MethodDefinition): boolean {
  if (member.kind !== "method" || member.key.type === "PrivateIdentifier" || member.computed) return false;
  return member.accessibility !== "private" && !member.override;
}

function nameOf(node: Deno.lint.Node): string {
  if (node.type === "VariableDeclaration") return node.declarations.map(({ id }) => nameOf(id)).join(", ");
  if (node.type === "MethodDefinition") return nameOf(node.key);
  if (node.type === "Identifier") return node.name;
  if ("id" in node && node.id !== null && typeof node.id === "object") {
    return nameOf(node.id as Deno.lint.Node);
  }
  return node.type;
}
