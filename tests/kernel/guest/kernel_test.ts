/** What the guest of the kernel rig has to offer: shown once here, relied upon by the tests beside it. */
import { assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";

function run(program: string, ...args: string[]): string {
  const { code, stdout, stderr } = new Deno.Command(program, { args }).outputSync();
  assertEquals(code, 0, `${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("the guest's kernel makes a WireGuard link that wg can show", () => {
  run("ip", "link", "add", "ztwg0", "type", "wireguard");
  try {
    run("wg", "set", "ztwg0", "listen-port", "51999");
    assertMatch(run("wg", "show", "ztwg0"), /listening port: 51999/);
    const [link] = JSON.parse(run("ip", "-json", "-details", "link", "show", "ztwg0"));
    assertEquals(link.linkinfo.info_kind, "wireguard");
  } finally {
    run("ip", "link", "del", "ztwg0");
  }
});

Deno.test("Deno in the guest calls libc by FFI", () => {
  const libc = Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } });
  try {
    assertEquals(libc.symbols.getpid(), Deno.pid);
  } finally {
    libc.close();
  }
});

Deno.test("the guest keeps an SQLite database in WAL mode", async () => {
  const dir = await Deno.makeTempDir();
  using database = new DatabaseSync(`${dir}/state.db`);
  const row = database.prepare("PRAGMA journal_mode = WAL").get();
  assertEquals(row?.journal_mode, "wal");
  database.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  assertEquals(database.prepare("SELECT count(*) AS n FROM t").get()?.n, 1);
});
