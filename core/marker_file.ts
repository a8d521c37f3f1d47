/**
 * The marker on disk: read, change, save; one writer at a time, and never half a file.
 *
 * A save writes `agent_network.json.tmp` beside the file, syncs it, renames it over and syncs the directory.
 * Whatever dies in between, the file is the old one or the new one.
 */

import { dirname } from "@std/path";
import { describeError } from "./errors.ts";
import {
  decodeMarker,
  EMPTY_MARKER,
  encodeMarker,
  type Marker,
  type MarkerEntry,
  removeNetwork,
  upsertNetwork,
} from "./marker.ts";
import { HOST_FILES, type PrivateFileSystem } from "./private_files.ts";

/** What {@linkcode MarkerFile} works with. */
export interface MarkerFileOptions {
  readonly log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
  /** The host's files unless a test brings its own. */
  readonly files?: PrivateFileSystem;
}

/** The marker at one path. */
export class MarkerFile {
  readonly #log: MarkerFileOptions["log"];
  readonly #files: PrivateFileSystem;
  /** End of the queue of changes. */
  #idle: Promise<unknown> = Promise.resolve();

  /** @param path Of the file, `<data dir>/agent_network.json`. Nothing is touched yet. */
  constructor(readonly path: string, options: MarkerFileOptions) {
    this.#log = options.log;
    this.#files = options.files ?? HOST_FILES;
  }

  /** Reads the marker. A missing file is an empty marker; so is a bad one, with a warning. */
  async load(): Promise<Marker> {
    try {
      return (await this.#read()).marker;
    } catch (error) {
      this.#log.warn("cannot read the network marker, which counts as empty", {
        path: this.path,
        err: describeError(error),
      });
      return EMPTY_MARKER;
    }
  }

  /**
   * Changes the marker.
   *
   * @param change Gives the marker as it shall be; the same object where nothing has to be written.
   * @returns Whether it is on disk; a failure is a warning and no reason to stop.
   */
  async update(change: (marker: Marker) => Marker): Promise<boolean> {
    return await this.#change(change) !== undefined;
  }

  /**
   * Enters a network in place of its owner's former entry.
   *
   * @returns As {@linkcode MarkerFile.update}.
   */
  upsert(entry: MarkerEntry): Promise<boolean> {
    return this.update((marker) => upsertNetwork(marker, entry));
  }

  /**
   * Takes an owner's network out.
   *
   * @returns The entry that is gone from the disk, if there was one.
   */
  async remove(owner: string): Promise<MarkerEntry | undefined> {
    let removed: MarkerEntry | undefined;
    const saved = await this.#change((marker) => {
      const result = removeNetwork(marker, owner);
      removed = result.removed;
      return result.marker;
    });
    return saved && removed;
  }

  /** Runs one change after all earlier ones; `undefined` if it could not be saved. */
  #change(change: (marker: Marker) => Marker): Promise<Marker | undefined> {
    const run = this.#idle.then(() => this.#rewrite(change));
    this.#idle = run;
    return run;
  }

  async #rewrite(change: (marker: Marker) => Marker): Promise<Marker | undefined> {
    try {
      const { marker, bad } = await this.#read();
      const changed = change(marker);
      if (changed === marker) return marker;
      if (bad) await this.#files.rename(this.path, `${this.path}.bad`);
      await this.#save(changed);
      return changed;
    } catch (error) {
      this.#log.warn("cannot save the network marker", { path: this.path, err: describeError(error) });
      return undefined;
    }
  }

  /** @throws If the file cannot be read: what it holds is not known then, and not to be replaced. */
  async #read(): Promise<{ marker: Marker; bad: boolean }> {
    const text = await this.#files.readTextFile(this.path);
    try {
      return { marker: text === undefined ? EMPTY_MARKER : decodeMarker(text), bad: false };
    } catch (error) {
      this.#log.warn("the network marker is unreadable and counts as empty; a new one will not erase it", {
        path: this.path,
        err: describeError(error),
      });
      return { marker: EMPTY_MARKER, bad: true };
    }
  }

  async #save(marker: Marker): Promise<void> {
    const directory = dirname(this.path);
    const temporary = `${this.path}.tmp`;
    await this.#files.ensureDirectory(directory);
    await this.#files.writeFile(temporary, encodeMarker(marker));
    await this.#files.rename(temporary, this.path);
    await this.#files.syncDirectory(directory);
  }
}
