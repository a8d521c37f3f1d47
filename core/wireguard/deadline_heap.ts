/** Who has to be woken next: a binary heap in which entries know their place, so that moving one is cheap. */

/** An entry: its owner and when to wake it. */
export interface HeapEntry<T> {
  readonly value: T;
  /** Monotonic ms; `Infinity` for not at all. */
  readonly deadline: number;
}

interface Slot<T> {
  readonly value: T;
  deadline: number;
  place: number;
}

/** Entries ordered by deadline. */
export class DeadlineHeap<T> {
  readonly #slots: Slot<T>[] = [];

  /** The nearest deadline, `Infinity` when there is none. */
  get deadline(): number {
    return this.#slots[0]?.deadline ?? Infinity;
  }

  /** The entry with the nearest deadline. */
  get first(): HeapEntry<T> | undefined {
    return this.#slots[0];
  }

  /** Adds an entry that is not to be woken yet. */
  add(value: T): HeapEntry<T> {
    const slot = { value, deadline: Infinity, place: this.#slots.length };
    this.#slots.push(slot);
    return slot;
  }

  /** Moves a deadline. An entry that was removed stays out. @param entry One that this heap has added. */
  set(entry: HeapEntry<T>, deadline: number): void {
    const slot = entry as Slot<T>;
    if (this.#slots[slot.place] !== slot) return;
    slot.deadline = deadline;
    this.#sink(this.#rise(slot.place));
  }

  /** Takes an entry out. Twice is fine. */
  remove(entry: HeapEntry<T>): void {
    const slot = entry as Slot<T>;
    if (this.#slots[slot.place] !== slot) return;
    const last = this.#slots.pop()!;
    if (last !== slot) {
      this.#put(last, slot.place);
      this.#sink(this.#rise(last.place));
    }
    slot.place = -1;
  }

  #rise(from: number): number {
    const slot = this.#slots[from]!;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#slots[parent]!.deadline <= slot.deadline) break;
      this.#put(this.#slots[parent]!, place);
      place = parent;
    }
    this.#put(slot, place);
    return place;
  }

  #sink(from: number): void {
    const slot = this.#slots[from]!;
    let place = from;
    for (;;) {
      const left = place * 2 + 1;
      const right = left + 1;
      const child = this.#at(right) < this.#at(left) ? right : left;
      if (this.#at(child) >= slot.deadline) break;
      this.#put(this.#slots[child]!, place);
      place = child;
    }
    this.#put(slot, place);
  }

  #at(place: number): number {
    return this.#slots[place]?.deadline ?? Infinity;
  }

  #put(slot: Slot<T>, place: number): void {
    this.#slots[place] = slot;
    slot.place = place;
  }
}
