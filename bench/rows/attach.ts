/**
 * Row 1: one attach at a time, ours over IPC and durable, against peers that are a process per container.
 *
 * All take turns in one run, each attach on a fresh namespace, their bridges being there already. Ours runs in a
 * network namespace of its own and the peers in another, so that nobody's notifications wake the other.
 */
import type { Container } from "../../tests/support/test_netns.ts";
import { findProgram } from "../../scripts/support/packages.ts";
import type { ContainerSet } from "../support/containers.ts";
import type { BenchDaemon } from "../support/daemon.ts";
import { type Peer, type PeerRun, runPeer } from "../support/peers.ts";
import { threadTimes, usedBetween } from "../support/process_stat.ts";
import type { Quantity, Row } from "../support/row.ts";
import { median, summarise, type Summary } from "../support/statistics.ts";
import { rest, timed } from "../support/timing.ts";

/** A peer with its share of the budget. */
export interface PeerRow {
  readonly id: string;
  readonly name: string;
  readonly peer: Peer;
  /** Ours is to take at most this share of the peer's time; absent: for information, in the notes. */
  readonly atMost?: number;
}

/** What takes part. */
export interface AttachPlan {
  /** From source; the rows are about this one. */
  readonly daemon: BenchDaemon;
  /** The compiled one, if there is one. */
  readonly compiled?: BenchDaemon;
  readonly containers: ContainerSet;
  readonly peers: readonly PeerRow[];
  /** Attaches of each that are measured. */
  readonly rounds: number;
}

/** Untimed attaches of each beforehand: bridges appear, code gets compiled. */
const WARM_UP = 10;
/** Attaches in a row before the next has its turn. */
const BLOCK = 10;
/** Runs of a program that does nothing, to know what a process costs. */
const IDLE_RUNS = 20;

/** Times of one contender. */
interface Contender {
  readonly gateway: string;
  readonly samples: number[];
  /** Attaches and gives the milliseconds. */
  attach(container: Container, n: number): Promise<number>;
}

/** Containers that {@linkcode attachRows} takes. */
export function containersForAttach(contenders: number, rounds: number): number {
  return contenders * (rounds + WARM_UP);
}

/** Measures. A peer that is not installed is skipped. */
export async function attachRows(plan: AttachPlan): Promise<Row[]> {
  const here = plan.peers.filter(({ peer }) => missingPrograms(peer).length === 0);
  const ours = await ourContender(plan.daemon, plan.rounds);
  const compiled = plan.compiled === undefined ? [] : [await ourContender(plan.compiled, plan.rounds)];
  const theirs = here.map(({ peer }) => peerContender(peer));
  const before = threadTimes(plan.daemon.pid);
  await takeTurns([ours, ...compiled, ...theirs], plan);
  const cpuMs = usedBetween(before, threadTimes(plan.daemon.pid)) / (plan.rounds + WARM_UP);
  const mine = summarise(ours.samples);
  const informative = compiled.map(({ samples }) => oursNote("compiled", summarise(samples)));
  const rows: Row[] = [];
  for (const one of plan.peers) {
    const at = here.indexOf(one);
    const what = `attach, p50, one at a time, vs ${one.name}`;
    if (at < 0) {
      const reason = `no ${missingPrograms(one.peer).join(", ")} here; deno task setup installs it`;
      if (one.atMost !== undefined) rows.push({ state: "skipped", id: one.id, what, reason });
      continue;
    }
    const their = summarise(theirs[at]!.samples);
    const notes = await peerNotes(one, their);
    if (one.atMost === undefined) informative.push(...notes, ratioNote(one.name, mine, their));
    else rows.push(measured(one, { what, mine, their, notes }));
  }
  const cpuNote = `ours from source: ${show(cpuMs)} of CPU per attach, kernel and after-work included`;
  return withNotes(rows, [oursNote("from source", mine), cpuNote, ...informative]);
}

function measured(
  { id, name, atMost }: PeerRow,
  { what, mine, their, notes }: { what: string; mine: Summary; their: Summary; notes: string[] },
): Row {
  return {
    state: "measured",
    id,
    what,
    ours: ms(mine.p50),
    peer: { name, quantity: ms(their.p50) },
    budget: { kind: "ratio", atMost: atMost! },
    notes,
  };
}

function withNotes(rows: readonly Row[], more: readonly string[]): Row[] {
  return rows.map((row, i) =>
    i === 0 && row.state === "measured" ? { ...row, notes: [...more, ...row.notes] } : row
  );
}

function oursNote(how: string, { count, min, p50, p99, max }: Summary): string {
  return `ours ${how}, from call to durable reply: ${count} attaches, min ${show(min)}, ` +
    `p50 ${show(p50)}, p99 ${show(p99)}, max ${show(max)}`;
}

function ratioNote(name: string, mine: Summary, their: Summary): string {
  return `ours against ${name}: 1/${(their.p50 / mine.p50).toFixed(1)}, not budgeted`;
}

async function peerNotes({ name, peer }: PeerRow, their: Summary): Promise<string[]> {
  const idle: number[] = [];
  for (let i = 0; i < IDLE_RUNS; i++) {
    const run = await peer.prepareIdle();
    idle.push(await timed(() => runPeer(run)));
  }
  const start = median(idle);
  const { min, p50, p99 } = their;
  return [
    `${name}, from spawn to exit, nothing on disk synced: min ${show(min)}, p50 ${show(p50)}, p99 ${
      show(p99)
    }`,
    `${name}: starting the same program for nothing ${show(start)}, so its own work ${show(p50 - start)}`,
  ];
}

async function ourContender(daemon: BenchDaemon, rounds: number): Promise<Contender> {
  const services = await daemon.addServices(rounds + WARM_UP);
  const detail = (await daemon.client.status(true)).detail!;
  const gateway = detail.services.find(({ name }) => name === services[0])!.gateway;
  const attach = (container: Container, n: number): Promise<number> =>
    timed(() =>
      daemon.client.attachContainer({
        handle: { platform: "linux_pid", pid: container.pid },
        service: services[n]!,
        joinGlobal: false,
      })
    );
  return { gateway, samples: [], attach };
}

function peerContender(peer: Peer): Contender {
  const attach = async (container: Container, n: number): Promise<number> => {
    const run: PeerRun = await peer.prepare(container, n);
    return await timed(() => runPeer(run));
  };
  return { gateway: peer.gateway, samples: [], attach };
}

/**
 * The contenders take turns, another one first each time. A turn is a block of attaches, so that each is measured
 * at work and not while it fetches its code back into the processor's caches.
 */
async function takeTurns(contenders: readonly Contender[], plan: AttachPlan): Promise<void> {
  for (const contender of contenders) await warmUp(contender, plan);
  const blocks = Math.ceil(plan.rounds / BLOCK);
  for (let block = 0; block < blocks; block++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(block + turn) % contenders.length]!;
      const end = Math.min(plan.rounds, (block + 1) * BLOCK);
      for (let n = block * BLOCK; n < end; n++) {
        await rest();
        contender.samples.push(await contender.attach(plan.containers.takeOne(), WARM_UP + n));
      }
    }
  }
}

async function warmUp(contender: Contender, { containers }: AttachPlan): Promise<void> {
  for (let n = 0; n < WARM_UP; n++) {
    const container = containers.takeOne();
    await contender.attach(container, n);
    if (n === 0) await checkReach(container, contender.gateway);
  }
}

/** Nobody is timed who does not connect the container. */
async function checkReach(container: Container, gateway: string): Promise<void> {
  if (await container.ping(gateway)) return;
  throw new Error(`an attached container does not reach its gateway ${gateway}`);
}

function missingPrograms({ programs }: Peer): string[] {
  return programs.filter((program) => findProgram(program) === undefined);
}

function ms(value: number): Quantity {
  return { value, unit: "ms" };
}

function show(value: number): string {
  return `${value.toFixed(2)} ms`;
}
