/** A Windows backend whose devices run on the rig's Wintun and IP Helper, and the host as somebody else sees it. */
import { WindowsBackend } from "../../../core/backend/windows.ts";
import { HcnContainers, workerChannels } from "../../../core/backend/windows/containers.ts";
import { WintunNode } from "../../../core/backend/windows/wintun_node.ts";
import { systemClock } from "../../../core/clock.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { MarkerFile } from "../../../core/marker_file.ts";
import type { ContractRig, HostObserver, ObservedLink } from "../../contract/contract_rig.ts";
import { MemoryFiles } from "../../support/container_rig.ts";
import type { HostDump } from "./device_rig.ts";
import { FakeLibrary, fakePath } from "./fake_library.ts";
import { fakePaths } from "./channel_pool.ts";

/** See the module. */
export class WintunHost implements ContractRig {
  readonly wintun = new FakeLibrary("wintun.dll");
  readonly stack = new FakeLibrary("iphlpapi_fake.dll");
  readonly marker = new MarkerFile("agent_network.json", { log: SILENT_LOG, files: new MemoryFiles() });
  readonly devices: WintunNode;
  readonly backend: WindowsBackend;
  readonly ownPid: number = Deno.pid;
  readonly host: HostObserver = {
    link: (name) => this.#link(name),
    makeBridge: () => Promise.reject(new TypeError("Windows has no bridges")),
    deleteByHand: (name) => Promise.resolve(void this.wintun.request("vanish", { adapter: name })),
  };

  /** @param wintun Path of the library; the rig's unless given. */
  constructor(wintun = fakePath("wintun.dll")) {
    const { marker } = this;
    const libraries = { wintun: [wintun], ipHelper: fakePath("iphlpapi_fake.dll") };
    this.devices = new WintunNode({ libraries, marker, log: SILENT_LOG });
    const containers = new HcnContainers({
      openChannel: workerChannels(fakePaths()),
      marker,
      clock: systemClock(),
      log: SILENT_LOG,
      devices: this.devices,
    });
    this.backend = new WindowsBackend({ containers, devices: this.devices });
  }

  /** What the IP stack has. */
  dump(): HostDump {
    return this.stack.request("dump") as HostDump;
  }

  startContainer(): Promise<never> {
    return Promise.reject(new TypeError("containers of Windows are no processes"));
  }

  /** Windows keeps no tags: what the backend says is the only word on that. */
  async #link(name: string): Promise<ObservedLink | undefined> {
    // deno-lint-ignore no-explicit-any
    const adapter = this.wintun.request("adapters").adapters.find((one: any) => one.name === name);
    if (adapter === undefined) return undefined;
    const { interfaces, addresses } = this.dump();
    const entry = (await this.backend.inventory()).find((one) => one.name === name);
    return {
      kind: "wireguard",
      tag: entry?.tag ?? "",
      up: adapter.session,
      mtuBytes: interfaces.find(({ luid }) => luid === adapter.luid).v4.mtu,
      addresses: addresses.filter(({ luid }) => luid === adapter.luid)
        .map(({ address, prefixLength }) => `${address}/${prefixLength}`),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { name, tag } of await this.backend.inventory()) await this.backend.removeDevice(name, tag);
    await this.backend.close();
    this.stack[Symbol.dispose]();
    this.wintun[Symbol.dispose]();
  }
}
