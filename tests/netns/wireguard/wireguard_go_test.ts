/** A device of ours against Debian's wireguard-go. */
import { WireGuardGoEnd } from "../../support/interop/ends.ts";
import { wireguardInterop } from "../../contract/wireguard/interop.ts";

wireguardInterop({
  name: "wireguard-go",
  programs: ["wireguard-go"],
  make: (host, addresses) => new WireGuardGoEnd(host, addresses),
});
