import { assertEquals } from "@std/assert";
import { jsonFormatter, type LogEntry, textFormatter } from "../../../core/logging/format.ts";

const ENTRY: LogEntry = {
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  level: "info",
  target: "zlayer_overlayd::ipc",
  message: "listening",
  fields: {},
};

Deno.test("textFormatter() writes time, level, target, message and fields on one line", async (t) => {
  const cases: { name: string; entry: Partial<LogEntry>; want: string }[] = [
    { name: "no fields", entry: {}, want: " INFO zlayer_overlayd::ipc: listening" },
    {
      name: "values that need no quotes",
      entry: { fields: { path: "/run/x.sock", port: 51420, up: true } },
      want: " INFO zlayer_overlayd::ipc: listening path=/run/x.sock port=51420 up=true",
    },
    {
      name: "values that need quotes",
      entry: { fields: { a: "two words", b: 'q"q', c: "", d: "a=b" } },
      want: ' INFO zlayer_overlayd::ipc: listening a="two words" b="q\\"q" c="" d="a=b"',
    },
    {
      name: "nothing can start a second line or move the cursor",
      entry: { message: "a\nb", fields: { x: "1\n2\u001b[31m\u2028\u202e" } },
      want: ' INFO zlayer_overlayd::ipc: a\\u000ab x="1\\n2\\u001b[31m\\u2028\\u202e"',
    },
    {
      name: "secrets",
      entry: { level: "error", fields: { private_key: "S" } },
      want: "ERROR zlayer_overlayd::ipc: listening private_key=[redacted]",
    },
    {
      name: "lists and objects are JSON",
      entry: { level: "warn", fields: { links: ["a", "b"] } },
      want: ' WARN zlayer_overlayd::ipc: listening links=["a","b"]',
    },
  ];
  for (const { name, entry, want } of cases) {
    await t.step(name, () => {
      const line = textFormatter({ color: false })({ ...ENTRY, ...entry });
      assertEquals(line, `2026-01-02T03:04:05.006Z ${want}\n`);
    });
  }
});

Deno.test("textFormatter() colours the level alone", () => {
  assertEquals(
    textFormatter({ color: true })(ENTRY),
    "2026-01-02T03:04:05.006Z \x1b[32m INFO\x1b[0m zlayer_overlayd::ipc: listening\n",
  );
});

Deno.test("jsonFormatter() writes one JSON object a line", () => {
  const line = jsonFormatter()({ ...ENTRY, message: "a\nb", fields: { port: 1, psk: "S" } });
  assertEquals(line.indexOf("\n"), line.length - 1);
  assertEquals(JSON.parse(line), {
    time: "2026-01-02T03:04:05.006Z",
    level: "info",
    target: "zlayer_overlayd::ipc",
    message: "a\nb",
    fields: { port: 1, psk: "[redacted]" },
  });
});
