/** The Linux backend with an observer that asks `ip`, for the contract suite. Acts in the current namespace. */

import { LinuxBackend } from "../../core/backend/linux.ts";
import { SILENT_LOG } from "../../core/log.ts";
import type { ContractContainer, ContractRig, HostObserver, ObservedLink } from "../contract/contract_rig.ts";
import { LeakAudit } from "./leak_audit.ts";
import { Container, HERE, type IpObject } from "./test_netns.ts";

/** A container of {@linkcode Container} as the contract suite wants it. */
function toContractContainer(container: Container): ContractContainer {
  return {
    pid: container.pid,
    kill: () => container.kill(),
    async link(name): ReturnType<ContractContainer["link"]> {
      const link = await container.link(name);
      return link && { addresses: await container.addresses(name), mac: link.address };
    },
  };
}

const observer: HostObserver = {
  async link(name): Promise<ObservedLink | undefined> {
    const link = await HERE.link(name);
    return link && toObservedLink(link, await HERE.addresses(name));
  },
  async makeBridge(name, tag = ""): Promise<void> {
    await HERE.must(["ip", "link", "add", name, "type", "bridge"]);
    if (tag !== "") await HERE.must(["ip", "link", "set", name, "alias", tag]);
  },
  async deleteByHand(name): Promise<void> {
    await HERE.must(["ip", "link", "del", name]);
  },
};

function toObservedLink(link: IpObject, addresses: string[]): ObservedLink {
  return {
    kind: link.linkinfo?.info_kind ?? "",
    tag: link.ifalias ?? "",
    up: (link.flags as string[]).includes("UP"),
    ...link.master === undefined ? {} : { master: link.master },
    mtuBytes: link.mtu,
    addresses,
  };
}

/** Opens the backend; at the end everything it and the test made has to be gone. */
export async function openLinuxRig(): Promise<ContractRig> {
  const audit = await LeakAudit.begin();
  const backend = await LinuxBackend.open(SILENT_LOG);
  const containers: Container[] = [];
  return {
    backend,
    host: observer,
    ownPid: Deno.pid,
    async startContainer(): Promise<ContractContainer> {
      const container = await Container.start();
      containers.push(container);
      return toContractContainer(container);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const container of containers) await container.kill();
      backend.close();
      await audit.assertNoLeaks();
    },
  };
}
