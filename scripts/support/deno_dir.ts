/** Deno's cache directory. */
import { capture, denoArgv } from "./process.ts";

/** Where the Deno that runs this script keeps what it fetched. */
export async function denoDir(): Promise<string> {
  const { code, stdout, stderr } = await capture(denoArgv("info", "--json"));
  if (code !== 0) throw new Error(`deno info: ${stderr.trim()}`);
  return (JSON.parse(stdout) as { denoDir: string }).denoDir;
}
