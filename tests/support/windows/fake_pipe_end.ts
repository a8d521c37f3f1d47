/** One end of a pipe of the fake kernel: a queue of bytes to read, and operations that wait. */

/** How operations begin and end, as ntstatus.h has it. */
export const STATUS = {
  success: 0,
  pending: 0x103,
  pipeDisconnected: 0xc000_00b0,
  pipeClosing: 0xc000_00b1,
  pipeConnected: 0xc000_00b2,
  cancelled: 0xc000_0120,
  pipeBroken: 0xc000_014b,
} as const;

/** What the pipe holds of bytes that nobody has read, before writes wait. */
const CAPACITY = 64 * 1024;

/** An overlapped operation. */
export class Operation {
  begun = false;
  readonly #end: (status: number, bytes: number, later: boolean) => void;

  /** @param end Told how it ended, and whether that was after the call that began it. */
  constructor(end: (status: number, bytes: number, later: boolean) => void) {
    this.#end = end;
  }

  /** Ends it. */
  finish(status: number, bytes: number): void {
    this.#end(status, bytes, this.begun);
  }
}

interface PendingRead {
  readonly into: Uint8Array;
  readonly operation: Operation;
}

interface PendingWrite {
  readonly bytes: number;
  readonly operation: Operation;
}

/** An end. An instance of a server is one from its creation, without a peer at first. */
export class FakePipeEnd {
  port: bigint | undefined;
  skipsPacketWhenDone = false;
  state: "created" | "listening" | "connected" | "closing" | "closed" = "created";
  peer: FakePipeEnd | undefined;
  #connecting: Operation | undefined;
  #reads: PendingRead[] = [];
  /** Writes of this end that the other has not read enough for. */
  #writes: PendingWrite[] = [];
  /** What the other end wrote; an empty one is a write of nothing. */
  #inbox: Uint8Array[] = [];

  constructor(readonly name: string, readonly server: boolean) {}

  get connectable(): boolean {
    return this.state === "created" || this.state === "listening";
  }

  get #inboxBytes(): number {
    return this.#inbox.reduce((sum, { length }) => sum + length, 0);
  }

  /** `FSCTL_PIPE_LISTEN`. */
  listen(operation: Operation): number {
    if (this.state === "connected") return STATUS.pipeConnected;
    if (this.state === "closing") return STATUS.pipeClosing;
    this.state = "listening";
    this.#connecting = operation;
    return STATUS.pending;
  }

  /** A client has opened this instance. */
  connect(client: FakePipeEnd): void {
    [this.peer, client.peer] = [client, this];
    this.state = client.state = "connected";
    const waiting = this.#connecting;
    this.#connecting = undefined;
    waiting?.finish(STATUS.success, 0);
  }

  /** `NtReadFile`. */
  read(into: Uint8Array, operation: Operation): number {
    const bytes = this.#take(into);
    if (bytes !== undefined) {
      operation.finish(STATUS.success, bytes);
      return STATUS.success;
    }
    if (this.state !== "connected") {
      return this.state === "closing" ? STATUS.pipeBroken : STATUS.pipeDisconnected;
    }
    this.#reads.push({ into, operation });
    return STATUS.pending;
  }

  /** `NtWriteFile`. */
  write(bytes: Uint8Array, operation: Operation): number {
    const { peer } = this;
    if (this.state !== "connected" || peer === undefined) {
      return this.state === "closing" ? STATUS.pipeClosing : STATUS.pipeDisconnected;
    }
    peer.#inbox.push(bytes.slice());
    peer.#serveReads();
    if (peer.#inboxBytes <= CAPACITY) {
      operation.finish(STATUS.success, bytes.length);
      return STATUS.success;
    }
    this.#writes.push({ bytes: bytes.length, operation });
    return STATUS.pending;
  }

  /** Whether there was something to cancel. */
  cancel(): boolean {
    const operations = this.#pending();
    for (const operation of operations) operation.finish(STATUS.cancelled, 0);
    return operations.length > 0;
  }

  /** What the other end has not read is lost. */
  disconnect(): void {
    if (this.peer) this.peer.#inbox = [];
    this.#leave();
    this.state = "created";
  }

  /** `CloseHandle`. What the other end has not read stays readable there. */
  close(): void {
    this.#leave();
    this.state = "closed";
    for (const operation of this.#pending()) operation.finish(STATUS.pipeBroken, 0);
  }

  #leave(): void {
    const { peer } = this;
    this.peer = undefined;
    if (!peer) return;
    peer.peer = undefined;
    peer.state = "closing";
    for (const { operation } of peer.#reads.splice(0)) operation.finish(STATUS.pipeBroken, 0);
    for (const { operation } of peer.#writes.splice(0)) operation.finish(STATUS.pipeClosing, 0);
  }

  #pending(): Operation[] {
    const connecting = this.#connecting ? [this.#connecting] : [];
    this.#connecting = undefined;
    return [...connecting, ...this.#reads.splice(0), ...this.#writes.splice(0)].map((one) =>
      one instanceof Operation ? one : one.operation
    );
  }

  #serveReads(): void {
    while (this.#reads.length > 0 && this.#inbox.length > 0) {
      const { into, operation } = this.#reads.shift()!;
      operation.finish(STATUS.success, this.#take(into)!);
    }
  }

  /** Moves bytes out of the inbox; how many, or `undefined` when there is nothing to read. */
  #take(into: Uint8Array): number | undefined {
    const first = this.#inbox.shift();
    if (first === undefined) return undefined;
    let filled = Math.min(first.length, into.length);
    into.set(first.subarray(0, filled));
    if (filled < first.length) this.#inbox.unshift(first.subarray(filled));
    while (filled > 0 && filled < into.length && this.#inbox[0] !== undefined && this.#inbox[0].length > 0) {
      const next = this.#inbox.shift()!;
      const part = next.subarray(0, into.length - filled);
      into.set(part, filled);
      filled += part.length;
      if (part.length < next.length) this.#inbox.unshift(next.subarray(part.length));
    }
    this.#releaseWrites();
    return filled;
  }

  /** Ends writes of the other end, now that there is room. */
  #releaseWrites(): void {
    const { peer } = this;
    while (peer && peer.#writes.length > 0 && this.#inboxBytes <= CAPACITY) {
      const { bytes, operation } = peer.#writes.shift()!;
      operation.finish(STATUS.success, bytes);
    }
  }
}
