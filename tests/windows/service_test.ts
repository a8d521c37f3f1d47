/** The daemon as a service, under Wine's own Service Control Manager. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { OverlayError } from "../../core/errors.ts";
import { VERSION } from "../../core/version.ts";
import { SERVICE_NAME } from "../../core/windows_service/definition.ts";
import { advapi32 } from "../../ffi/windows/advapi32.ts";
import { writeEvent } from "../../ffi/windows/event_log.ts";
import { kernel32 } from "../../ffi/windows/kernel32.ts";
import { ServiceDatabase } from "../../ffi/windows/service_database.ts";
import { SERVICE_STATUS_BYTES } from "../../ffi/windows/service_status.ts";
import { encodeWide } from "../../ffi/windows/wide_string.ts";
import { FRESH_STATUS } from "../support/fake_service.ts";
import { denoArguments, ServiceRig, STATE } from "../support/windows/service_rig.ts";

/** winsvc.h */
const SERVICE_ALL_ACCESS = 0xf_01ff;

/** Runs a script in this Deno. */
async function run(script: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const path = fromFileUrl(new URL(`../../${script}`, import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: denoArguments(path, ...args),
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** Sends any control; the result is a Win32 error code. */
function control(name: string, code: number): number {
  const { OpenSCManagerW, OpenServiceW, ControlService, CloseServiceHandle } = advapi32();
  const manager = OpenSCManagerW(null, null, 1);
  const service = OpenServiceW(manager, encodeWide(name), SERVICE_ALL_ACCESS);
  const done = ControlService(service, code, new Uint8Array(SERVICE_STATUS_BYTES));
  const result = done === 0 ? kernel32().GetLastError() : 0;
  for (const handle of [service, manager]) CloseServiceHandle(handle);
  return result;
}

Deno.test("[windows T89] START_PENDING until the pipe listens, STOP_PENDING while a request is finished", async () => {
  await using rig = new ServiceRig();
  rig.put("hold-start");
  rig.start();
  assertEquals(rig.database.query(rig.name).state, STATE.startPending);
  await assertRejects(() => rig.client(), OverlayError, "no daemon listens there");
  rig.take("hold-start");
  await rig.reached(STATE.running);
  using client = await rig.client();
  assertEquals((await client.status()).overlayCidr, FRESH_STATUS.overlayCidr);
  rig.put("hold-tick");
  const ticking = client.natTick();
  await rig.seen("ticking");
  assertEquals(rig.database.stop(rig.name), 0);
  assertEquals(rig.database.query(rig.name).state, STATE.stopPending);
  rig.take("hold-tick");
  await ticking;
  assertEquals(await rig.reached(STATE.stopped), 0);
});

Deno.test("[windows T89] a request to shut down ends the service with exit code 0; it can be started again", async () => {
  await using rig = new ServiceRig("für später/日本");
  for (let i = 0; i < 2; i++) {
    rig.start();
    await rig.reached(STATE.running);
    using client = await rig.client();
    await client.shutdown();
    assertEquals(await rig.reached(STATE.stopped), 0);
  }
  const told = [
    `started zlayer-overlayd ${VERSION} runs; its data directory is ${rig.dataDir}`,
    `stopped zlayer-overlayd stopped; its data directory is ${rig.dataDir}`,
  ];
  assertEquals(rig.events(), [...told, ...told]);
  // Complete when STOPPED is reported, and the second run goes on in the same file.
  const said = rig.log().trimEnd().split("\n").map((line) => / zlayer_overlayd: (\w+)/.exec(line)?.[1]);
  const once = ["starting", "ready", "stopping", "stopped"];
  assertEquals(said.filter((word) => word !== undefined), [...once, ...once]);
});

Deno.test("[windows T89] a request to shut down is STOP_PENDING too, while another one is finished", async () => {
  await using rig = new ServiceRig();
  rig.put("hold-tick");
  rig.start();
  await rig.reached(STATE.running);
  using busy = await rig.client();
  const ticking = busy.natTick();
  await rig.seen("ticking");
  using client = await rig.client();
  await client.shutdown();
  await rig.reached(STATE.stopPending);
  rig.take("hold-tick");
  await ticking;
  assertEquals(await rig.reached(STATE.stopped), 0);
});

Deno.test("[windows T89] a stop that hangs is cut off when its time is over: STOPPED, and the log says so", async () => {
  await using rig = new ServiceRig();
  rig.put("hang-close");
  rig.start();
  await rig.reached(STATE.running);
  assertEquals(rig.database.stop(rig.name), 0);
  // Not 1067, which Windows says of a process that ends without a word.
  assertEquals(await rig.reached(STATE.stopped), 1);
  assertStringIncludes(rig.log(), "the stop took too long and is cut off limit_ms=14500");
  assertEquals(rig.events()[1], "failed the stop took more than 14500 ms and is cut off");
});

Deno.test("[windows T89] a daemon that cannot start is STOPPED with exit code 1", async () => {
  await using rig = new ServiceRig();
  rig.put("fail-start", "no network today");
  rig.start();
  assertEquals(await rig.reached(STATE.stopped), 1);
  assertStringIncludes(rig.log(), 'ERROR zlayer_overlayd: cannot run err="no network today"');
  assertEquals(rig.events(), [`failed cannot run with data directory ${rig.dataDir}: no network today`]);
});

Deno.test("a service that cannot start and has no log tells the system: its command line, its data directory", async () => {
  {
    await using rig = new ServiceRig(".", "--no-such-flag");
    rig.database.start(rig.name);
    const [event] = await rig.told(1);
    assertStringIncludes(event!, "failed cannot start: ");
    assertStringIncludes(event!, "--no-such-flag");
  }
  // What Unix refuses even to root.
  await using rig = new ServiceRig("Z:\\dev\\pts\\zt");
  rig.start();
  assertEquals(await rig.reached(STATE.stopped), 1);
  assertStringIncludes(rig.events()[0]!, "failed cannot run with data directory Z:\\dev\\pts\\zt: ");
  assertStringIncludes(rig.events()[0]!, "run as Administrator");
});

Deno.test("the event log takes what a service has to tell", () => {
  writeEvent("zt", { type: "information", id: 1, text: "für später" });
});

Deno.test("[windows T90] INTERROGATE and unknown controls are taken while a request hangs, and change nothing", async () => {
  await using rig = new ServiceRig();
  rig.put("hold-tick");
  rig.start();
  await rig.reached(STATE.running);
  using client = await rig.client();
  const ticking = client.natTick();
  await rig.seen("ticking");
  // Wine's manager does not pass on what the handler answered; the rig's own has that.
  assertEquals([control(rig.name, 4), control(rig.name, 0x80)], [0, 0]);
  assertEquals(rig.database.query(rig.name).state, STATE.running);
  rig.take("hold-tick");
  await ticking;
});

Deno.test("[windows T91] --service outside the manager says so and exits 1", async () => {
  const { code, err } = await run("tests/support/windows/service_main.ts", "--service");
  assertEquals(code, 1);
  assertStringIncludes(err, "must be started by the Service Control Manager (SCM)");
});

/** The command line in the manager's database. */
async function registered(): Promise<string> {
  const key = `HKLM\\SYSTEM\\CurrentControlSet\\Services\\${SERVICE_NAME}`;
  const { stdout } = await new Deno.Command("reg.exe", { args: ["query", key, "/v", "ImagePath"] }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("service install and uninstall: installed, replaced, removed, not there", async () => {
  using database = new ServiceDatabase({ kernel32: kernel32(), advapi32: advapi32() });
  const install = ["service", "install", "--no-start", "--data-dir", "zt data"];
  const steps = [
    { args: install, says: `${SERVICE_NAME} installed\r\n`, there: true },
    { args: install, says: `${SERVICE_NAME} replaced\r\n`, there: true },
    { args: ["service", "uninstall"], says: `${SERVICE_NAME} removed\r\n`, there: false },
    { args: ["service", "uninstall"], says: `${SERVICE_NAME} is not installed\r\n`, there: false },
  ];
  for (const { args, says, there } of steps) {
    const { code, out, err } = await run("main.ts", ...args);
    assertEquals({ code, out, err }, { code: 0, out: says.replace("\r", ""), err: "" });
    assertEquals(database.query(SERVICE_NAME).code, there ? 0 : 1060);
    if (there) assertStringIncludes(await registered(), ` --data-dir "${Deno.cwd()}\\zt data" --service`);
  }
});
