import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS, SERVE_FLAGS } from "../../../core/cli/commands.ts";
import * as codes from "../../../core/cli/exit_codes.ts";
import type { FlagSpec } from "../../../core/cli/flags.ts";
import { type CommandLine, parseCommandLine } from "../../../core/cli/parse.ts";
import { readEnvironment } from "../../../core/environment.ts";

const SERVE = {
  kind: "serve",
  service: false,
  cleanupOnExit: false,
  removeAbandoned: false,
  logFormat: "text",
  wireguard: "auto",
} as const;

Deno.test("parseCommandLine() accepts [daemon 18]", async (t) => {
  const cases: { args: string[]; want: CommandLine }[] = [
    { args: [], want: SERVE },
    { args: ["--data-dir", "/x", "--socket", "/y"], want: { ...SERVE, dataDir: "/x", socket: "/y" } },
    { args: ["--data-dir=/x", "--socket=/y"], want: { ...SERVE, dataDir: "/x", socket: "/y" } },
    { args: ["--socket=/a=b"], want: { ...SERVE, socket: "/a=b" } },
    {
      args: ["--socket", "\\\\.\\pipe\\other"],
      want: { ...SERVE, socket: "\\\\.\\pipe\\other" },
    },
    { args: ["--service"], want: { ...SERVE, service: true } },
    { args: ["--remove-abandoned"], want: { ...SERVE, removeAbandoned: true } },
    { args: ["--cleanup-on-exit"], want: { ...SERVE, cleanupOnExit: true } },
    { args: ["--log-format=json"], want: { ...SERVE, logFormat: "json" } },
    { args: ["--wireguard=userspace"], want: { ...SERVE, wireguard: "userspace" } },
    { args: ["--wireguard", "kernel"], want: { ...SERVE, wireguard: "kernel" } },
    { args: ["status"], want: { kind: "status", json: false } },
    { args: ["status", "--json", "--data-dir=/x"], want: { kind: "status", json: true, dataDir: "/x" } },
    { args: ["--socket", "/y", "status"], want: { kind: "status", json: false, socket: "/y" } },
    { args: ["call", '{"op":"status"}'], want: { kind: "call", request: '{"op":"status"}' } },
    { args: ["call", "7"], want: { kind: "call", request: "7" } },
    {
      args: ["attach", "--pid", "4242", "--service", "web"],
      want: { kind: "attach", pid: 4242, service: "web", joinGlobal: false },
    },
    {
      args: [
        "attach",
        "--service=web",
        "--pid=1",
        "--join-global",
        "--dns-server=10.0.0.1",
        "--dns-domain=x",
      ],
      want: {
        kind: "attach",
        pid: 1,
        service: "web",
        joinGlobal: true,
        dnsServer: "10.0.0.1",
        dnsDomain: "x",
      },
    },
    { args: ["detach", "--pid", "4294967295"], want: { kind: "detach", pid: 4294967295 } },
    { args: ["service", "add", "web"], want: { kind: "service add", name: "web", mode: "auto" } },
    {
      args: ["service", "add", "--mode", "dedicated", "007"],
      want: { kind: "service add", name: "007", mode: "dedicated" },
    },
    { args: ["service", "install"], want: { kind: "service install", start: true } },
    {
      args: ["service", "install", "--no-start", "--data-dir", "D"],
      want: { kind: "service install", start: false, dataDir: "D" },
    },
    { args: ["service", "uninstall"], want: { kind: "service uninstall" } },
    { args: ["service", "rm", "--", "-odd"], want: { kind: "service rm", name: "-odd" } },
    { args: ["purge"], want: { kind: "purge", dryRun: false, stopDaemon: false } },
    {
      args: ["purge", "--dry-run", "--stop-daemon"],
      want: { kind: "purge", dryRun: true, stopDaemon: true },
    },
    {
      args: ["purge", "--deployment", "prod"],
      want: { kind: "purge", dryRun: false, stopDaemon: false, deployment: "prod" },
    },
  ];
  for (const { args, want } of cases) {
    await t.step(args.join(" ") || "(nothing)", () => assertEquals(parseCommandLine(args, "1.2.3"), want));
  }
});

Deno.test("parseCommandLine() refuses with one line and a hint [daemon 14] [daemon 15]", async (t) => {
  const cases: { args: string[]; says: string }[] = [
    { args: ["--bogus"], says: "unknown flag '--bogus'" },
    { args: ["--bogus=secret"], says: "unknown flag '--bogus'" },
    { args: ["-x"], says: "unknown flag '-x'" },
    { args: ["--no-service"], says: "unknown flag '--no-service'" },
    { args: ["--_", "x"], says: "unknown flag '--_'" },
    { args: ["--data-dir"], says: "flag '--data-dir' needs a value" },
    { args: ["--data-dir", ""], says: "flag '--data-dir' needs a value" },
    { args: ["--data-dir="], says: "'--data-dir" },
    { args: ["--data-dir", "--socket", "/y"], says: "flag '--data-dir' needs a value" },
    { args: ["--data-dir", "/x", "--data-dir", "/x"], says: "'--data-dir' was given more than once" },
    { args: ["--data-dir=/x", "status", "--data-dir=/x"], says: "'--data-dir' was given more than once" },
    { args: ["--service", "--service"], says: "'--service' was given more than once" },
    { args: ["--service=yes"], says: "'--service'" },
    { args: ["--log-format", "xml"], says: "--log-format must be one of text, json: 'xml'" },
    { args: ["garbage"], says: "unknown command 'garbage'" },
    { args: ["constructor"], says: "unknown command 'constructor'" },
    { args: ["/var/lib/zlayer"], says: "unknown command '/var/lib/zlayer'" },
    { args: ["--cleanup-on-exit", "status"], says: "'--cleanup-on-exit' is not for 'status'" },
    { args: ["status", "extra"], says: "unexpected argument 'extra'" },
    { args: ["status", "--dry-run"], says: "unknown flag '--dry-run'" },
    { args: ["call"], says: "'call' needs REQUEST" },
    { args: ["service"], says: "'service' needs 'add NAME', 'rm NAME', 'install' or 'uninstall'" },
    { args: ["service", "list"], says: "'service' needs 'add NAME', 'rm NAME', 'install' or 'uninstall'" },
    { args: ["service", "install", "web"], says: "unexpected argument 'web'" },
    { args: ["service", "uninstall", "--no-start"], says: "unknown flag '--no-start'" },
    { args: ["service", "add"], says: "'service add' needs NAME" },
    { args: ["service", "add", "web", "--mode", "x"], says: "--mode must be one of" },
    { args: ["attach", "--service", "web"], says: "flag '--pid' is required" },
    { args: ["attach", "--pid", "1"], says: "'attach' needs --service NAME" },
    { args: ["detach", "--pid", "0"], says: "not a process id: '0'" },
    { args: ["detach", "--pid", "4294967296"], says: "not a process id" },
    { args: ["detach", "--pid", "1e3"], says: "not a process id" },
    { args: ["detach", "--pid", "-1"], says: "'--pid'" },
  ];
  for (const { args, says } of cases) {
    await t.step(args.join(" "), () => {
      const got = parseCommandLine(args, "1.2.3");
      assert(got.kind === "usage", JSON.stringify(got));
      assertStringIncludes(got.text, says);
      assertMatch(got.text, /^error: [^\n]+\nTry 'zlayer-overlayd [a-z -]*--help'\.\n$/);
    });
  }
});

Deno.test("parseCommandLine() prints version and help [daemon 16]", () => {
  for (const flag of ["--version", "-V"]) {
    assertEquals(parseCommandLine([flag], "1.2.3"), { kind: "print", text: "zlayer-overlayd 1.2.3\n" });
  }
  for (const flag of ["--help", "-h"]) {
    const got = parseCommandLine([flag], "1.2.3");
    assert(got.kind === "print");
    for (const name of ["--data-dir", "--socket", "--cleanup-on-exit", ...COMMANDS.map(({ name }) => name)]) {
      assertStringIncludes(got.text, name);
    }
    assert(!/--service\b/.test(got.text), "the hidden flag is shown");
  }
});

Deno.test("every command has help that names all its flags", () => {
  for (const command of COMMANDS) {
    const got = parseCommandLine([...command.name.split(" "), "--help"], "1.2.3");
    assert(got.kind === "print", JSON.stringify(got));
    for (const flag of command.flags) assertStringIncludes(got.text, `--${flag.name}`);
    for (const line of got.text.split("\n")) assert(line.length <= 110, line);
  }
});

function readDocument(path: string): Promise<string> {
  return Deno.readTextFile(new URL(`../../../${path}`, import.meta.url));
}

Deno.test("README.md has every flag of the daemon, docs/operator.md every one of the commands", async () => {
  const [readme, operator] = [await readDocument("README.md"), await readDocument("docs/operator.md")];
  const shown = (flags: readonly FlagSpec[]): FlagSpec[] =>
    flags.filter(({ name, help }) => help !== undefined && name !== "help" && name !== "version");
  for (const { name } of shown(SERVE_FLAGS)) assertMatch(readme, new RegExp(`^\\| \`--${name}\\b`, "m"));
  for (const { flags } of COMMANDS) {
    for (const { name } of shown(flags)) {
      assertMatch(operator, new RegExp(`\`[^\`\\n]*--${name}\\b[^\`\\n]*\``));
    }
  }
});

Deno.test("docs/operator.md has every environment variable that is read, and --help those of our own", async () => {
  const section = /^## Environment\n(.*?)^## /ms.exec(await readDocument("docs/operator.md"))![1]!;
  const documented = [...section.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]!);
  assertEquals(documented.toSorted(), Object.keys(readEnvironment().env).toSorted());
  const help = parseCommandLine(["--help"], "1.2.3");
  assert(help.kind === "print");
  for (const name of documented.filter((name) => name.startsWith("ZLAYER_"))) {
    assertStringIncludes(help.text, name);
  }
});

Deno.test("docs/operator.md has the exit codes of exit_codes.ts and every command", async () => {
  const text = await readDocument("docs/operator.md");
  const exitCodes = /^## Exit codes\n(.*?)^## /ms.exec(text)![1]!;
  const documented = [...exitCodes.matchAll(/^\| ([0-9]) +\|/gm)].map((match) => Number(match[1]));
  assertEquals(documented, Object.values(codes).toSorted());
  for (const command of COMMANDS) assertMatch(text, new RegExp(`^\\| \`${command.name}( [^|]*)?\``, "m"));
});
