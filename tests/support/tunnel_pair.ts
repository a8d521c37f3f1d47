/** Two ends of a tunnel joined by one cable, and tests that run for each pair of makes. */
import { LeakAudit } from "./leak_audit.ts";
import { NamedNetns, needing } from "./test_netns.ts";
import { type Make, PAIR_PROGRAMS, PAIRS, TunnelEnd } from "./tunnel_end.ts";
import { type Plug, wire } from "./wires.ts";

/** Which make is which end. */
export interface Makes {
  readonly client: Make;
  readonly server: Make;
}

/** Addresses inside the tunnel. */
export const INSIDE = {
  client: ["10.10.0.1/24", "fd10::1/64"],
  server: ["10.10.0.2/24", "fd10::2/64"],
} as const;

/** Addresses of the cable. */
export const OUTSIDE = { client: ["10.20.0.1", "fd20::1"], server: ["10.20.0.2", "fd20::2"] } as const;

/** Name of the link to the cable at both ends. */
export const UPLINK = "ztup";

/** Port of the server. */
export const SERVER_PORT = 51820;
/** Port of the client. */
export const CLIENT_PORT = 51821;

/** See the module. Peers of each other; the client does not know yet where the server is. */
export interface TunnelPair extends TunnelEnds, AsyncDisposable {
  /** Where the server is, IPv4 and IPv6. */
  readonly serverEndpoints: readonly [string, string];
}

/** Makes a pair. */
export async function startPair(
  makes: Makes,
  options: { readonly mtuBytes?: number; readonly underlayMtuBytes?: number } = {},
): Promise<TunnelPair> {
  await using stack = new AsyncDisposableStack();
  const places = {
    client: stack.use(await NamedNetns.create()),
    server: stack.use(await NamedNetns.create()),
  };
  const underlay = options.underlayMtuBytes === undefined ? {} : { mtuBytes: options.underlayMtuBytes };
  const plug = (side: "client" | "server"): Plug => ({
    place: places[side],
    link: UPLINK,
    addresses: [`${OUTSIDE[side][0]}/24`, `${OUTSIDE[side][1]}/64`],
  });
  await wire(plug("client"), plug("server"), underlay);
  const ends = await startEnds(stack, places, { makes, ...options });
  const owned = stack.move();
  return {
    ...ends,
    serverEndpoints: endpoints(OUTSIDE.server[0], OUTSIDE.server[1]),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The ends of a tunnel, peers of each other. */
export interface TunnelEnds {
  readonly client: TunnelEnd;
  readonly server: TunnelEnd;
}

/** Starts both ends in namespaces that are joined somehow, and makes them peers. */
export async function startEnds(
  stack: AsyncDisposableStack,
  places: { readonly client: NamedNetns; readonly server: NamedNetns },
  options: { readonly makes: Makes; readonly mtuBytes?: number },
): Promise<TunnelEnds> {
  const mtu = options.mtuBytes === undefined ? {} : { mtuBytes: options.mtuBytes };
  const start = async (side: "client" | "server", listenPort: number): Promise<TunnelEnd> =>
    stack.use(
      await TunnelEnd.start(places[side], options.makes[side], {
        addresses: INSIDE[side],
        listenPort,
        ...mtu,
      }),
    );
  const [client, server] = await Promise.all([start("client", CLIENT_PORT), start("server", SERVER_PORT)]);
  await client.addPeer(server);
  await server.addPeer(client);
  return { client, server };
}

/** The server's port at two addresses, as text. */
export function endpoints(v4: string, v6: string): [string, string] {
  return [`${v4}:${SERVER_PORT}`, `[${v6}]:${SERVER_PORT}`];
}

/** Registers a test for each pair of makes that `only` takes. @param programs Besides `ip`, `ping`, `wg`. */
export function pairTest(
  name: string,
  programs: readonly string[],
  run: (makes: Makes) => Promise<void>,
  options: { readonly only?: (makes: Makes) => boolean } = {},
): void {
  for (const makes of PAIRS.filter(options.only ?? (() => true))) {
    Deno.test({
      ...needing([...PAIR_PROGRAMS, ...programs], `${makes.client} to ${makes.server}: ${name}`),
      fn: async () => {
        await using _audit = await LeakAudit.begin();
        await run(makes);
      },
    });
  }
}
