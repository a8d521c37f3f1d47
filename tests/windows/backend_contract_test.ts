/** The contract of all backends on that of Windows, as far as its system goes; `hns/contract_test.ts` has the rest. */
import { backendContract, WINDOWS, withoutDevices } from "../contract/backend_contract.ts";
import { WintunHost } from "./support/wintun_host.ts";

backendContract("WindowsBackend", () => Promise.resolve(new WintunHost()), { parts: WINDOWS });
backendContract(
  "WindowsBackend without Wintun",
  () => Promise.resolve(new WintunHost("Z:\\nowhere\\wintun.dll")),
  { parts: withoutDevices(WINDOWS) },
);
