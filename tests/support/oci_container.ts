/** A real OCI container for tests: Debian's crun, a root of one static busybox, a network namespace of its own. */
import { assert } from "@std/assert";
import { join } from "@std/path";
import { capture } from "../../scripts/support/process.ts";
import { findProgram } from "../../scripts/support/packages.ts";
import { netnsInode, NetworkPlace, testName } from "./test_netns.ts";

/** Programs that {@linkcode OciContainer} needs; for `needing`. */
export const OCI_PROGRAMS = ["crun", "busybox"] as const;

/** A running container whose process sleeps. */
export class OciContainer extends NetworkPlace implements AsyncDisposable {
  readonly #dir: string;

  private constructor(dir: string, readonly id: string, readonly pid: number) {
    super(`/proc/${pid}/ns/net`);
    this.#dir = dir;
  }

  /** Creates and starts one. */
  static async start(): Promise<OciContainer> {
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    const id = testName();
    try {
      await writeBundle(dir);
      await crun(dir, "run", "--detach", "--bundle", dir, "--pid-file", join(dir, "pid"), id);
      const pid = Number(await Deno.readTextFile(join(dir, "pid")));
      assert(netnsInode(pid) !== netnsInode(Deno.pid), "the container is in the namespace of the test");
      return new OciContainer(dir, id, pid);
    } catch (error) {
      await Deno.remove(dir, { recursive: true });
      throw error;
    }
  }

  /** Runs a busybox command inside the container, as `crun exec` does. */
  async exec(...argv: string[]): Promise<string> {
    return await crun(this.#dir, "exec", this.id, "/bin/busybox", ...argv);
  }

  /** Kills and deletes it, with its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await crun(this.#dir, "delete", "--force", this.id);
    await Deno.remove(this.#dir, { recursive: true });
  }
}

async function crun(dir: string, ...args: string[]): Promise<string> {
  const program = findProgram("crun");
  assert(program !== undefined, "no crun here");
  const global = ["--root", join(dir, "state"), "--cgroup-manager", "disabled"];
  // crun's detached child keeps stdout and stderr open, so its output goes to a file.
  const log = join(dir, "log");
  const script = '"$@" >"$LOG" 2>&1 </dev/null';
  const { code } = await capture(["sh", "-c", script, "sh", program, ...global, ...args], {
    env: { LOG: log },
  });
  const output = await Deno.readTextFile(log);
  assert(code === 0, `crun ${args.join(" ")}: exit code ${code}: ${output}`);
  return output;
}

async function writeBundle(dir: string): Promise<void> {
  const busybox = findProgram("busybox");
  assert(busybox !== undefined, "no busybox here");
  for (const name of ["bin", "proc", "sys", "dev"]) {
    await Deno.mkdir(join(dir, "rootfs", name), { recursive: true });
  }
  await Deno.copyFile(busybox, join(dir, "rootfs/bin/busybox"));
  await Deno.chmod(join(dir, "rootfs/bin/busybox"), 0o755);
  await Deno.writeTextFile(join(dir, "config.json"), JSON.stringify(CONFIG));
}

/** OCI runtime specification 1.0, `config.json`: no more than a container with its own namespaces needs. */
const CONFIG = {
  ociVersion: "1.0.0",
  process: {
    user: { uid: 0, gid: 0 },
    args: ["/bin/busybox", "sleep", "100000"],
    env: ["PATH=/bin"],
    cwd: "/",
    capabilities: Object.fromEntries(
      ["bounding", "effective", "permitted"].map((set) => [set, ["CAP_NET_RAW", "CAP_KILL"]]),
    ),
  },
  root: { path: "rootfs", readonly: false },
  hostname: "zt",
  mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
  linux: { namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })) },
};
