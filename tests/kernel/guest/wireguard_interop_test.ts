/** A device of ours in user space against the WireGuard of Linux. */
import { KernelEnd } from "../../support/interop/ends.ts";
import { wireguardInterop } from "../../contract/wireguard/interop.ts";

wireguardInterop({
  name: "the kernel's",
  programs: [],
  make: (host, addresses) => new KernelEnd(host, addresses),
});
