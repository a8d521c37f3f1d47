/** Containers to attach: processes that sleep, each in a fresh network namespace. */
import { Container } from "../../tests/support/test_netns.ts";

/** Started at once; more only queue for the kernel's network lock. */
const AT_ONCE = 8;

/** A set of containers that is removed as one, after the measurement: taking a namespace down costs the kernel. */
export class ContainerSet implements AsyncDisposable {
  readonly #all: Container[];
  #next = 0;

  private constructor(all: Container[]) {
    this.#all = all;
  }

  /** Starts `count` containers. */
  static async start(count: number): Promise<ContainerSet> {
    const all: Container[] = [];
    const set = new ContainerSet(all);
    let left = count;
    const lane = async (): Promise<void> => {
      while (left-- > 0) all.push(await Container.start());
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, lane));
      return set;
    } catch (error) {
      await set[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Containers that were not taken before. @throws {RangeError} If there are not as many left. */
  take(count: number): Container[] {
    const taken = this.#all.slice(this.#next, this.#next + count);
    if (taken.length < count) throw new RangeError(`${count} containers wanted, ${taken.length} left`);
    this.#next += count;
    return taken;
  }

  /** One container that was not taken before. */
  takeOne(): Container {
    return this.take(1)[0]!;
  }

  /** Kills them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((container) => container.kill()));
  }
}
