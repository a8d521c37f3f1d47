/**
 * Debian's kernel for the kernel rig: downloaded and unpacked into the cache directory, never installed.
 *
 * Layout: `<cache>/kernel/<package>/boot/vmlinuz-<release>` and `…/lib/modules/<release>`.
 */
import { join } from "@std/path";
import { aptGet, findProgram, lastLines } from "./packages.ts";
import { capture, print } from "./process.ts";

/** An unpacked kernel. */
export interface KernelImage {
  /** Such as `6.1.0-40-amd64`. */
  readonly release: string;
  readonly vmlinuz: string;
  /** The directory that holds `lib/modules/<release>`, for `modprobe -d`. */
  readonly root: string;
}

const META_PACKAGE = "linux-image-amd64";

/** The newest kernel unpacked in the cache directory, or undefined. */
export function findKernelImage(cache: string): KernelImage | undefined {
  const images = list(join(cache, "kernel")).filter((name) => name.startsWith("linux-image-")).sort();
  for (const name of images.reverse()) {
    const root = join(cache, "kernel", name);
    const release = list(join(root, "lib/modules"))[0];
    if (release !== undefined) return { release, root, vmlinuz: join(root, "boot", `vmlinuz-${release}`) };
  }
  return undefined;
}

/**
 * Downloads and unpacks the kernel that `linux-image-amd64` stands for. Needs apt lists or the right to fetch
 * them, not root.
 *
 * @returns What is wrong, or undefined.
 */
export async function fetchKernelImage(cache: string): Promise<string | undefined> {
  const parent = join(cache, "kernel");
  await Deno.mkdir(parent, { recursive: true });
  const temp = await Deno.makeTempDir({ dir: parent, prefix: "new-" });
  try {
    const meta = await download(META_PACKAGE, temp);
    const name = await kernelPackageOf(meta);
    print(`setup: downloading and unpacking ${name} into ${parent}`);
    const root = join(temp, "root");
    await must(["dpkg-deb", "-x", await download(name, temp), root]);
    const release = list(join(root, "lib/modules"))[0] ?? "";
    await must([findProgram("depmod") ?? "depmod", "-b", root, release]);
    await replace(root, join(parent, name));
    return undefined;
  } catch (error) {
    if (error instanceof SetupError) return error.message;
    throw error;
  } finally {
    await Deno.remove(temp, { recursive: true });
  }
}

/** A step of the set-up failed for a reason that lies outside this program. */
class SetupError extends Error {}

/** Downloads a package into a directory of its own below `dir`. @returns Path of the `.deb`. */
async function download(name: string, dir: string): Promise<string> {
  const into = join(dir, name);
  await Deno.mkdir(into);
  const problem = await aptGet(["download", name], into);
  if (problem !== undefined) throw new SetupError(problem);
  const deb = list(into).find((file) => file.endsWith(".deb"));
  if (deb === undefined) throw new SetupError(`apt-get download ${name} left no .deb`);
  return join(into, deb);
}

/** The kernel that the meta package depends on, such as `linux-image-6.1.0-40-amd64`. */
async function kernelPackageOf(metaDeb: string): Promise<string> {
  const depends = await must(["dpkg-deb", "-f", metaDeb, "Depends"]);
  const name = /linux-image-\d[\w.+-]*/.exec(depends)?.[0];
  if (name === undefined) {
    throw new SetupError(`${META_PACKAGE} depends on no kernel image: ${depends.trim()}`);
  }
  return name;
}

/** Runs a command that has to succeed. @returns Its stdout. */
async function must(argv: readonly string[]): Promise<string> {
  const result = await capture(argv);
  if (result.code !== 0) throw new SetupError(`${argv[0]} failed: ${lastLines(result)}`);
  return result.stdout;
}

/** Moves a finished directory into place. Another set-up that was faster wins. */
async function replace(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    if (findKernelImage(join(to, "../..")) === undefined) throw error;
  }
}

function list(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
