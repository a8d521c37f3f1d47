/**
 * One end of a {@linkcode TcpFlow}, as a process in the network namespace of a container.
 *
 * `listen <address>`: prints `port <n>`, takes one connection, prints `received <bytes>` as it goes, and at the
 * end of the flow `end <bytes> intact|broken`.
 * `send <address> <port> <bytes per second>`: sends until SIGTERM (0: as fast as it can), then finishes the flow
 * and prints `sent <bytes>`.
 */
import { PATTERN, PatternCheck } from "./flow_pattern.ts";
import { print } from "./process.ts";

/** Shortest time between two lines of progress. */
const REPORT_MS = 20;

async function listen(hostname: string): Promise<void> {
  using listener = Deno.listen({ hostname, port: 0 });
  print(`port ${listener.addr.port}`);
  using connection = await listener.accept();
  const check = new PatternCheck();
  const buffer = new Uint8Array(256 * 1024);
  let reported = 0;
  for (let count = 0; count !== null; count = await connection.read(buffer) as number) {
    check.push(buffer.subarray(0, count));
    if (performance.now() - reported < REPORT_MS) continue;
    reported = performance.now();
    print(`received ${check.bytes}`);
  }
  print(`end ${check.bytes} ${check.isIntact ? "intact" : "broken"}`);
}

async function send(hostname: string, port: number, bytesPerSecond: number): Promise<void> {
  let isOver = false;
  Deno.addSignalListener("SIGTERM", () => isOver = true);
  using connection = await Deno.connect({ hostname, port });
  let sent = 0;
  for (const start = performance.now(); !isOver;) {
    for (let done = 0; done < PATTERN.length;) done += await connection.write(PATTERN.subarray(done));
    sent += PATTERN.length;
    const due = bytesPerSecond === 0 ? 0 : start + sent / bytesPerSecond * 1_000;
    if (due > performance.now()) await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
  }
  await connection.closeWrite();
  print(`sent ${sent}`);
}

if (import.meta.main) {
  const [role, address = "", port, rate] = Deno.args;
  await (role === "listen" ? listen(address) : send(address, Number(port), Number(rate)));
  Deno.exit(0);
}
