/** The output of a child process, line by line. */

/** Reads lines of a stream; each is seen once. */
export class ChildLines {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(output: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = output.pipeThrough(new TextDecoderStream()).getReader();
  }

  /**
   * Reads on to a line that contains the text.
   *
   * @throws {Error} If the output ends first.
   */
  async until(text: string): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) throw new Error(`the output ended before ${JSON.stringify(text)}`);
        this.#rest += value;
        continue;
      }
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 1);
      if (line.includes(text)) return line;
    }
  }

  /** Reads to the end of the output and forgets it. */
  async drain(): Promise<void> {
    while (!(await this.#reader.read()).done);
  }

  /** Gives the rest of the output up. */
  async close(): Promise<void> {
    await this.#reader.cancel();
  }
}
