/** A program that keeps one of everything that the fakes count: what the reports are worth. */
import { openIpHelper } from "../../../ffi/iphlpapi.ts";
import { callHcn, openComputeNetwork, systemPaths } from "../../../ffi/computenetwork.ts";
import { ChangeSignal } from "../../../ffi/windows/change_signal.ts";
import { encodeUnicastAddress } from "../../../ffi/windows/unicast_address_row.ts";
import { Wintun } from "../../../ffi/wintun.ts";
import { NAMESPACE_DOCUMENT, NAMESPACE_ID, V2 } from "./hcn_examples.ts";

const root = Deno.env.get("SystemRoot")!;
const ipHelper = `${root}\\System32\\iphlpapi.dll`;
const library = openComputeNetwork(systemPaths(root));
await callHcn({ ...library, freeText: () => {} }, { fn: "HcnEnumerateNetworks", text: JSON.stringify(V2) });
await callHcn(library, {
  fn: "HcnCreateNamespace",
  id: NAMESPACE_ID,
  text: JSON.stringify(NAMESPACE_DOCUMENT),
});
const helper = openIpHelper(ipHelper);
new ChangeSignal(ipHelper);
const wintun = Wintun.open([`${Deno.env.get("ProgramData")}\\ZLayer\\wintun\\wintun.dll`]);
const adapter = await wintun.create("zl-leak-g", { tunnelType: "ZLayer", guid: crypto.randomUUID() });
adapter.startSession(0x2_0000);
const row = { luid: adapter.luid, address: Uint8Array.of(10, 9, 9, 9), prefixLength: 24 };
if (helper.createAddress(encodeUnicastAddress(row)) !== 0) throw new Error("no address");
Deno.exit(0);
