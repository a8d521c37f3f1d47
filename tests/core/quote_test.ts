import { assertEquals } from "@std/assert";
import { quote } from "../../core/quote.ts";

Deno.test("quote() escapes what cannot be seen and cuts what is long", () => {
  const cases: { input: string; limit?: number; want: string }[] = [
    { input: "", want: '""' },
    { input: "web", want: '"web"' },
    { input: 'a"b\\c', want: '"a\\"b\\\\c"' },
    { input: "\x1b[2J\n\0\x9b", want: '"\\u{1b}[2J\\u{a}\\u{0}\\u{9b}"' },
    { input: "\u202e\u2028\ud800", want: '"\\u{202e}\\u{2028}\\u{d800}"' }, // direction, line, half a pair
    { input: "wéb 網🦀", want: '"wéb 網🦀"' },
    { input: "abcd", limit: 4, want: '"abcd"' },
    { input: "abcde", limit: 4, want: '"abcd…" (5 bytes)' },
    { input: "🦀🦀🦀", limit: 2, want: '"🦀🦀…" (12 bytes)' },
    { input: "🦀🦀", limit: 2, want: '"🦀🦀"' },
  ];
  for (const { input, limit, want } of cases) assertEquals(quote(input, limit), want);
});
