/** The fake host keeps the contract of every backend, so that what the engine is tested with is true. */

import { FakeBackend } from "../../../core/backend/fake.ts";
import { FakeHost } from "../../../core/backend/fake_host.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import { backendContract, WITH_LINKS, withoutDevices } from "../../contract/backend_contract.ts";
import type {
  ContractContainer,
  ContractRig,
  HostObserver,
  ObservedLink,
} from "../../contract/contract_rig.ts";

/** Pid that the fake takes for one of the daemon's own namespace. */
const OWN_PID = 1;

class FakeObserver implements HostObserver {
  constructor(readonly host: FakeHost) {}

  link(name: string): Promise<ObservedLink | undefined> {
    const link = this.host.links.get(name);
    return Promise.resolve(
      link && {
        kind: link.kind,
        tag: link.tag,
        up: link.up,
        ...link.master === undefined ? {} : { master: link.master },
        mtuBytes: link.mtuBytes,
        addresses: link.addresses.map(formatPrefix),
      },
    );
  }

  makeBridge(name: string, tag = ""): Promise<void> {
    this.host.add({ kind: "bridge", name, tag, up: false, mtuBytes: 1500, addresses: [], routes: [] });
    return Promise.resolve();
  }

  deleteByHand(name: string): Promise<void> {
    this.host.deleteByHand(name);
    return Promise.resolve();
  }
}

function startContainer(host: FakeHost, pid: number): ContractContainer {
  const process = host.spawn(pid);
  return {
    pid,
    kill: () => Promise.resolve(host.kill(pid)),
    link: (name) => {
      const link = process.links.get(name);
      const mac = (bytes: Uint8Array): string =>
        Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
      return Promise.resolve(link && { addresses: [formatPrefix(link.address)], mac: mac(link.mac) });
    },
  };
}

function openFakeRig(options: { readonly wireguard: boolean }): Promise<ContractRig> {
  const host = new FakeHost((privateKey) => privateKey);
  host.wireguard = options.wireguard;
  const backend = new FakeBackend(host);
  let nextPid = 100;
  return Promise.resolve({
    backend,
    host: new FakeObserver(host),
    ownPid: OWN_PID,
    startContainer: () => Promise.resolve(startContainer(host, nextPid++)),
    [Symbol.asyncDispose]: (): Promise<void> => Promise.resolve(backend.close()),
  });
}

backendContract("FakeBackend", () => openFakeRig({ wireguard: true }));
backendContract("FakeBackend without WireGuard", () => openFakeRig({ wireguard: false }), {
  parts: withoutDevices(WITH_LINKS),
});
