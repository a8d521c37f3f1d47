/** Makes a container that has the pid of a dead one, as happens on a busy host. */
import { assert } from "@std/assert";
import { Container } from "./test_netns.ts";

/** The kernel's last given pid of this pid namespace; writing it chooses the next (CONFIG_CHECKPOINT_RESTORE). */
const LAST_PID = "/proc/sys/kernel/ns_last_pid";

/** Somebody else may start a process in between. */
const MAX_TRIES = 50;

/** Kills a container and starts others until one has its pid. */
export async function reusePid(dead: Container): Promise<Container> {
  await dead.kill();
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    await Deno.writeTextFile(LAST_PID, String(dead.pid - 1));
    const container = await Container.start();
    if (container.pid === dead.pid) return container;
    await container.kill();
  }
  assert(false, `no process got pid ${dead.pid} in ${MAX_TRIES} tries`);
}
