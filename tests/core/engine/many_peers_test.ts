import { assert, assertEquals } from "@std/assert";
import type { DeviceChange, NetworkBackend } from "../../../core/backend/backend.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import type { PeerScope } from "../../../core/service.ts";
import type { StateStore } from "../../../core/state/state_store.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";

const GLOBAL: PeerScope = { scope: "global" };
const PEERS = 200;

/** What an engine asks of backend and store while a peer is changed. */
class Asked {
  readonly changes: DeviceChange[] = [];
  readonly other: string[] = [];
  walks = 0;

  backend(real: NetworkBackend): NetworkBackend {
    return new Proxy(real, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        const method = member as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          if (name === "changeDevice") this.changes.push(args[1] as DeviceChange);
          else this.other.push(String(name));
          return method.apply(target, args);
        };
      },
    });
  }

  store(real: StateStore): StateStore {
    const { peers } = real;
    for (const name of ["values", "entries", "keys", "forEach", "ofService"] as const) {
      const method = peers[name] as (...args: unknown[]) => unknown;
      Object.defineProperty(peers, name, {
        value: (...args: unknown[]) => {
          this.walks++;
          return method.apply(peers, args);
        },
      });
    }
    return real;
  }

  forget(): void {
    this.changes.length = this.other.length = this.walks = 0;
  }
}

async function rigWithPeers(): Promise<{ rig: EngineRig; asked: Asked; keys: string[] }> {
  const rig = await EngineRig.start();
  const asked = new Asked();
  await rig.engine.stop();
  rig.store.close();
  await rig.boot({ backend: (real) => asked.backend(real), store: (real) => asked.store(real) });
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.9.0/28" }), rig.context);
  const keys = Array.from({ length: PEERS }, freshPublicKey);
  for (const [i, publicKey] of keys.entries()) {
    await rig.engine.addPeer(
      { publicKey, endpoint: "192.0.2.1:7", allowedIps: cidrs(i), persistentKeepaliveSecs: 0 },
      GLOBAL,
    );
  }
  asked.forget();
  return { rig, asked, keys };
}

/** One host of the overlay, and a subnet outside that needs a route. */
function cidrs(i: number): string {
  return `10.200.9.${i},10.77.${i}.0/24`;
}

function routesOf({ addRoutes, removeRoutes }: DeviceChange): string[][] {
  return [addRoutes, removeRoutes].map((routes) => routes.map(formatPrefix));
}

Deno.test("a change of one peer of many asks only for that one, and walks over no other", async (t) => {
  const { rig, asked, keys } = await rigWithPeers();
  await using _ = rig;
  const [fresh, first] = [freshPublicKey(), keys[0]!];
  const spec = {
    publicKey: fresh,
    endpoint: "192.0.2.1:7",
    allowedIps: "10.78.0.0/24",
    persistentKeepaliveSecs: 0,
  };
  const steps: readonly {
    readonly name: string;
    readonly run: () => Promise<void>;
    readonly routes: string[][];
  }[] = [
    { name: "add", run: () => rig.engine.addPeer(spec, GLOBAL), routes: [["10.78.0.0/24"], []] },
    {
      name: "add an allowed IP that another one had",
      run: () => rig.engine.addAllowedIp(fresh, "10.77.0.0/24", GLOBAL),
      routes: [[], []],
    },
    {
      name: "remove an allowed IP",
      run: () => rig.engine.removeAllowedIp(fresh, "10.77.0.0/24", GLOBAL),
      routes: [[], ["10.77.0.0/24"]],
    },
    { name: "remove", run: () => rig.engine.removePeer(fresh, GLOBAL), routes: [[], ["10.78.0.0/24"]] },
    { name: "remove one without", run: () => rig.engine.removePeer(first, GLOBAL), routes: [[], []] },
  ];
  for (const { name, run, routes } of steps) {
    await t.step(name, async () => {
      asked.forget();
      await run();
      assertEquals(asked.changes.map((change) => change.set.length + change.remove.length), [1]);
      assertEquals(asked.changes.map(routesOf), [routes]);
      assertEquals([asked.other, asked.walks], [[], 0]);
    });
  }
});

Deno.test("a peer that had a guest's address leaves the guest its route when it goes", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.9.0/28" }), rig.context);
  await rig.engine.setupServiceOverlay("web", "shared");
  const handle = { platform: "guest_managed", id: "vm1" } as const;
  const guest = await rig.engine.attachContainer({ handle, service: "web", joinGlobal: false });
  assert(guest.kind === "guest_config");
  const routes = (): string[] => rig.host.links.get("zl-prod-42-g")!.routes.map(formatPrefix);
  assertEquals(routes(), [`${guest.overlayIp}/32`]);
  const publicKey = freshPublicKey();
  const allowedIps = `${guest.overlayIp}/32`;
  const spec = { publicKey, endpoint: "192.0.2.1:7", allowedIps, persistentKeepaliveSecs: 0 };
  await rig.engine.addPeer(spec, GLOBAL);
  await rig.engine.removePeer(publicKey, GLOBAL);
  assertEquals(routes(), [allowedIps]);
});
