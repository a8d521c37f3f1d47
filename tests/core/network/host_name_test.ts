import { assertEquals } from "@std/assert";
import { hostNameProblem } from "../../../core/network/host_name.ts";

const label63 = "a".repeat(63);

Deno.test("hostNameProblem() takes the host names of RFC 1123", () => {
  const good = ["a", "localhost", "peer.example", "peer.example.", "3com.example", "xn--bcher-kva.example"];
  const long = `${label63}.${label63}.${label63}.${"a".repeat(61)}`;
  for (const name of [...good, "a-b--c.D9", "1.2.3.4a", label63, long]) {
    assertEquals(hostNameProblem(name), undefined, name);
  }
});

Deno.test("hostNameProblem() says what is wrong with any other", () => {
  const rows: { name: string; want: string }[] = [
    { name: "", want: "is empty" },
    { name: ".", want: "is empty" },
    { name: "a..b", want: "has an empty label: use one dot between labels" },
    { name: ".a", want: "has an empty label: use one dot between labels" },
    { name: `${label63}a`, want: "has a label of 64 characters: use at most 63" },
    {
      name: `${label63}.${label63}.${label63}.${"a".repeat(62)}`,
      want: "has 254 characters: use at most 253",
    },
    { name: "-a.b", want: "has a label with a hyphen at its end or start" },
    { name: "a-.b", want: "has a label with a hyphen at its end or start" },
    { name: "a_b", want: 'has "_": use letters, digits, hyphens and dots' },
    { name: "a b", want: 'has " ": use letters, digits, hyphens and dots' },
    {
      name: "bücher.example",
      want: 'has a character that is not plain ASCII: use the "xn--" form of the name',
    },
    { name: "a\n", want: 'has a character that is not plain ASCII: use the "xn--" form of the name' },
    { name: "peer.1", want: "ends in a number, as an address does" },
  ];
  for (const { name, want } of rows) assertEquals(hostNameProblem(name), want, name);
});
