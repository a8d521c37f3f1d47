/**
 * The real `main.ts` around an engine that touches no kernel and misbehaves when asked:
 *
 * - `setup_service_overlay` of `slow-<ms>` takes that long;
 * - `nat_tick` leaves a rejected promise and a throwing timer behind;
 * - `unregister_dns` of `<n>` logs n records of 1 KiB;
 * - after `set_local_wg_pubkey` of `hang` the engine never finishes closing.
 */
import { main } from "../../../main.ts";
import { FakeService } from "../../support/fake_service.ts";

Deno.exit(
  await main(Deno.args, (config, log) => {
    const service = new FakeService();
    const setup = service.setupServiceOverlay;
    service.setupServiceOverlay = async (name, mode) => {
      const ms = /^slow-([0-9]+)$/.exec(name)?.[1];
      if (ms !== undefined) await new Promise((resolve) => setTimeout(resolve, Number(ms)));
      return await setup(name, mode);
    };
    service.natTick = () => {
      void Promise.reject(new Error("left behind"));
      setTimeout(() => {
        throw new Error("thrown behind");
      }, 0);
      return Promise.resolve();
    };
    service.unregisterDns = (name) => {
      for (let i = 0; i < Number(name); i++) log("engine").info("x".repeat(1024), { i });
      return Promise.resolve();
    };
    return Promise.resolve({
      service,
      cleanup: () => Deno.writeTextFile(`${config.dataDir}/cleaned-up`, ""),
      close: () =>
        service.calls.some(([, key]) => key === "hang") ? new Promise<void>(() => {}) : Promise.resolve(),
    });
  }),
);
