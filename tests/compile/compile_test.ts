/** `scripts/compile.ts`: what it builds runs as the daemon has to, and what it cannot build it explains. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { capture } from "../../scripts/support/process.ts";
import { sourceFiles } from "../../scripts/support/repo.ts";
import { compileForTest, runCompileScript } from "../support/compiled.ts";
import { waitFor } from "../support/wait_for.ts";

Deno.test("an executable has FFI, SQLite, npm and linked packages, without any environment", async (t) => {
  await using built = await compileForTest("tests/compile/testdata/main.ts");

  await t.step("size and SHA-256 are printed", async () => {
    const bytes = await Deno.readFile(built.path);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    assertStringIncludes(built.output, `${bytes.length} bytes, SHA-256 ${hex}`);
  });

  await t.step("every part works with an empty environment", async () => {
    const { code, stdout, stderr } = await capture([built.path, "--version"], { clearEnv: true });
    assertEquals(code, 0, stderr);
    const { environment, ...parts } = JSON.parse(stdout);
    assertEquals(parts, { ffi: true, sqlite: 42, zod: false, logtape: "function", path: "b", version: true });
    assertEquals(environment, 0);
  });

  await t.step("no compiled code is kept where others could put theirs", async () => {
    const temp = await Deno.makeTempDir({ prefix: "zt" });
    try {
      await capture([built.path], { clearEnv: true, env: { TMPDIR: temp } });
      assertEquals([...Deno.readDirSync(temp)].map(({ name }) => name), []);
    } finally {
      await Deno.remove(temp, { recursive: true });
    }
  });

  await t.step("the process is named zlayer-overlayd", async () => {
    await assertComm([built.path, "--wait"], "zlayer-overlayd");
  });
});

const UNREACHABLE = "http://127.0.0.1:9";

Deno.test("a base that cannot be downloaded is named with the way out, and the next target is tried", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const { code, stdout } = await runCompileScript(
      [
        ...["--no-lock", "--entry", "scripts/support/rig_part.ts", "--out", dir],
        ...["--target", "aarch64-unknown-linux-gnu", "--target", "x86_64-pc-windows-msvc"],
      ],
      {
        DENORT_BIN: undefined,
        DENO_DIR: dir,
        HTTPS_PROXY: UNREACHABLE,
        https_proxy: UNREACHABLE,
        NO_PROXY: "",
      },
    );
    assertEquals(code, 1, stdout);
    for (const target of ["aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc"]) {
      assertMatch(
        stdout,
        new RegExp(`compile: ${target}: .*https://\\S*denort-${target}\\.zip.*set DENORT_BIN`),
      );
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("DENORT_BIN must name an executable for a target that is built", async (t) => {
  const rows = [
    { name: "no such file", base: "/nonexistent/denort", want: "does not exist" },
    { name: "no executable", base: "/etc/passwd", want: "is no executable of any of" },
  ];
  for (const { name, base, want } of rows) {
    await t.step(name, async () => {
      const { code, stdout } = await runCompileScript([], { DENORT_BIN: base });
      assertEquals(code, 1);
      assertStringIncludes(stdout, `DENORT_BIN=${base} ${want}`);
    });
  }
});

Deno.test("arguments that mean nothing are refused with exit code 2", async (t) => {
  for (const args of [["--target", "sparc"], ["--bogus"], ["stray"]]) {
    await t.step(args.join(" "), async () => {
      const { code, stdout } = await runCompileScript(args, {});
      assertEquals(code, 2);
      assertStringIncludes(stdout, args.at(-1) ?? "");
    });
  }
});

/** Starts a command and waits until the kernel calls it as wanted: a child starts with its parent's name. */
async function assertComm(argv: readonly string[], want: string): Promise<void> {
  const [program = "", ...args] = argv;
  const child = new Deno.Command(program, { args, stdin: "null", stdout: "null", clearEnv: true }).spawn();
  try {
    const comm = (): string => Deno.readTextFileSync(`/proc/${child.pid}/comm`).trim();
    await waitFor(`a process named ${want}`, () => comm() === want);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
}

/** The daemon itself; absent on branches that hold the rigs alone. */
if (sourceFiles().includes("main.ts")) {
  Deno.test("the compiled daemon is one executable named zlayer-overlayd that needs no environment", async (t) => {
    await using built = await compileForTest("main.ts");
    const dataDir = await Deno.makeTempDir({ prefix: "zt" });
    try {
      await t.step("--version", async () => {
        const { code, stdout, stderr } = await capture([built.path, "--version"], { clearEnv: true });
        assertEquals(code, 0, stderr);
        assertMatch(stdout, /^zlayer-overlayd \d+\.\d+\.\d+/);
      });
      await t.step("the serving process has that name", async () => {
        await assertComm([built.path, "--data-dir", dataDir], "zlayer-overlayd");
      });
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  });
}
