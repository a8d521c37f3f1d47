import { assertEquals } from "@std/assert";
import { parseStartTicks } from "../../../../core/backend/linux/process.ts";

const REST = "1 2 3 4 -1 5 6 7 8 9 10 11 12 13 20 0 1 0 4242 100 200";

Deno.test("parseStartTicks() counts fields from the end of the name, whatever is in it", () => {
  for (const name of ["sh", "a b", "a) S 1 (b", ")", "("]) {
    assertEquals(parseStartTicks(`77 (${name}) S ${REST}\n`), 4242n, name);
  }
});

Deno.test("parseStartTicks() takes zombies, the dead and nonsense for gone", () => {
  for (const text of [`77 (sh) Z ${REST}`, `77 (sh) X ${REST}`, "", "77 (sh) S 1 2 3", "nonsense"]) {
    assertEquals(parseStartTicks(text), undefined, text);
  }
});
