/**
 * Deletion of links, many at once.
 *
 * Deleting a veth pair costs the kernel some 20 ms, nearly all of it waiting, and as long for a hundred in one
 * request. So requests that come within a few milliseconds are put into one group (`IFLA_GROUP`) and the group is
 * deleted as a whole, on another thread.
 */

import { NetlinkError } from "../../../ffi/errors.ts";
import type { LinkSummary } from "../../../ffi/netlink/link.ts";
import { TeardownError } from "../../errors.ts";
import type { OwnerTag } from "../backend.ts";
import { isGone, translate } from "./kernel_errors.ts";
import { isOwnedBy } from "./ownership.ts";
import { deleteLink, setLink } from "./requests.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** A link to remove if it carries the tag. */
export interface Removal {
  readonly name: string;
  readonly tag: OwnerTag;
}

interface Pending {
  readonly removal: Removal;
  readonly settle: (error?: unknown) => void;
}

/** Time to wait for more before a deletion starts. */
const GATHER_MS = 3;
/** Links per deletion: bounds how long the kernel's one network lock is held. */
const BATCH_MAX_LINKS = 128;
/** First of 65,536 groups to delete by ("zm"); the one used is empty before. */
const FIRST_GROUP = 0x7a6d_0000;

/** See the module. Owns a connection of its own, since the kernel is busy on it for long. */
export class LinkRemover implements Disposable {
  readonly #net: RtNetlink;
  readonly #queue: Pending[] = [];
  #running = false;
  #closed = false;

  readonly #pickGroup: () => number;

  /** Takes the connection over. @param options `pickGroup`: where to begin looking for an empty group. */
  constructor(net: RtNetlink, options: { readonly pickGroup?: () => number } = {}) {
    this.#net = net;
    this.#pickGroup = options.pickGroup ?? randomGroup;
  }

  /**
   * Removes links. Those that are gone, or carry another tag, are passed over.
   *
   * @throws {TeardownError} If some could not be removed; all were tried.
   */
  async remove(removals: readonly Removal[]): Promise<void> {
    const results = await Promise.allSettled(removals.map((removal) => this.#enqueue(removal)));
    const errors = results.filter((result) => result.status === "rejected").map((result) => result.reason);
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new TeardownError("cannot remove all links", errors);
  }

  /** Ends the connection once what runs is done. */
  [Symbol.dispose](): void {
    this.#closed = true;
    if (!this.#running) this.#net[Symbol.dispose]();
  }

  #enqueue(removal: Removal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: unknown): void => error === undefined ? resolve() : reject(error);
      this.#queue.push({ removal, settle });
      if (!this.#running) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
      await this.#removeBatch(this.#queue.splice(0, BATCH_MAX_LINKS));
    }
    this.#running = false;
    if (this.#closed) this.#net[Symbol.dispose]();
  }

  /** Settles every one of the batch; does not throw. */
  async #removeBatch(batch: readonly Pending[]): Promise<void> {
    try {
      const { owned, links } = this.#lookUp(batch);
      const errors = owned.size === 0
        ? new Map<string, unknown>()
        : await this.#deleteLinks([...owned.values()], links);
      for (const { removal, settle } of batch) settle(errors.get(removal.name));
    } catch (error) {
      for (const { removal, settle } of batch) settle(translate(`remove link ${removal.name}`, error));
    }
  }

  /** Links of the batch that are there and carry their tags, by name; and all links if they had to be listed. */
  #lookUp(batch: readonly Pending[]): { owned: Map<string, LinkSummary>; links: readonly LinkSummary[] } {
    const single = batch.length === 1 ? this.#net.findLink(batch[0]!.removal.name) : undefined;
    const links = batch.length === 1 ? (single ? [single] : []) : this.#net.links();
    const byName = new Map(links.map((link) => [link.name, link]));
    const owned = new Map<string, LinkSummary>();
    for (const { removal } of batch) {
      const link = byName.get(removal.name);
      if (link && isOwnedBy(link, removal.tag)) owned.set(removal.name, link);
    }
    return { owned, links };
  }

  /** @returns Errors by name of link. */
  async #deleteLinks(
    targets: readonly LinkSummary[],
    all: readonly LinkSummary[],
  ): Promise<Map<string, unknown>> {
    if (targets.length > 1) {
      const group = emptyGroup(all, this.#pickGroup());
      const marked = this.#net.tryExecute(
        targets.map((link) => setLink(link.name!, { index: link.index }, { group })),
      );
      const refused = marked.some((error) => error !== undefined && !isGone(error));
      if (!refused) {
        const [error] = await this.#net.tryExecuteInBackground([deleteLink("group", { group })]);
        if (error === undefined || isGone(error)) return new Map();
      }
    }
    return await this.#deleteOneByOne(targets);
  }

  /** What is left to do if the kernel refuses a group as a whole. */
  async #deleteOneByOne(targets: readonly LinkSummary[]): Promise<Map<string, unknown>> {
    const requests = targets.map((link) => deleteLink(link.name!, { index: link.index }));
    const outcomes = await this.#net.tryExecuteInBackground(requests);
    const failed = outcomes.flatMap((error, i): [string, unknown][] =>
      error instanceof NetlinkError && !isGone(error)
        ? [[targets[i]!.name!, translate(`remove link ${targets[i]!.name}`, error)]]
        : []
    );
    return new Map(failed);
  }
}

function randomGroup(): number {
  return FIRST_GROUP + crypto.getRandomValues(new Uint16Array(1))[0]!;
}

/** The first group from `from` on that no link is in: deleting by it must hit ours alone. */
function emptyGroup(links: readonly LinkSummary[], from: number): number {
  const used = new Set(links.map((link) => link.group));
  let group = from;
  while (used.has(group)) group++;
  return group;
}
