/**
 * Preloaded before a program that is to find the directories of a {@linkcode FakeSystem}: Wine says anew in each
 * process where Windows is, whatever its environment was to be.
 */
const root = Deno.env.get("FAKE_SYSTEM_ROOT");
if (root !== undefined) Deno.env.set("SystemRoot", root);
