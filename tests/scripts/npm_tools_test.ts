/** Fetching of npm tools where npm, played by a shell script, and earlier set-ups have failed. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, join } from "@std/path";
import { fetchNpmTool, findNpmTool, type NpmTool } from "../../scripts/support/npm_tools.ts";
import { unixTest } from "../support/unix_test.ts";

const TOOL: NpmTool = { name: "@zt/tool", version: "1.0.0", file: "node_modules/@zt/tool/run" };
const AT_ONCE = { pausesMs: [0, 0] };

/** Makes a cache, and an `npm` that does this at its n-th call: it fails, brings nothing, or brings the tool. */
async function withNpm(
  calls: readonly ("fails" | "brings nothing" | "brings it")[],
  body: (cache: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  const path = Deno.env.get("PATH") ?? "";
  const does = {
    "fails": 'echo "npm error code ETIMEDOUT" >&2; exit 1',
    "brings nothing": "exit 0",
    "brings it": `mkdir -p "$3/${dirname(TOOL.file)}" && echo tool > "$3/${TOOL.file}"`,
  };
  const cases = calls.map((call, i) => `${i + 1}) ${does[call]};;`).join("\n");
  const script =
    `#!/bin/sh\necho >> ${dir}/calls\ncase $(wc -l < ${dir}/calls | tr -d " ") in\n${cases}\nesac\n`;
  try {
    await Deno.mkdir(join(dir, "bin"));
    await Deno.writeTextFile(join(dir, "bin/npm"), script, { mode: 0o755 });
    Deno.env.set("PATH", `${dir}/bin:${path}`);
    await body(join(dir, "cache"));
  } finally {
    Deno.env.set("PATH", path);
    await Deno.remove(dir, { recursive: true });
  }
}

unixTest(
  "fetchNpmTool() tries again when npm fails, and when it ends well without the tool",
  () =>
    withNpm(["fails", "brings nothing", "brings it"], async (cache) => {
      assertEquals(await fetchNpmTool(cache, TOOL, AT_ONCE), undefined);
      assertEquals(await Deno.readTextFile(findNpmTool(cache, TOOL)!), "tool\n");
    }),
);

unixTest(
  "fetchNpmTool() says what was wrong at last",
  () =>
    withNpm(["fails", "fails", "brings nothing"], async (cache) => {
      assertStringIncludes(await fetchNpmTool(cache, TOOL, AT_ONCE) ?? "", `brought no ${TOOL.file}`);
      assertEquals([findNpmTool(cache, TOOL), [...Deno.readDirSync(join(cache, "npm"))]], [undefined, []]);
    }),
);

unixTest(
  "fetchNpmTool() replaces what a set-up that was cut off has left",
  () =>
    withNpm(["brings it"], async (cache) => {
      await Deno.mkdir(join(cache, "npm/@zt__tool@1.0.0/node_modules/other"), { recursive: true });
      assertEquals(await fetchNpmTool(cache, TOOL, AT_ONCE), undefined);
      assertEquals(await Deno.readTextFile(findNpmTool(cache, TOOL)!), "tool\n");
    }),
);
