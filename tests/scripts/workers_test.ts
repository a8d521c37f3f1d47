import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { WORKERS } from "../../scripts/compile.ts";
import { REPO, sourceFiles } from "../../scripts/support/repo.ts";

Deno.test("every module that is started as a worker goes into the executable, that of Windows too", () => {
  const starts = new Set<string>();
  for (const path of ["core", "ffi", "ipc"].flatMap(sourceFiles)) {
    const text = Deno.readTextFileSync(join(REPO, path));
    if (!text.includes("new Worker(")) continue;
    const modules = [...text.matchAll(/new URL\("([^"]+\.ts)", import\.meta\.url\)/g)].map(([, name]) =>
      name!
    );
    assertEquals(
      modules.length,
      1,
      `${path} names the module of its worker once, as compile.ts can be told of it`,
    );
    starts.add(join(path, "..", modules[0]!));
  }
  assertEquals([...starts].sort(), [...WORKERS].sort());
});
