import { assert, assertEquals, assertThrows } from "@std/assert";
import { HostSysctls } from "../../../../core/backend/linux/sysctl.ts";
import { PermissionError } from "../../../../core/errors.ts";
import { SILENT_LOG } from "../../../../core/log.ts";

/** A copy of `/proc/sys/net/ipv6/conf`; `undefined` for a file that is not there. */
class FakeSysctls implements Disposable {
  readonly root = Deno.makeTempDirSync({ prefix: "zt-sysctl-" });

  set(path: string, value: string): void {
    const file = `${this.root}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(file, `${value}\n`);
  }

  get(path: string): string {
    return Deno.readTextFileSync(`${this.root}/${path}`).trim();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

Deno.test("enableIpv6Forwarding() uses the link's own switch where the kernel has one", () => {
  using files = new FakeSysctls();
  files.set("all/forwarding", "0");
  files.set("zt0/force_forwarding", "0");
  const sysctls = new HostSysctls(SILENT_LOG, files);
  sysctls.enableIpv6Forwarding("zt0");
  assertEquals([files.get("zt0/force_forwarding"), files.get("all/forwarding")], ["1", "0"]);
  assertEquals(sysctls.changed(), {});
});

Deno.test("enableIpv6Forwarding() leaves a host alone that forwards already", () => {
  using files = new FakeSysctls();
  files.set("all/forwarding", "1");
  files.set("eth0/accept_ra", "1");
  const sysctls = new HostSysctls(SILENT_LOG, files);
  sysctls.enableIpv6Forwarding("zt0");
  assertEquals([files.get("eth0/accept_ra"), sysctls.changed()], ["1", {}]);
});

Deno.test("enableIpv6Forwarding() on an old kernel keeps router advertisements working, and restore() undoes it", () => {
  using files = new FakeSysctls();
  files.set("all/forwarding", "0");
  files.set("eth0/accept_ra", "1");
  files.set("eth1/accept_ra", "0");
  const sysctls = new HostSysctls(SILENT_LOG, files);
  assert(sysctls.hasIpv6);
  sysctls.enableIpv6Forwarding("zt0");
  assertEquals(["eth0/accept_ra", "eth1/accept_ra", "all/forwarding"].map((path) => files.get(path)), [
    "2",
    "0",
    "1",
  ]);
  const changed = sysctls.changed();
  assertEquals(changed, { [`${files.root}/eth0/accept_ra`]: "1", [`${files.root}/all/forwarding`]: "0" });
  // As another process finds them in the state after a restart.
  new HostSysctls(SILENT_LOG, files).restore({ ...changed, [`${files.root}/gone/accept_ra`]: "1" });
  assertEquals([files.get("eth0/accept_ra"), files.get("all/forwarding")], ["1", "0"]);
});

Deno.test("restore() writes nothing outside the settings it knows", () => {
  using files = new FakeSysctls();
  files.set("victim", "safe");
  new HostSysctls(SILENT_LOG, { root: `${files.root}/conf` }).restore({
    [`${files.root}/victim`]: "broken",
    [`${files.root}/conf/../victim`]: "broken",
  });
  assertEquals(files.get("victim"), "safe");
});

Deno.test("a host without IPv6 has none to forward, and a setting that cannot be written says which", () => {
  using files = new FakeSysctls();
  assert(!new HostSysctls(SILENT_LOG, { root: `${files.root}/none` }).hasIpv6);
  Deno.mkdirSync(`${files.root}/zt0`);
  files.set("all/forwarding", "0");
  const sysctls = new HostSysctls(SILENT_LOG, files);
  files.set("zt0/force_forwarding", "0");
  const write = Deno.writeTextFileSync;
  Deno.writeTextFileSync = (): never => {
    throw new Deno.errors.PermissionDenied("planted");
  };
  try {
    assertThrows(() => sysctls.enableIpv6Forwarding("zt0"), PermissionError, "zt0/force_forwarding: planted");
  } finally {
    Deno.writeTextFileSync = write;
  }
});
