/** Runs the commands that talk to a daemon. Each resolves to the process's exit code. */
import { EXIT_FAILURE, EXIT_OK, EXIT_USAGE } from "../cli/exit_codes.ts";
import type { OperatorCommand } from "../cli/parse.ts";
import { describeError } from "../errors.ts";
import type { Body, OperatorContext } from "./client.ts";
import { explainConnectFailure, readSocketFacts } from "./connect_failure.ts";
import { readNumber, readText } from "./read.ts";
import { statusText } from "./status_text.ts";
import { statusView } from "./status_view.ts";
import { cell } from "./text.ts";

/** Every command that talks to a daemon. */
export type ClientCommand = Exclude<
  OperatorCommand,
  { readonly kind: "purge" | "service install" | "service uninstall" }
>;

/** Runs one command over one connection. */
export async function runClientCommand(command: ClientCommand, context: OperatorContext): Promise<number> {
  const request = requestOf(command, context);
  if (typeof request === "string") {
    await context.err(`error: ${request}\nTry 'zlayer-overlayd ${command.kind} --help'.\n`);
    return EXIT_USAGE;
  }
  const reply = await exchange(request, context);
  if (typeof reply === "number") return reply;
  if (command.kind === "call") {
    await context.out(context.json.stringify(reply) + "\n");
    return reply["result"] === "err" ? EXIT_FAILURE : EXIT_OK;
  }
  if (reply["result"] === "err") {
    await context.err(`error: ${cell(readText(reply, "message"))}\n`);
    return EXIT_FAILURE;
  }
  await context.out(describeReply(command, reply, context));
  return EXIT_OK;
}

/** The request of a command, or why it makes none. */
function requestOf(command: ClientCommand, context: OperatorContext): Body | string {
  switch (command.kind) {
    case "status":
      return { op: "status", detail: true };
    case "call":
      return parseRequest(command.request, context);
    case "attach":
      return {
        op: "attach_container",
        handle: { platform: "linux_pid", pid: command.pid },
        service: command.service,
        join_global: command.joinGlobal,
        ...(command.dnsServer === undefined ? {} : { dns_server: command.dnsServer }),
        ...(command.dnsDomain === undefined ? {} : { dns_domain: command.dnsDomain }),
      };
    case "detach":
      return { op: "detach_container", handle: { platform: "linux_pid", pid: command.pid } };
    case "service add":
      return { op: "setup_service_overlay", service: command.name, mode: command.mode };
    case "service rm":
      return { op: "teardown_service_overlay", service: command.name };
  }
}

function parseRequest(text: string, context: OperatorContext): Body | string {
  let request: unknown;
  try {
    request = context.json.parse(text);
  } catch (error) {
    return `REQUEST is not JSON: ${describeError(error)}`;
  }
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    return "REQUEST must be a JSON object";
  }
  if (typeof (request as Body)["op"] !== "string") return `REQUEST needs a member "op"`;
  return request as Body;
}

/** Connects, asks, closes. A number is the exit code of a failure that has been told. */
async function exchange(request: Body, context: OperatorContext): Promise<Body | number> {
  let client;
  try {
    client = await context.connect();
  } catch (error) {
    const facts = await readSocketFacts(context.socket, ["/var/run/zlayer-overlayd.sock"]);
    const failure = explainConnectFailure(context.socket, error, facts);
    await context.err(failure.text);
    return failure.exitCode;
  }
  try {
    return await client.call(request);
  } catch (error) {
    await context.err(`error: no answer from ${context.socket}: ${describeError(error)}\n`);
    return EXIT_FAILURE;
  } finally {
    client.close();
  }
}

function describeReply(command: ClientCommand, reply: Body, context: OperatorContext): string {
  switch (command.kind) {
    case "status": {
      const view = statusView(reply, context.socket);
      return command.json ? JSON.stringify(view, null, 2) + "\n" : statusText(view, context.wallSeconds());
    }
    case "attach":
      return `${cell(readText(reply, "ip"))}\n`;
    case "service add":
      return serviceLine(reply);
    default:
      return "ok\n";
  }
}

/** One line: the interface, and for a dedicated service its address, subnet and port. */
function serviceLine(reply: Body): string {
  const parts = [
    readText(reply, "name"),
    readText(reply, "mode"),
    readText(reply, "overlay_ip"),
    readText(reply, "subnet"),
    readNumber(reply, "wg_port"),
  ];
  return parts.filter((part) => part !== null).map(cell).join(" ") + "\n";
}
