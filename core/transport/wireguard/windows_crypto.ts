/** Which library encrypts packets on Windows: the first of CNG, `node:crypto` and noble that passes the self-test. */

import { BcryptChaCha } from "../../../ffi/bcrypt.ts";
import { NOBLE_HANDSHAKE } from "../../wireguard/noble_provider.ts";
import { choosePacketProvider, type CipherProvider, type PacketProvider, withSubarrays } from "./crypto.ts";
import { nodeProvider } from "./node_provider.ts";

/** CNG. @throws {FfiError} On a build of Windows without this cipher. */
export function bcryptProvider(): CipherProvider {
  const packet = BcryptChaCha.open();
  return {
    ...withSubarrays({ name: "bcrypt", handshake: NOBLE_HANDSHAKE, packet }),
    close: () => packet[Symbol.dispose](),
  };
}

/** Picks the fastest provider that works on this host. */
export function chooseWindowsProvider(): PacketProvider {
  return choosePacketProvider([bcryptProvider, () => withSubarrays(nodeProvider())]);
}
