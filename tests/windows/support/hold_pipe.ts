/** Holds the first instance of the pipe it is told until its stdin ends; run as a process of its own. */
import { fakePath } from "./fake_library.ts";
import { wide } from "./hcn_calls.ts";

const library = Deno.dlopen(
  fakePath("pipe_fake.dll"),
  {
    CreateNamedPipeW: {
      parameters: ["buffer", "u32", "u32", "u32", "u32", "u32", "u32", "buffer"],
      result: "pointer",
    },
  } as const,
);
const [name = ""] = Deno.args;
library.symbols.CreateNamedPipeW(wide(name), 0x40080003, 8, 255, 65536, 65536, 0, null);
await Deno.stdout.write(new TextEncoder().encode("held\n"));
await Deno.stdin.read(new Uint8Array(1));
Deno.exit(0);
