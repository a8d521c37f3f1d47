/** The rules of the source tree hold, and each rule notices when it is broken. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { denoArgv, denoEnv } from "../scripts/support/process.ts";
import { REPO, sourceFiles } from "../scripts/support/repo.ts";
import { factsOf } from "./support/architecture/facts.ts";
import { RULES } from "./support/architecture/rules.ts";

for (const { name, check } of RULES) {
  Deno.test(`architecture: ${name}`, () => {
    const files = sourceFiles().map((path) => factsOf(path, Deno.readTextFileSync(join(REPO, path))));
    assert(files.length > 20, "the scanner sees the sources");
    assertEquals(check(files), []);
  });
}

/** Source texts by path, and what the rule has to say of them. */
const PLANTED: { rule: string; sources: Record<string, string>; want: string[] }[] = [
  {
    rule: "imports go main -> ipc -> core -> ffi",
    sources: {
      "ffi/a.ts":
        'import type { A } from "../core/a.ts"; import data from "../deno.json" with { type: "json" };',
      "core/a.ts": 'export * from "../ipc/a.ts"; import "../ffi/bytes.ts";',
      "core/b.ts": 'import "../ffi/libc.ts";',
      "core/backend/c.ts": 'import "../../ffi/libc.ts"; const d = await import("../../tests/x.ts");',
      "ipc/a.ts":
        'export { E } from "../core/engine.ts"; import "../core/service.ts"; import "../ffi/libc.ts";',
      "main.ts": 'import "./ffi/libc.ts"; import "./ipc/a.ts"; import "./core/a.ts";',
      "tests/x.ts": 'import "../main.ts";',
    },
    want: [
      "ffi/a.ts imports core/a.ts",
      "core/a.ts imports ipc/a.ts",
      "core/b.ts imports ffi/libc.ts",
      "core/backend/c.ts imports tests/x.ts",
      "ipc/a.ts imports core/engine.ts",
      "ipc/a.ts imports ffi/libc.ts",
      "main.ts imports ffi/libc.ts",
    ],
  },
  {
    rule: "pure modules touch no clock, randomness or I/O",
    sources: {
      "ffi/netlink/a.ts": "const s = 'Deno.x'; /* Date.now() */ export const now = (): number => Date.now();",
      "core/ip/b.ts": "globalThis.performance.now(); setTimeout(() => {}, 1); new Date(); new Date(0);",
      "core/ipam/c.ts":
        'import { d } from "../d.ts"; Math.random(); crypto.getRandomValues(new Uint8Array(1));',
      "core/d.ts": 'import { readFile } from "node:fs/promises"; Deno.env.get("x");',
    },
    want: [
      "ffi/netlink/a.ts uses Date.now",
      "core/ip/b.ts uses performance.now",
      "core/ip/b.ts uses performance",
      "core/ip/b.ts uses setTimeout",
      "core/ip/b.ts uses new Date()",
      "core/ipam/c.ts uses Math.random",
      "core/ipam/c.ts uses crypto.getRandomValues",
      "core/ipam/c.ts -> core/d.ts uses Deno.env.get",
      "core/ipam/c.ts -> core/d.ts uses Deno.env",
      "core/ipam/c.ts -> core/d.ts imports node:fs/promises",
    ],
  },
  {
    rule: "no import cycles",
    sources: {
      "core/a.ts": 'import "./b.ts";',
      "core/b.ts": 'import type { C } from "./c/c.ts";',
      "core/c/c.ts": 'import "../b.ts"; import "../d.ts";',
      "core/d.ts": "",
    },
    want: ["core/b.ts -> core/c/c.ts -> core/b.ts"],
  },
  {
    rule: "only ffi opens libraries",
    sources: {
      "ffi/a.ts": 'Deno.dlopen("x", {});',
      "core/backend/a.ts": "new Deno.UnsafePointerView(null);",
      "ipc/a.ts": 'Deno.dlopen("x", {});',
    },
    want: ["core/backend/a.ts uses Deno.UnsafePointerView", "ipc/a.ts uses Deno.dlopen"],
  },
  {
    rule: "the operating system is asked for in few places only",
    sources: {
      "core/backend/select.ts": "Deno.build.os;",
      "core/paths.ts": "const { os } = Deno.build;",
      "ffi/a.ts": "if (Deno.build.os === 'linux') {}",
    },
    want: ["core/paths.ts reads Deno.build", "ffi/a.ts reads Deno.build"],
  },
  {
    rule: "no file is longer than 500 lines",
    sources: { "tests/a_test.ts": "\n".repeat(500), "tests/b_test.ts": `${"\n".repeat(500)}// one more` },
    want: ["tests/b_test.ts has 501 lines"],
  },
  {
    rule: "exports have doc comments",
    sources: {
      "core/a.ts":
        "/** File. */\nimport './b.ts';\nexport const a = 1;\n/** B. */\nexport function b(): void {}\n" +
        "// no\nexport interface C {}\n/** D. */\n\nexport class D { #x(): void {} private y(): void {} z(): void {}\n" +
        "/** W. */ w(): void {} override v(): void {} get u(): number { return 1; } }\n" +
        "const local = 1;\n/* E */\nexport type E = 1;\nexport { local };",
      "ffi/x/constants.ts":
        "// linux/x.h\nexport const X_A = 1;\nexport const X_B = 2;\n\nexport const X_C = 3;\n",
      "tests/a_test.ts": "export const a = 1;",
    },
    want: [
      ...["a", "C", "D.z", "E"].map((name) => `core/a.ts: ${name} has no doc comment`),
      "ffi/x/constants.ts: X_C has no doc comment",
    ],
  },
];

for (const { rule, sources, want } of PLANTED) {
  Deno.test(`architecture: a planted fault is found: ${rule}`, () => {
    const check = RULES.find(({ name }) => name === rule)?.check;
    assert(check !== undefined, "no such rule");
    const files = Object.entries(sources).map(([path, source]) => factsOf(path, source));
    assertEquals(check(files).sort(), [...want].sort());
  });
}

Deno.test("architecture: every rule has a planted fault", () => {
  assertEquals(RULES.map(({ name }) => name).sort(), PLANTED.map(({ rule }) => rule).sort());
});

Deno.test("architecture: importing any module of the program needs no permission, so it has no effect", async () => {
  const modules = sourceFiles().filter((path) => /^(main\.ts|mod\.ts|(ffi|core|ipc)\/)/.test(path));
  const { code, stderr } = await importWithoutPermissions(
    modules.map((path) => `import "./${path}";`).join("\n"),
  );
  assertEquals(code, 0, stderr);
});

Deno.test("architecture: a planted import effect is found", async (t) => {
  const rows = [
    { name: "reads the environment", source: 'Deno.env.get("HOME");', want: "NotCapable" },
    { name: "opens a library", source: 'Deno.dlopen("libc.so.6", {});', want: "NotCapable" },
    { name: "listens", source: "Deno.listen({ port: 0 });", want: "NotCapable" },
  ];
  for (const { name, source, want } of rows) {
    await t.step(name, async () => {
      const { code, stderr } = await importWithoutPermissions(source);
      assert(code !== 0);
      assertStringIncludes(stderr, want);
    });
  }
});

/** Runs a program text at the repository's root, with no permission at all. */
async function importWithoutPermissions(source: string): Promise<{ code: number; stderr: string }> {
  const [program = "", ...args] = denoArgv(
    "run",
    "--no-prompt",
    "--cached-only",
    "--no-check",
    "--ext=ts",
    "-",
  );
  const child = new Deno.Command(program, {
    args,
    cwd: REPO,
    env: denoEnv(),
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  const { code, stderr } = await child.output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}
