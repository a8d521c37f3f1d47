/** Who is compared. */
import type { Built, TunnelPrograms } from "../../scripts/support/tunnel_programs.ts";
import { findProgram } from "../../scripts/support/packages.ts";
import { capture } from "../../scripts/support/process.ts";
import { openOurs, openProgram, type OpenTunnel, openVeth } from "./tunnel.ts";

/** Names, in the order they take turns. */
export const IMPLEMENTATION_IDS = [
  "ours",
  "wireguard-go",
  "wireguard-go-newest",
  "boringtun",
  "veth",
] as const;

/** Name of an implementation. */
export type ImplementationId = typeof IMPLEMENTATION_IDS[number];

/** One that can be measured, or why it cannot. */
export type Implementation =
  & { readonly id: ImplementationId; readonly name: string }
  & ({ readonly open: OpenTunnel } | { readonly reason: string });

/** All of them; those that are not here say why. */
export async function implementations(programs: TunnelPrograms): Promise<Implementation[]> {
  const debian = await debianWireguardGo();
  return [
    { id: "ours", name: "ours", open: openOurs },
    program("wireguard-go", "wireguard-go, Debian", debian, (path) => [path, "-f"]),
    program("wireguard-go-newest", "wireguard-go, newest", programs.wireguardGo, (path) => [path, "-f"]),
    program("boringtun", "boringtun-cli", programs.boringtun, (path) => {
      return [path, "--foreground", "--disable-drop-privileges"];
    }),
    { id: "veth", name: "veth, no tunnel", open: openVeth },
  ];
}

async function debianWireguardGo(): Promise<Built> {
  const path = findProgram("wireguard-go");
  if (path === undefined) return { reason: "Debian's package wireguard-go is not installed" };
  return { path, version: (await capture(["dpkg-query", "-W", "-f=${Version}", "wireguard-go"])).stdout };
}

function program(
  id: ImplementationId,
  name: string,
  built: Built,
  command: (path: string) => readonly string[],
): Implementation {
  if ("reason" in built) return { id, name, reason: `not built: ${built.reason}` };
  const open: OpenTunnel = () => openProgram((link) => [...command(built.path), link]);
  return { id, name: `${name} ${built.version}`, open };
}
