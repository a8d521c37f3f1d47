/**
 * The first user space of the guest: a static busybox, the modules that reach the host's root over 9p, and two
 * shell scripts.
 *
 * `/init` mounts the host's root (read-only, 9p), lays a tmpfs over it (overlayfs), so that the guest may
 * write anywhere and the host sees nothing of it, and switches to it. `/run/share` is a second 9p mount, a
 * directory of the host that the guest may write. `stage2` runs there as process 1: it mounts the rest, loads
 * the network modules and runs `/run/share/command`, whose exit code it leaves in `/run/share/exit-code`. It ends
 * as a busybox on the tmpfs of `/run`, for nothing can be read over 9p while the kernel shuts devices down.
 */
import { basename, join } from "@std/path";
import { findProgram } from "../../../scripts/support/packages.ts";
import { capture } from "../../../scripts/support/process.ts";
import type { KernelImage } from "../../../scripts/support/kernel_image.ts";

/** Modules without which the host's root cannot be mounted. */
const BOOT_MODULES = ["virtio_pci", "9p", "9pnet_virtio", "overlay"] as const;

/** Modules loaded once the root is there; the kernel loads others by itself when they are asked for. */
const NETWORK_MODULES = ["wireguard", "veth", "bridge", "tun"] as const;

/** 9p options: `cache=loose` since nothing of the host's root may change under a test that reads it. */
const ROOT_OPTIONS = "ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose";
const SHARE_OPTIONS = "rw,trans=virtio,version=9p2000.L,msize=512000,cache=none";

/** Builds the archive at `path`, using `staging`, an empty directory. */
export async function buildInitramfs(image: KernelImage, staging: string, path: string): Promise<void> {
  for (const dir of ["bin", "modules", "proc", "sys", "dev", "lower", "rw", "root"]) {
    await Deno.mkdir(join(staging, dir));
  }
  await Deno.copyFile(programPath("busybox"), join(staging, "bin/busybox"));
  const modules = await bootModules(image);
  for (const file of modules) await Deno.copyFile(file, join(staging, "modules", basename(file)));
  await Deno.writeTextFile(join(staging, "init"), initScript(image, modules.map((file) => basename(file))), {
    mode: 0o755,
  });
  await Deno.writeTextFile(join(staging, "stage2"), STAGE2, { mode: 0o755 });
  await archive(staging, path);
}

/** Absolute path of a program that set-up has found. */
export function programPath(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Deno.errors.NotFound(`no ${name} in the usual directories; run setup`);
  return path;
}

/** Files of the boot modules and what they depend on, in loading order, each once. */
async function bootModules(image: KernelImage): Promise<string[]> {
  const files: string[] = [];
  for (const module of BOOT_MODULES) {
    const argv = [programPath("modprobe"), "-d", image.root, "-S", image.release, "--show-depends", module];
    const { code, stdout, stderr } = await capture(argv);
    if (code !== 0) throw new Error(`modprobe --show-depends ${module}: ${stderr.trim()}`);
    for (const [, file] of stdout.matchAll(/^insmod (\S+)/gm)) {
      if (file !== undefined && !files.includes(file)) files.push(file);
    }
  }
  return files;
}

function initScript(image: KernelImage, modules: readonly string[]): string {
  const moduleDir = `/usr/lib/modules/${image.release}`;
  return `#!/bin/busybox sh
set -e
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in ${modules.join(" ")}; do insmod /modules/$module; done
mount -t 9p -o ${ROOT_OPTIONS} hostroot /lower
mount -t tmpfs -o size=75% tmpfs /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay /root
mkdir -p /root/usr/lib/modules
[ -e /root/lib/modules ] || ln -s /usr/lib/modules /root/lib/modules
ln -sfn ${image.root}/lib/modules/${image.release} /root${moduleDir}
mount -t tmpfs -o mode=0755 tmpfs /root/run
mkdir /root/run/share
mount -t 9p -o ${SHARE_OPTIONS} share /root/run/share
cp /stage2 /bin/busybox /root/run
for dir in proc sys dev; do mount -o move /$dir /root/$dir; done
exec switch_root /root /bin/sh /run/stage2
`;
}

const STAGE2 = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm
mkdir -m 1777 /run/tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
for module in ${NETWORK_MODULES.join(" ")}; do modprobe $module; done
sh /run/share/command
echo $? > /run/share/exit-code
sync
exec /run/busybox poweroff -f
`;

/** Packs a directory as the kernel wants it: cpio, format newc. */
async function archive(dir: string, path: string): Promise<void> {
  const cpio = new Deno.Command(programPath("cpio"), {
    args: ["--quiet", "-o", "-H", "newc", "-F", path],
    cwd: dir,
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const writer = cpio.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${treeOf(dir).join("\n")}\n`));
  await writer.close();
  const { code, stderr } = await cpio.output();
  if (code !== 0) throw new Error(`cpio: ${new TextDecoder().decode(stderr).trim()}`);
}

function treeOf(dir: string, prefix = ""): string[] {
  return [...Deno.readDirSync(join(dir, prefix))].flatMap((entry) => {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    return entry.isDirectory ? [path, ...treeOf(dir, path)] : [path];
  });
}
