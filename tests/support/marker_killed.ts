/** A process that changes the marker at its first argument and dies by SIGKILL just before the rename. */

import { MarkerFile } from "../../core/marker_file.ts";
import { HOST_FILES } from "../../core/private_files.ts";

const file = new MarkerFile(Deno.args[0]!, {
  log: { warn(): void {} },
  files: {
    ...HOST_FILES,
    rename(): Promise<void> {
      Deno.kill(Deno.pid, "SIGKILL");
      return new Promise(() => {});
    },
  },
});
await file.upsert({ owner: "base", kind: "hcn-internal", name: "n", id: "never", subnet: "10.0.0.0/28" });
