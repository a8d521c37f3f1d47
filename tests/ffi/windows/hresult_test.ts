/** HRESULTs of HCN. */
import { assert, assertEquals } from "@std/assert";
import { HcnError } from "../../../ffi/errors.ts";
import { describeHresult, type HresultClass, hresultClass, succeeded } from "../../../ffi/windows/hresult.ts";

const ROWS: readonly [code: number, symbol: string, kind: HresultClass][] = [
  [0x00000000, "S_OK", "ok"],
  [0x80070005, "E_ACCESSDENIED", "access-denied"],
  [0x80070057, "E_INVALIDARG", "error"],
  [0x80070490, "ERROR_NOT_FOUND", "not-found"],
  [0x80004001, "E_NOTIMPL", "error"],
  [0x800706ba, "RPC_S_SERVER_UNAVAILABLE", "transient"],
  [0x800706be, "RPC_S_CALL_FAILED", "transient"],
  [0x803b0001, "HCN_E_NETWORK_NOT_FOUND", "not-found"],
  [0x803b0002, "HCN_E_ENDPOINT_NOT_FOUND", "not-found"],
  [0x803b0003, "HCN_E_LAYER_NOT_FOUND", "error"],
  [0x803b0004, "HCN_E_SWITCH_NOT_FOUND", "error"],
  [0x803b0005, "HCN_E_SUBNET_NOT_FOUND", "error"],
  [0x803b0006, "HCN_E_ADAPTER_NOT_FOUND", "error"],
  [0x803b0007, "HCN_E_PORT_NOT_FOUND", "error"],
  [0x803b0008, "HCN_E_POLICY_NOT_FOUND", "error"],
  [0x803b0009, "HCN_E_VFP_PORTSETTING_NOT_FOUND", "error"],
  [0x803b000a, "HCN_E_INVALID_NETWORK", "error"],
  [0x803b000b, "HCN_E_INVALID_NETWORK_TYPE", "error"],
  [0x803b000c, "HCN_E_INVALID_ENDPOINT", "error"],
  [0x803b000d, "HCN_E_INVALID_POLICY", "policy"],
  [0x803b000e, "HCN_E_INVALID_POLICY_TYPE", "policy"],
  [0x803b0010, "HCN_E_NETWORK_ALREADY_EXISTS", "already-exists"],
  [0x803b0011, "HCN_E_LAYER_ALREADY_EXISTS", "error"],
  [0x803b0012, "HCN_E_POLICY_ALREADY_EXISTS", "error"],
  [0x803b0013, "HCN_E_PORT_ALREADY_EXISTS", "error"],
  [0x803b0014, "HCN_E_ENDPOINT_ALREADY_ATTACHED", "already-attached"],
  [0x803b0015, "HCN_E_REQUEST_UNSUPPORTED", "error"],
  [0x803b0017, "HCN_E_DEGRADED_OPERATION", "error"],
  [0x803b0018, "HCN_E_SHARED_SWITCH_MODIFICATION", "error"],
  [0x803b001b, "HCN_E_INVALID_JSON", "invalid-json"],
  [0x803b001c, "HCN_E_INVALID_JSON_REFERENCE", "invalid-json"],
  [0x803b001e, "HCN_E_INVALID_IP", "error"],
  [0x803b0020, "HCN_E_MANAGER_STOPPED", "transient"],
  [0x803b002b, "HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS", "already-attached"],
  [0x803b002c, "HCN_E_ENTITY_HAS_REFERENCES", "has-references"],
  [0x803b002e, "HCN_E_NAMESPACE_ATTACH_FAILED", "error"],
  [0x803b002f, "HCN_E_ADDR_INVALID_OR_RESERVED", "settling"],
  [0x803b0031, "HCN_E_OBJECT_USED_AFTER_UNLOAD", "transient"],
  [0x803b0032, "HCN_E_INVALID_SUBNET", "error"],
  [0x803b0033, "HCN_E_INVALID_IP_SUBNET", "error"],
  [0x803b0037, "HCN_E_VFP_NOT_ALLOWED", "error"],
];

Deno.test("hresultClass() and describeHresult() know every code, signed or not [windows T14]", async (t) => {
  for (const [code, symbol, kind] of ROWS) {
    await t.step(symbol, () => {
      assertEquals(hresultClass(code), kind);
      assertEquals(hresultClass(code | 0), kind, "as the library gives it");
      assertEquals(describeHresult(code | 0), `0x${code.toString(16).padStart(8, "0")} ${symbol}`);
    });
  }
});

Deno.test("an unknown code is an error, or fine if it says so", () => {
  assertEquals(hresultClass(0x803b00ff), "error");
  assertEquals(describeHresult(0x803b00ff), "0x803b00ff");
  assertEquals(hresultClass(1), "ok");
  assert(succeeded(1) && !succeeded(0x80004005 | 0));
});

Deno.test("HcnError says what was attempted, function, code, symbol and record [windows T14]", async (t) => {
  const rows = [
    {
      name: "a record",
      record: '{"Success":false,"Error":"no such","ErrorCode":2151350273}',
      want: ": no such",
    },
    { name: "no record", record: "", want: "" },
    { name: "a record that is no JSON", record: "plain words", want: ": plain words" },
    { name: "a record without a text", record: '{"Success":false}', want: ': {"Success":false}' },
  ];
  for (const { name, record, want } of rows) {
    await t.step(name, () => {
      const answer = { text: describeHresult(0x803b0001), record, attempts: 1 };
      const error = new HcnError("cannot open network x", "HcnOpenNetwork", 0x803b0001, answer);
      const head = "cannot open network x: HcnOpenNetwork: 0x803b0001 HCN_E_NETWORK_NOT_FOUND";
      assertEquals(error.message, head + want);
    });
  }
});
