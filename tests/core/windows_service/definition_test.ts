import { assertEquals } from "@std/assert";
import { quoteArgument, serviceDefinition } from "../../../core/windows_service/definition.ts";

Deno.test("serviceDefinition() is the one of the zlayer installer", () => {
  const program = ["C:\\ProgramData\\ZLayer\\bin\\zlayer-overlayd.exe"];
  assertEquals(serviceDefinition(program, { dataDir: "C:\\ProgramData\\ZLayer" }), {
    name: "ZLayerDaemon-Overlayd",
    displayName: "ZLayer Daemon (overlayd)",
    commandLine:
      "C:\\ProgramData\\ZLayer\\bin\\zlayer-overlayd.exe --data-dir C:\\ProgramData\\ZLayer --service",
  });
  const place = { dataDir: "D:\\my data\\", socket: "\\\\.\\pipe\\x" };
  assertEquals(
    serviceDefinition(["C:\\Program Files\\o.exe"], place).commandLine,
    '"C:\\Program Files\\o.exe" --data-dir "D:\\my data\\\\" --socket \\\\.\\pipe\\x --service',
  );
});

Deno.test("quoteArgument() writes what CommandLineToArgvW reads back", async (t) => {
  const rows = [
    { argument: "plain", want: "plain" },
    { argument: "C:\\a\\", want: "C:\\a\\" },
    { argument: "", want: '""' },
    { argument: "two words", want: '"two words"' },
    { argument: "a b\\", want: '"a b\\\\"' },
    { argument: 'say "hi"', want: '"say \\"hi\\""' },
    { argument: 'a\\"b', want: '"a\\\\\\"b"' },
    { argument: "a\\\\b c", want: '"a\\\\b c"' },
  ];
  for (const { argument, want } of rows) {
    await t.step(want, () => {
      assertEquals(quoteArgument(argument), want);
      assertEquals(readBack(want), argument);
    });
  }
});

/** One argument by the rules of CommandLineToArgvW: 2n backslashes and a quote are n and an end, and so on. */
function readBack(text: string): string {
  let [out, quoted] = ["", false];
  for (const [, slashes = "", rest = ""] of text.matchAll(/(\\*)("|[^\\"]|$)/g)) {
    if (rest !== '"') {
      out += slashes + rest;
      continue;
    }
    out += "\\".repeat(slashes.length >> 1);
    if (slashes.length % 2 === 1) out += '"';
    else quoted = !quoted;
  }
  assertEquals(quoted, false);
  return out;
}
