/**
 * The seams between what is the same on all systems and what is each one's own: the data path that a worker runs,
 * and the interface and sockets that a device is made of.
 */

import type { DeviceReport } from "./control_plane.ts";
import type { DeviceRequest } from "./device_config.ts";

/** Bound sockets, as descriptors or handles; they stay whoever opened them's to close. */
export interface SocketFds {
  readonly 4?: number;
  readonly 6?: number;
}

/** A data path. Everything in it runs on the thread that made it. */
export interface PacketPlane {
  /** Name of the library that encrypts packets. */
  readonly cryptoName: string;
  /** Moves packets until `isInterrupted` says that there is something else to do. */
  run(isInterrupted: () => boolean): void;
  /** Uses these sockets from now on. */
  setSockets(fds: SocketFds): void;
  /** Changes the MTU of the interface, past which nothing is padded. */
  setMtu(mtuBytes: number): void;
  /** Changes keys and peers. */
  configure(change: DeviceRequest): void;
  /** Shakes hands with all peers whose place is known, one after another beside the traffic. */
  greet(): void;
  /** All there is to know of the device. */
  describe(): DeviceReport;
  /** Zeroes all keys. */
  close(): void;
}

/** What the data path of Linux is opened with. */
export interface LinuxPlaneStart {
  readonly system: "linux";
  readonly tunFd: number;
  readonly wakeUpFd: number;
}

/** What the data path of Windows is opened with. */
export interface WindowsPlaneStart {
  readonly system: "windows";
  /** Path of `wintun.dll`. */
  readonly wintun: string;
  /** Name or path of `ws2_32.dll`. */
  readonly winsock: string;
  /** Path of `iphlpapi.dll`. */
  readonly ipHelper: string;
  /** Handle of the session. */
  readonly session: bigint;
  /** Events: requests to the worker, packets of the session, datagrams. */
  readonly events: { readonly wakeUp: number; readonly session: number; readonly sockets: number };
}

/** What a data path is opened with, on the other side of a `postMessage`. */
export type PlaneStart = LinuxPlaneStart | WindowsPlaneStart;

/** Sockets of a device: one for each family that the system has, on the same port. */
export interface DeviceSockets extends Disposable {
  readonly port: number;
  readonly fds: SocketFds;
  /** Marks what they send, where there is such a thing. */
  mark(fwmark: number): void;
}

/** What a system gives a device: an interface, sockets, and a way to wake its data path. */
export interface Tunnel {
  /** Of the interface. */
  readonly name: string;
  /** Whether the interface is still there and ours. */
  readonly isAttached: boolean;
  /** For the data path. */
  readonly start: PlaneStart;
  /** Ends the wait of the data path under way, or the next one. */
  wakeUp(): void;
  /**
   * Binds sockets.
   *
   * @param port 0 for any.
   * @throws {FfiError} If the port is another's.
   */
  bind(port: number, fwmark: number): DeviceSockets;
  /** Lets go of the interface. Nobody uses {@linkcode Tunnel.start} any more. */
  [Symbol.asyncDispose](): Promise<void>;
}
