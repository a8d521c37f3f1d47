/** Containers of several nodes, and whether they reach each other. */
import { Container, type NetworkPlace } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";

/** Waits until an address answers; the first packet has to wait for a handshake. @param options As of `ping`. */
export async function reach(
  from: NetworkPlace,
  address: string,
  options: { readonly size?: number } = {},
): Promise<void> {
  await waitFor(`${address} to answer`, () => from.ping(address, options));
}

/** Starts so many containers; the stack ends them. */
export async function startContainers(count: number, stack: AsyncDisposableStack): Promise<Container[]> {
  const containers: Container[] = [];
  for (let i = 0; i < count; i++) containers.push(stack.use(await Container.start()));
  return containers;
}

/** Has every container reach that of every other node. */
export async function reachAll(containers: readonly Container[], ips: readonly string[]): Promise<void> {
  for (const [i, container] of containers.entries()) {
    for (const [j, ip] of ips.entries()) if (i !== j) await reach(container, ip);
  }
}
