/** Bindings in `deno.exe` against Wine's own libraries, and rows against how the fake of IP Helper starts them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { findWindowsEgress } from "../../core/backend/windows/egress.ts";
import { BcryptChaCha } from "../../ffi/bcrypt.ts";
import { FfiError } from "../../ffi/errors.ts";
import { openIpHelper } from "../../ffi/iphlpapi.ts";
import { openAdapterList } from "../../ffi/windows/adapters.ts";
import { encodeOnLinkRoute } from "../../ffi/windows/forward_row.ts";
import { canBindWindowsUdp, isPortTaken, WindowsUdpSocket } from "../../ffi/windows/udp_socket.ts";
import { encodeUnicastAddress } from "../../ffi/windows/unicast_address_row.ts";
import { WaitSet, WindowsEvent } from "../../ffi/windows/wait_set.ts";
import { openIphlpapi } from "./support/iphlpapi_calls.ts";

const SYSTEM_IPHLPAPI = "C:\\Windows\\System32\\iphlpapi.dll";

Deno.test("a port has one holder, and both families tell", () => {
  using socket = WindowsUdpSocket.bind(4, 0)!;
  assertEquals(canBindWindowsUdp(4, socket.port), false);
  const error = assertThrows(
    () => WindowsUdpSocket.bind(4, socket.port),
    FfiError,
    `UDP port ${socket.port}`,
  );
  assert(isPortTaken(error));
  const { port } = socket;
  socket[Symbol.dispose]();
  assertEquals(canBindWindowsUdp(4, port), true);
  assertThrows(() => socket.fd, TypeError);
});

Deno.test("a wait ends by its event, by its time, and by an error when the event is gone", () => {
  const event = new WindowsEvent("auto");
  const wait = new WaitSet([event.handle]);
  wait.wait(0);
  event.signal();
  wait.wait(Infinity);
  const before = performance.now();
  wait.wait(20);
  assert(performance.now() - before >= 10, "the event was unset by the wait that it ended");
  event[Symbol.dispose]();
  assertThrows(() => wait.wait(0), FfiError, "WaitForMultipleObjects");
});

Deno.test("[windows T81] rows start as Initialize… of Windows makes them", () => {
  const library = openIphlpapi();
  const address = new Uint8Array(80);
  library.symbols.InitializeUnicastIpAddressEntry(address);
  const ours = encodeUnicastAddress({ luid: 0n, address: new Uint8Array(4), prefixLength: 255 });
  ours.fill(0, 0, 2); // AF_INET
  ours.fill(0, 64, 68); // IpDadStatePreferred
  assertEquals(ours, address);
  const route = new Uint8Array(104);
  library.symbols.InitializeIpForwardEntry(route);
  const own = encodeOnLinkRoute({
    luid: 0n,
    destination: new Uint8Array(4),
    prefixLength: 0,
    metric: 0xffff_ffff,
  });
  own.fill(0, 12, 14); // AF_INET
  own.fill(0, 44, 46);
  own[72] = 255; // SitePrefixLength, which is not used
  own.fill(255, 88, 92); // Protocol
  assertEquals(own, route);
  library.close();
});

Deno.test("the adapters of this host are found, and its loopback among them", () => {
  const list = openAdapterList(SYSTEM_IPHLPAPI);
  const loopback = list.adapters().find(({ addresses }) =>
    addresses.some((one) => one.join(".") === "127.0.0.1")
  );
  assert(
    loopback?.isUp && loopback.description !== "",
    JSON.stringify(list.adapters(), (_, value) => String(value)),
  );
  // There is nothing but loopback in the rig.
  assertEquals(list.bestInterface(Uint8Array.of(8, 8, 8, 8)), undefined);
  assertThrows(() => findWindowsEgress(list), Error, "no adapter with an address that leads out");
});

Deno.test("aliases and LUIDs of Wine's own IP Helper are read where it has them", () => {
  assertThrows(() => openIpHelper(SYSTEM_IPHLPAPI), FfiError, "iphlpapi.dll");
});

/** What is tested of CNG here is all but the name of the cipher, which Wine lacks. */
Deno.test("CNG encrypts in place, sees forgeries, and says that Wine lacks ChaCha20-Poly1305", async () => {
  assertThrows(() => BcryptChaCha.open(), FfiError, "CHACHA20_POLY1305");
  using cipher = BcryptChaCha.open({ cipher: { algorithm: "AES", chainingMode: "ChainingModeGCM" } });
  const secret = Uint8Array.from({ length: 32 }, (_, i) => i);
  const key = cipher.importKey(secret);
  const text = new Uint8Array(1421 + 16).fill(0x5a, 0, 1421);
  cipher.seal(key, 1, 2, text);
  const nonce = Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
  const aes = await crypto.subtle.importKey("raw", secret, "AES-GCM", false, ["encrypt"]);
  const plain = new Uint8Array(1421).fill(0x5a);
  const want = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, aes, plain));
  assertEquals(text, want);
  const forged = text.slice();
  forged[700]! ^= 1;
  assertEquals([cipher.open(key, 1, 2, forged), cipher.open(key, 1, 3, text.slice())], [false, false]);
  assertEquals(cipher.open(key, 1, 2, text), true);
  assertEquals(text.subarray(0, 1421), plain);
  const nothing = new Uint8Array(16);
  cipher.seal(key, 0, 0, nothing);
  assertEquals(cipher.open(key, 0, 0, nothing), true);
  cipher.releaseKey(key);
  assertThrows(() => cipher.seal(key, 0, 0, nothing), TypeError);
});
