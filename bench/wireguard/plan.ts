/** What a run measures: made by `bench/wireguard_bench.ts`, carried out by `main.ts` in namespaces of its own. */
import type { TunnelPrograms } from "../../scripts/support/tunnel_programs.ts";
import type { LoadId } from "./loads.ts";

/** A run. Travels as JSON in an argument. */
export interface WireguardPlan {
  /** Directory for all state, on a disk. */
  readonly dir: string;
  readonly loads: readonly LoadId[];
  /** Also with 1,000 peers. */
  readonly peers: boolean;
  readonly rounds: number;
  /** Length of each load. */
  readonly seconds: number;
  readonly programs: TunnelPrograms;
  readonly json: boolean;
}
