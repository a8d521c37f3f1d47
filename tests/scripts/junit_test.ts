import { assertEquals, assertThrows } from "@std/assert";
import { JUnitError, parseJUnit } from "../../scripts/support/junit.ts";

/** As `deno test --junit-path` of Deno 2.9.6 wrote it, names shortened. */
const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="6" failures="2" errors="0" time="0.007">
    <testsuite name="./a_test.ts" tests="6" disabled="2" errors="0" failures="2">
        <testcase name="ok &lt;a&gt; &amp; &quot;b&quot;" classname="./a_test.ts" time="0.002" line="1" col="6">
        </testcase>
        <testcase name="ign # skip: no root" classname="./a_test.ts" time="0.000" line="2" col="6">
            <skipped/>
        </testcase>
        <testcase name="left out" classname="./a_test.ts" line="3" col="6">
            <skipped/>
        </testcase>
        <testcase name="bad" classname="./a_test.ts" time="0.002" line="3" col="6">
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
        <testcase name="bad &gt; sub" classname="./a_test.ts" time="0.001" line="3" col="39">
            <failure message="Uncaught Error: x
]]&gt; y &lt;testcase name=&quot;no&quot;&gt;">Error: x &lt;skipped/&gt;</failure>
        </testcase>
    </testsuite>
    <testsuite name="./b_test.ts" tests="1" disabled="0" errors="0" failures="0">
        <testcase name="bad &gt; sub" classname="./b_test.ts" time="0.001" line="1" col="6"/>
    </testsuite>
</testsuites>
`;

Deno.test("parseJUnit() reads names, outcomes, steps and filtered tests of a real report", () => {
  assertEquals(parseJUnit(REPORT), [
    { file: "./a_test.ts", name: 'ok <a> & "b"', isStep: false, outcome: "passed" },
    { file: "./a_test.ts", name: "ign # skip: no root", isStep: false, outcome: "skipped" },
    { file: "./a_test.ts", name: "left out", isStep: false, outcome: "filtered" },
    { file: "./a_test.ts", name: "bad", isStep: false, outcome: "failed" },
    { file: "./a_test.ts", name: "bad > sub", isStep: true, outcome: "failed" },
    { file: "./b_test.ts", name: "bad > sub", isStep: false, outcome: "passed" },
  ]);
});

Deno.test("parseJUnit() reads an empty report", () => {
  assertEquals(parseJUnit('<?xml version="1.0"?><testsuites name="deno test" tests="0"></testsuites>\n'), []);
  assertEquals(parseJUnit('<testsuites name="deno test" tests="0"/>'), []);
});

Deno.test("parseJUnit() refuses every cut of a report", () => {
  const whole = REPORT.trimEnd();
  for (let length = 0; length < whole.length; length += 7) {
    assertThrows(() => parseJUnit(whole.slice(0, length)), JUnitError);
  }
});
