/** A scenario between a device of ours and another implementation's. */
import type { InteropPair } from "../../support/interop/pair.ts";
import type { WireGuardEnd } from "../../support/interop/wireguard_end.ts";

/** See the file's comment. It relates the ends anew, so scenarios do not depend on each other. */
export interface Scenario {
  readonly name: string;
  readonly run: (pair: InteropPair) => Promise<void>;
}

/** A scenario for each end, told from its point of view. */
export function forEachEnd(
  name: (side: "ours" | "theirs") => string,
  run: (pair: InteropPair, end: WireGuardEnd) => Promise<void>,
): Scenario[] {
  return (["ours", "theirs"] as const).map((side) => ({
    name: name(side),
    run: (pair) => run(pair, pair[side]),
  }));
}
