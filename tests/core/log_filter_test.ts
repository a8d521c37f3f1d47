import { assertEquals } from "@std/assert";
import { isLogged, levelOf, parseLogFilter } from "../../core/log_filter.ts";

function level(filter: string | undefined, target: string): string {
  return levelOf(parseLogFilter(filter), target);
}

Deno.test("parseLogFilter() reads levels, for all and for targets", () => {
  const cases: { filter: string | undefined; target: string; want: string }[] = [
    { filter: undefined, target: "ipc", want: "info" },
    { filter: "", target: "ipc", want: "info" },
    { filter: " , ", target: "ipc", want: "info" },
    { filter: "info", target: "ipc", want: "info" },
    { filter: "WARN", target: "ipc", want: "warn" },
    { filter: "4", target: "ipc", want: "debug" },
    { filter: "off", target: "ipc", want: "off" },
    { filter: "debug,ipc=trace", target: "ipc", want: "trace" },
    { filter: "debug,ipc=trace", target: "engine", want: "debug" },
    { filter: " ipc = trace ".replaceAll(" = ", "=") + ", warn", target: "engine", want: "warn" },
    { filter: "ipc=debug", target: "engine", want: "off" },
    { filter: "ipc", target: "ipc", want: "trace" },
    { filter: "error,ipc=off", target: "ipc", want: "off" },
    // The most specific target wins, the later of equal ones.
    { filter: "ipc::server=warn,ipc=debug", target: "ipc::server", want: "warn" },
    { filter: "ipc::server=warn,ipc=debug", target: "ipc::client", want: "debug" },
    { filter: "ipc=warn,ipc=debug", target: "ipc", want: "debug" },
    { filter: "info,warn", target: "ipc", want: "warn" },
    { filter: "warn,ipc=debug", target: "ipc.server", want: "debug" },
    { filter: "warn,ip=debug", target: "ipc", want: "warn" },
    // The program's own name is what everything is below.
    { filter: "zlayer_overlayd=debug", target: "ipc", want: "debug" },
    { filter: "warn,zlayer_overlayd::ipc=debug", target: "ipc", want: "debug" },
    { filter: "warn,ipc=debug", target: "zlayer-overlayd::ipc", want: "debug" },
    { filter: "zlayer-overlayd", target: "engine", want: "trace" },
    // What cannot be read means info.
    { filter: "ipc=loud", target: "ipc", want: "info" },
    { filter: "debug,=trace", target: "ipc", want: "info" },
    { filter: "a=b=c", target: "ipc", want: "info" },
    { filter: "[span{x=1}]=debug", target: "ipc", want: "info" },
    { filter: "debug/regex", target: "ipc", want: "info" },
  ];
  for (const { filter, target, want } of cases) {
    assertEquals(level(filter, target), want, `${filter} for ${target}`);
  }
});

Deno.test("isLogged() passes a level and all above it", () => {
  const filter = parseLogFilter("info,ipc=off");
  assertEquals(
    ["error", "warn", "info", "debug", "trace"].map((one) => isLogged(filter, "engine", one as "info")),
    [
      true,
      true,
      true,
      false,
      false,
    ],
  );
  assertEquals(isLogged(filter, "ipc", "error"), false);
  assertEquals(isLogged(filter, "engine", "off"), false);
});
