/**
 * What every `ContainerNetworks` does: one list of tests for every way to a Host Networking Service, the one in
 * memory and the rig's library behind worker and FFI.
 */

import { assertEquals } from "@std/assert";
import { networkTests } from "./networks.ts";
import { placeTests } from "./places.ts";
import type { ContainersBody, ContainersRig } from "./rig.ts";
import { surveyTests } from "./surveys.ts";
import { troubleTests } from "./troubles.ts";

/**
 * Registers the suite. Each test ends with nothing handed out and no rule of the service broken.
 *
 * @param name Of what is tested, for the names of the tests.
 */
export function containersContract(name: string, open: () => Promise<ContainersRig>): void {
  const test = (title: string, body: ContainersBody): void => {
    Deno.test(`${name}: ${title}`, async () => {
      await using rig = await open();
      await body(rig);
      assertEquals(rig.host.problems(), [], "handles, strings and rules");
    });
  };
  for (const part of [networkTests, placeTests, surveyTests, troubleTests]) part(test);
}
