/**
 * `deno task setup`: brings what the test rigs need and this machine lacks.
 *
 * As root it installs Debian packages, saying which, and builds the Windows rig's Wine in the cache
 * directory. Kernel image and npm tools go there too and need no root. Idempotent; under a tenth of a second when all is there. Whatever cannot be had is listed
 * with the reason, and the tests that need it skip with the same reason.
 */
import { cacheDir } from "./support/cache_dir.ts";
import { fetchKernelImage, findKernelImage } from "./support/kernel_image.ts";
import {
  DENO_2_4_2,
  DENO_WINDOWS,
  DENORT_2_4_2,
  fetchNpmTool,
  findNpmTool,
  type NpmTool,
} from "./support/npm_tools.ts";
import { findProgram, installPackages, missingPackages } from "./support/packages.ts";
import { print } from "./support/process.ts";
import { RIG_PARTS, type RigPart } from "./support/rig_part.ts";
import { buildWineRoot, findWineRoot } from "./support/wine_root.ts";

/**
 * Brings the named parts.
 *
 * @returns One line for each thing that is still missing, with the reason.
 */
export async function setUp(parts: readonly RigPart[] = RIG_PARTS): Promise<string[]> {
  const cache = cacheDir();
  const lacks: string[] = [];
  if (parts.includes("packages")) lacks.push(...await installMissingPackages());
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return [...lacks, "kernel, compile and Windows rigs: need an x86-64 Linux host"];
  }
  if (parts.includes("kernel")) lacks.push(...await bringKernelImage(cache));
  if (parts.includes("npm")) {
    for (const tool of [DENO_2_4_2, DENORT_2_4_2]) lacks.push(...await bringNpmTool(cache, tool));
  }
  if (parts.includes("windows")) {
    lacks.push(...await bringNpmTool(cache, DENO_WINDOWS), ...await bringWineRoot(cache));
  }
  return lacks;
}

async function installMissingPackages(): Promise<string[]> {
  const missing = missingPackages();
  if (missing.length === 0) return [];
  const names = missing.map(({ name }) => name);
  const uses = missing.map(({ name, use }) => `${name} (${use})`).join(", ");
  if (Deno.uid() !== 0) return [`needs root to install: ${uses}`];
  if (findProgram("apt-get") === undefined) return [`no apt-get here to install: ${uses}`];
  print(`setup: installing Debian packages: ${names.join(" ")}`);
  const problem = await installPackages(names);
  return problem === undefined ? [] : [`${uses}: ${problem}`];
}

async function bringKernelImage(cache: string): Promise<string[]> {
  if (findKernelImage(cache) !== undefined) return [];
  const tools = ["apt-get", "dpkg-deb", "depmod"].filter((name) => findProgram(name) === undefined);
  if (tools.length > 0) return [`linux-image-amd64 (the kernel rig): no ${tools.join(", ")} here`];
  const problem = await fetchKernelImage(cache);
  return problem === undefined ? [] : [`linux-image-amd64 (the kernel rig): ${problem}`];
}

async function bringNpmTool(cache: string, tool: NpmTool): Promise<string[]> {
  if (findNpmTool(cache, tool) !== undefined) return [];
  const problem = await fetchNpmTool(cache, tool);
  return problem === undefined ? [] : [`${tool.name}@${tool.version} (${toolUse(tool)}): ${problem}`];
}

function toolUse(tool: NpmTool): string {
  return tool === DENO_WINDOWS ? "the Windows rig" : "the compile rig";
}

async function bringWineRoot(cache: string): Promise<string[]> {
  if (findWineRoot(cache) !== undefined) return [];
  const problem = Deno.uid() === 0 ? await buildWineRoot(cache) : "needs root to build";
  return problem === undefined ? [] : [`Debian with Wine (the Windows rig): ${problem}`];
}

if (import.meta.main) {
  const lacks = await setUp();
  for (const line of lacks) print(`setup: missing: ${line}`);
  if (lacks.length === 0) print("setup: everything is here");
  Deno.exit(lacks.length === 0 ? 0 : 1);
}
