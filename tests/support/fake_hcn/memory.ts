/** What a fake HCN hands out and has to get back: strings and handles, each exactly once. */

/** An open handle. */
export interface FakeHandle {
  readonly kind: string;
  readonly id: string;
  /** Start of the service that gave it; one of an earlier start is dead. */
  readonly generation: number;
}

/** Counts every string and handle; mistakes are kept and told at the end of a case. */
export class FakeMemory {
  readonly #strings = new Map<bigint, string>();
  readonly #handles = new Map<bigint, FakeHandle>();
  readonly mistakes: string[] = [];
  /** Strings ever handed out. */
  allocated = 0;
  #next = 0x7ff0_0000_1000n;

  /** Hands out a string. */
  allocate(text: string): bigint {
    const address = this.#next += 16n;
    this.#strings.set(address, text);
    this.allocated++;
    return address;
  }

  /** Reads one that is live. */
  read(address: bigint): string {
    const text = this.#strings.get(address);
    if (text === undefined) this.mistakes.push(`read of ${address.toString(16)}, which is no live string`);
    return text ?? "";
  }

  /** Takes one back. */
  free(address: bigint): void {
    if (!this.#strings.delete(address)) {
      this.mistakes.push(`free of ${address.toString(16)}, which is no live string`);
    }
  }

  /** Hands out a handle. */
  open(handle: FakeHandle): bigint {
    const value = this.#next += 16n;
    this.#handles.set(value, handle);
    return value;
  }

  /** The object of a handle that is used. */
  handle(value: bigint, kind: string): FakeHandle | undefined {
    const handle = this.#handles.get(value);
    if (handle?.kind === kind) return handle;
    this.mistakes.push(`${kind} handle ${value.toString(16)} is not open`);
    return undefined;
  }

  /** Takes one back. */
  close(value: bigint, kind: string): void {
    if (this.handle(value, kind)) this.#handles.delete(value);
  }

  /** Whether a handle of the object is out. */
  isOpen(kind: string, id: string): boolean {
    return [...this.#handles.values()].some((handle) => handle.kind === kind && handle.id === id);
  }

  /** Everything wrong now; empty when all that was handed out has come back. */
  problems(): string[] {
    return [
      ...this.mistakes,
      ...[...this.#strings.values()].map((text) => `string not freed: ${text.slice(0, 80)}`),
      ...[...this.#handles.values()].map(({ kind, id }) => `${kind} handle of ${id} not closed`),
    ];
  }
}
