/** What a device in user space is made of on Linux: a TUN device and an event descriptor. */

import type { LinuxTun } from "../../../ffi/linux_tun.ts";
import { WakeUp } from "../../../ffi/poll_set.ts";
import { initializeLibraries } from "./crypto.ts";
import type { LinuxPlaneStart, Tunnel } from "./packet_plane.ts";
import { UdpSockets } from "./udp_sockets.ts";

/** See the module. */
export class LinuxTunnel implements Tunnel {
  readonly #tun: LinuxTun;
  readonly #wakeUp = new WakeUp();

  /** Takes over a TUN device; one that is persistent outlives this object. */
  constructor(tun: LinuxTun) {
    this.#tun = tun;
    initializeLibraries();
  }

  get name(): string {
    return this.#tun.name;
  }

  get isAttached(): boolean {
    return this.#tun.isAttached;
  }

  get start(): LinuxPlaneStart {
    return { system: "linux", tunFd: this.#tun.fd, wakeUpFd: this.#wakeUp.fd };
  }

  wakeUp(): void {
    this.#wakeUp.signal();
  }

  bind(port: number, fwmark: number): UdpSockets {
    return UdpSockets.bind(port, fwmark);
  }

  /** At once. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#tun[Symbol.dispose]();
    this.#wakeUp[Symbol.dispose]();
    return Promise.resolve();
  }
}
