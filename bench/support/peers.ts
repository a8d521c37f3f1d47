/**
 * The peers that attaching is compared with, called as a container engine calls them: a process for each
 * container. Their bridges appear in the namespace the benchmark runs in, their state in a directory of theirs.
 */
import { join } from "@std/path";
import type { Container } from "../../tests/support/test_netns.ts";

/** A network tool that attaches one container by one run. */
export interface Peer {
  /** Programs it needs, absolute. */
  readonly programs: readonly string[];
  /** Address of its bridge, which an attached container can ping. */
  readonly gateway: string;
  /** Makes the run that attaches the `n`-th container (from 0); what it needs on disk is written here. */
  prepare(container: Container, n: number): Promise<PeerRun>;
  /** A run that starts the same program and has it do nothing. */
  prepareIdle(): Promise<PeerRun>;
}

/** One run of a peer's program. */
export interface PeerRun {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Given on stdin; absent: no stdin. */
  readonly input?: Uint8Array<ArrayBuffer>;
}

/** Where Debian puts them. */
export const NETAVARK = "/usr/lib/podman/netavark";
const CNI_PATH = "/usr/lib/cni";

/** Runs it to its end. @throws {Error} If it fails, with what it said. */
export async function runPeer(run: PeerRun): Promise<void> {
  const command = new Deno.Command(run.program, {
    args: [...run.args],
    env: { ...run.env },
    stdin: run.input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = run.input === undefined
    ? command.outputSync()
    : await outputWithInput(command.spawn(), run.input);
  if (success) return;
  const said = new TextDecoder().decode(stderr.length > 0 ? stderr : stdout).trim();
  throw new Error(`${run.program} ${run.args.join(" ")}: ${said}`);
}

async function outputWithInput(
  child: Deno.ChildProcess,
  input: Uint8Array<ArrayBuffer>,
): Promise<Deno.CommandOutput> {
  const writer = child.stdin.getWriter();
  const [output] = await Promise.all([child.output(), writer.write(input).then(() => writer.close())]);
  return output;
}

/**
 * `netavark setup` with a bridge network. `internal` leaves the firewall alone, for netavark 1.4 knows no other
 * way to do without; such a network has no default route either, so it does less than ours.
 */
export class Netavark implements Peer {
  readonly programs = [NETAVARK];
  readonly gateway: string;
  readonly #dir: string;
  readonly #internal: boolean;

  /** @param dir Directory for its files. @param options `subnet`: second octet of 10.x.0.0/16. */
  constructor(dir: string, options: { readonly internal: boolean; readonly subnet: number }) {
    this.#dir = dir;
    this.#internal = options.internal;
    this.gateway = `10.${options.subnet}.0.1`;
  }

  async prepare(container: Container, n: number): Promise<PeerRun> {
    const file = join(this.#dir, `${this.#name}-${n}.json`);
    await Deno.writeTextFile(file, JSON.stringify(this.#config(n)));
    const args = ["--config", this.#dir, "--file", file, "setup", container.path!];
    return { program: NETAVARK, args, env: {} };
  }

  prepareIdle(): Promise<PeerRun> {
    return Promise.resolve({ program: NETAVARK, args: ["--version"], env: {} });
  }

  get #name(): string {
    return this.#internal ? "ztnavi" : "ztnavf";
  }

  #config(n: number): unknown {
    const net = this.gateway.replace(/0\.1$/, "");
    const address = `${net}${1 + Math.floor(n / 250)}.${1 + n % 250}`;
    const id = n.toString(16).padStart(64, this.#internal ? "a" : "b");
    return {
      container_id: id,
      container_name: `${this.#name}-${n}`,
      networks: { [this.#name]: { static_ips: [address], interface_name: "eth0" } },
      network_info: {
        [this.#name]: {
          name: this.#name,
          id: (this.#internal ? "a" : "b").repeat(64),
          driver: "bridge",
          network_interface: this.#name,
          subnets: [{ subnet: `${net}0.0/16`, gateway: this.gateway }],
          ipv6_enabled: false,
          internal: this.#internal,
          dns_enabled: false,
          ipam_options: { driver: "host-local" },
        },
      },
    };
  }
}

/** The CNI plugin `bridge`, operation ADD, with addresses from `host-local`; no masquerading, so no firewall. */
export class CniBridge implements Peer {
  readonly programs = [`${CNI_PATH}/bridge`, `${CNI_PATH}/host-local`];
  readonly gateway: string;
  readonly #input: Uint8Array<ArrayBuffer>;

  /** @param dir Directory for its leases. @param options `subnet`: second octet of 10.x.0.0/16. */
  constructor(dir: string, options: { readonly subnet: number }) {
    this.gateway = `10.${options.subnet}.0.1`;
    const config = {
      cniVersion: "1.0.0",
      name: "ztcni",
      type: "bridge",
      bridge: "ztcni0",
      isGateway: true,
      isDefaultGateway: true,
      ipMasq: false,
      ipam: {
        type: "host-local",
        dataDir: join(dir, "cni-leases"),
        ranges: [[{ subnet: `10.${options.subnet}.0.0/16` }]],
      },
    };
    this.#input = new Uint8Array(new TextEncoder().encode(JSON.stringify(config)));
  }

  prepare(container: Container, n: number): Promise<PeerRun> {
    const env = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: `zt${n}`,
      CNI_NETNS: container.path!,
      CNI_IFNAME: "eth0",
    };
    return this.#run(env);
  }

  prepareIdle(): Promise<PeerRun> {
    return this.#run({ CNI_COMMAND: "VERSION" });
  }

  #run(env: Readonly<Record<string, string>>): Promise<PeerRun> {
    const run = { program: `${CNI_PATH}/bridge`, args: [], env: { ...env, CNI_PATH }, input: this.#input };
    return Promise.resolve(run);
  }
}
