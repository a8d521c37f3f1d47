/** What backends are tested with: the backend acts, an observer that knows nothing of it looks. */

import type { NetworkBackend } from "../../core/backend/backend.ts";

/** A link as someone sees who knows nothing of the backend. */
export interface ObservedLink {
  readonly kind: string;
  readonly tag: string;
  readonly up: boolean;
  readonly master?: string;
  readonly mtuBytes: number;
  /** `10.0.0.1/24`, link-local ones left out. */
  readonly addresses: readonly string[];
}

/** The host as someone else sees and changes it. */
export interface HostObserver {
  link(name: string): Promise<ObservedLink | undefined>;
  /** Makes a bridge as another program would. */
  makeBridge(name: string, tag?: string): Promise<void>;
  deleteByHand(name: string): Promise<void>;
}

/** A process in a network namespace of its own. */
export interface ContractContainer {
  readonly pid: number;
  /** Ends the process; its namespace goes with it. */
  kill(): Promise<void>;
  link(name: string): Promise<{ readonly addresses: readonly string[]; readonly mac: string } | undefined>;
}

/** What a backend is tested with. */
export interface ContractRig extends AsyncDisposable {
  readonly backend: NetworkBackend;
  readonly host: HostObserver;
  /** Pid of a process in the namespace that the backend works in. */
  readonly ownPid: number;
  startContainer(): Promise<ContractContainer>;
}

/** Owner of what the contract makes. */
export const INSTALLATION = "zlayer-overlayd/contract/0123456789abcdef";

/** A test of the contract. */
export type Body = (rig: ContractRig) => Promise<void>;

/** Takes the tests of a part. */
export type Register = (title: string, body: Body) => void;
