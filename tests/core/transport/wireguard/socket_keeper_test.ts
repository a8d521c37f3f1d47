import { assertEquals, assertRejects } from "@std/assert";
import type { DeviceSockets, SocketFds } from "../../../../core/transport/wireguard/packet_plane.ts";
import { SocketKeeper } from "../../../../core/transport/wireguard/socket_keeper.ts";

/** A system whose port may be taken, and time that a test lets pass. */
class World {
  /** What happened, in order. */
  readonly log: string[] = [];
  /** Pauses that wait for their end. */
  readonly pauses: { readonly ms: number; readonly run: () => void }[] = [];
  /** Binds that are to fail. */
  failures = 0;
  readonly keeper = new SocketKeeper({
    bind: (port, fwmark) => this.#bind(port, fwmark),
    use: (fds) => this.use(fds),
    onChange: (message) => void this.log.push(message),
    later: (run, ms) => {
      const pause = { ms, run };
      this.pauses.push(pause);
      return () => {
        if (this.pauses.includes(pause)) this.pauses.splice(this.pauses.indexOf(pause), 1);
      };
    },
  });
  /** The changes of the device under way. */
  last: Promise<void> = Promise.resolve();
  #fds = 10;

  use(fds: SocketFds): Promise<void> {
    this.log.push(`use ${fds[4] ?? "none"}`);
    return Promise.resolve();
  }

  readonly serially = (run: () => Promise<void>): void => void (this.last = this.last.then(run));

  async pass(): Promise<number> {
    const { ms, run } = this.pauses.shift()!;
    run();
    await this.last;
    return ms;
  }

  #bind(port: number, fwmark: number): DeviceSockets {
    if (this.failures-- > 0) throw new RangeError(`port ${port} is taken`);
    const fd = this.#fds++;
    const own = port === 0 ? 40_000 : port;
    this.log.push(`bind ${own} mark ${fwmark} as ${fd}`);
    return {
      port: own,
      fds: { 4: fd },
      mark: (mark) => void this.log.push(`mark ${fd} ${mark}`),
      [Symbol.dispose]: () => void this.log.push(`close ${fd}`),
    };
  }
}

Deno.test("SocketKeeper: sockets are bound when there are none, or for another port", async () => {
  const { keeper, log } = new World();
  await keeper.set({ fwmark: 7 });
  await keeper.set({});
  await keeper.set({ port: 40_000 });
  await keeper.set({ port: 51_820, fwmark: 8 });
  assertEquals([keeper.port, keeper.fwmark], [51_820, 8]);
  keeper[Symbol.dispose]();
  keeper[Symbol.dispose]();
  const first = ["bind 40000 mark 7 as 10", "use 10"];
  const second = ["mark 10 8", "bind 51820 mark 8 as 11", "use 11", "close 10"];
  assertEquals(log, [...first, ...second, "close 11"]);
});

Deno.test("SocketKeeper: a port of another changes nothing", async () => {
  const world = new World();
  await world.keeper.set({ port: 1 });
  world.failures = 1;
  await assertRejects(() => world.keeper.set({ port: 2 }), RangeError);
  await world.keeper.set({ port: 1 });
  assertEquals([world.keeper.port, world.log], [1, ["bind 1 mark 0 as 10", "use 10"]]);
});

Deno.test("SocketKeeper: a data path that does not take sockets leaves them closed", async () => {
  const world = new World();
  world.use = () => Promise.reject(new TypeError("the device is closed"));
  await assertRejects(() => world.keeper.set({ port: 1 }), TypeError);
  assertEquals(world.log, ["bind 1 mark 0 as 10", "close 10"]);
});

Deno.test("SocketKeeper: lost sockets are closed before their port is bound again, with their mark", async () => {
  const world = new World();
  await world.keeper.set({ port: 1, fwmark: 3 });
  world.log.length = 0;
  await world.keeper.restore("the network is down", world.serially);
  const bound = ["bind 1 mark 3 as 11", "use 11", "UDP sockets are bound anew"];
  assertEquals(world.log, ["UDP sockets are lost", "use none", "close 10", ...bound]);
});

Deno.test("SocketKeeper: as long as the port cannot be had, it is asked for ever less often", async () => {
  const world = new World();
  await world.keeper.set({ port: 1 });
  world.failures = 8;
  await world.keeper.restore("the network is down", world.serially);
  const pauses: number[] = [];
  while (world.pauses.length > 0) pauses.push(await world.pass());
  assertEquals(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  assertEquals(world.log.at(-1), "UDP sockets are bound anew");
});

Deno.test("SocketKeeper: another port meanwhile ends the search for the lost one", async () => {
  const world = new World();
  await world.keeper.set({ port: 1 });
  world.failures = 1;
  await world.keeper.restore("the network is down", world.serially);
  assertEquals(world.pauses.length, 1);
  await world.keeper.set({ port: 2 });
  assertEquals([world.pauses.length, world.keeper.port], [0, 2]);
});

Deno.test("SocketKeeper: a change of peers meanwhile has the same port again", async () => {
  const world = new World();
  await world.keeper.set({ port: 1 });
  world.failures = 1;
  await world.keeper.restore("the network is down", world.serially);
  await world.keeper.set({});
  assertEquals([world.keeper.port, world.pauses.length], [1, 0]);
});

Deno.test("SocketKeeper: once closed it binds nothing", async () => {
  const world = new World();
  await world.keeper.set({ port: 1 });
  world.failures = 1;
  await world.keeper.restore("the network is down", world.serially);
  const { run } = world.pauses[0]!;
  world.keeper[Symbol.dispose]();
  assertEquals(world.pauses, []);
  run();
  await world.last;
  await world.keeper.restore("late news", world.serially);
  assertEquals(world.log.filter((line) => line.startsWith("bind")), ["bind 1 mark 0 as 10"]);
});

Deno.test("SocketKeeper: news of a loss before there were sockets are none", async () => {
  const world = new World();
  await world.keeper.restore("the network is down", world.serially);
  assertEquals(world.log, []);
});
