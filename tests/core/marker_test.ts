import { assertEquals, assertThrows } from "@std/assert";
import { InvalidConfigError } from "../../core/errors.ts";
import {
  BASE_OWNER,
  decodeMarker,
  dedicatedEntry,
  dedicatedIdentity,
  EMPTY_MARKER,
  encodeMarker,
  type HcnNetworkEntry,
  type Marker,
  type MarkerEntry,
  removeNetwork,
  serviceOwner,
  upsertNetwork,
  withDedicated,
  withHcnNetwork,
  withoutHcnNetwork,
} from "../../core/marker.ts";
import { encodeKey, generateKeyPair, type KeyPair } from "../../core/wireguard/keys.ts";

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

const BASE: MarkerEntry = {
  owner: BASE_OWNER,
  kind: "hcn-internal",
  name: "zlayer-overlay",
  id: "6c1f0d3e-1111-4222-8333-944455556666",
  subnet: "10.200.0.0/28",
};

const WEB: MarkerEntry = {
  owner: "service:web",
  kind: "wg-dedicated",
  name: "zl-web0",
  id: "cHVibGljLWtleS1iNjQ=",
  subnet: "10.200.4.16/28",
  wg_port: 51823,
  wg_private_key: "cHJpdmF0ZS1rZXktYjY0",
  wg_public_key: "cHVibGljLWtleS1iNjQ=",
  interface: "zl-web0",
};

const TEXT = `{
  "version": 1,
  "networks": [
    {
      "owner": "base",
      "kind": "hcn-internal",
      "name": "zlayer-overlay",
      "id": "6c1f0d3e-1111-4222-8333-944455556666",
      "subnet": "10.200.0.0/28"
    },
    {
      "owner": "service:web",
      "kind": "wg-dedicated",
      "name": "zl-web0",
      "id": "cHVibGljLWtleS1iNjQ=",
      "subnet": "10.200.4.16/28",
      "wg_port": 51823,
      "wg_private_key": "cHJpdmF0ZS1rZXktYjY0",
      "wg_public_key": "cHVibGljLWtleS1iNjQ=",
      "interface": "zl-web0"
    }
  ]
}`;

function marker(...networks: MarkerEntry[]): Marker {
  return { version: 1, networks };
}

Deno.test("an upsert of the same owner replaces [daemon 41]", () => {
  const once = upsertNetwork(EMPTY_MARKER, { ...BASE, id: "guid-1" });
  const twice = upsertNetwork(once, { ...BASE, id: "guid-2" });
  assertEquals(twice.networks.map((entry) => entry.id), ["guid-2"]);
  assertEquals(once.networks.map((entry) => entry.id), ["guid-1"]);
});

Deno.test("an upsert keeps the place of the first entry of the owner, else appends", () => {
  const two = marker(BASE, WEB, { ...WEB, id: "second" });
  const changed = upsertNetwork(two, { ...WEB, id: "new" });
  assertEquals(changed.networks.map((entry) => entry.id), [BASE.id, "new", "second"]);
  assertEquals(upsertNetwork(two, { ...BASE, owner: "service:x" }).networks.length, 4);
});

Deno.test("a removal takes the first match and leaves the others [daemon 42]", () => {
  const both = upsertNetwork(upsertNetwork(EMPTY_MARKER, BASE), WEB);
  const { marker: left, removed } = removeNetwork(both, BASE_OWNER);
  assertEquals(removed, BASE);
  assertEquals(left.networks.map((entry) => entry.id), [WEB.id]);
  assertEquals(removeNetwork(left, serviceOwner("nope")), { marker: left });
});

Deno.test("a marker is written with two spaces, keys in order, no final newline [daemon 43]", () => {
  const shuffled = Object.fromEntries(Object.entries(WEB).reverse()) as unknown as MarkerEntry;
  assertEquals(encodeMarker(marker(BASE, shuffled)), TEXT);
  assertEquals(decodeMarker(TEXT).version, 1);
  assertEquals(encodeMarker(decodeMarker(TEXT)), TEXT);
  assertEquals(encodeMarker(EMPTY_MARKER), '{\n  "version": 1,\n  "networks": []\n}');
});

Deno.test("the fields of a dedicated device survive [daemon 45]", () => {
  const [entry] = decodeMarker(encodeMarker(marker(WEB))).networks;
  assertEquals({ ...entry! }, WEB);
});

Deno.test("an entry without WireGuard fields loads with them unset [daemon 46] [overlay T44]", () => {
  const old = JSON.stringify({ networks: [BASE, { ...BASE, wg_port: null, interface: null }] });
  const loaded = decodeMarker(old);
  assertEquals(loaded.version, 1);
  for (const entry of loaded.networks) {
    assertEquals(
      [entry.wg_port, entry.wg_private_key, entry.wg_public_key, entry.interface],
      [undefined, undefined, undefined, undefined],
    );
  }
  assertEquals(encodeMarker(marker(loaded.networks[1]!)), encodeMarker(marker(BASE)));
});

Deno.test("keys of others survive a rewrite, behind ours [windows T16]", () => {
  const text = JSON.stringify({ version: 1, later: { a: 1 }, networks: [{ extra: [2], ...BASE }] });
  const entry = { ...BASE, extra: [2] };
  assertEquals(
    encodeMarker(upsertNetwork(decodeMarker(text), WEB)),
    JSON.stringify({ version: 1, networks: [entry, WEB], later: { a: 1 } }, null, 2),
  );
});

Deno.test("an entry keeps both facts of a dedicated service, whichever comes first [windows T16] [windows T37]", () => {
  const network = {
    owner: "service:web",
    kind: "hcn-internal",
    name: "zlayer-overlay-svc-web",
    id: BASE.id,
    subnet: "10.200.4.16/28",
  } as const;
  const both = { ...WEB, ...network };
  assertEquals(withHcnNetwork(marker(BASE, WEB), network), marker(BASE, both));
  assertEquals(withDedicated(marker(BASE, network), WEB), marker(BASE, both));
  const other = { ...WEB, wg_port: 51999, subnet: "10.200.9.16/28" };
  assertEquals(
    withDedicated(marker(both), other),
    marker({ ...both, wg_port: 51999, subnet: "10.200.9.16/28" }),
  );
  assertEquals(withDedicated(marker(), WEB), marker(WEB));
});

Deno.test("without its network a dedicated service's entry is that of its device, else none [windows T74]", () => {
  const both = { ...WEB, kind: "hcn-internal", name: "n", id: BASE.id };
  assertEquals(withoutHcnNetwork(marker(BASE, both), "service:web"), marker(BASE, WEB));
  assertEquals(withoutHcnNetwork(marker(BASE, WEB), "base"), marker(WEB));
  assertEquals(withoutHcnNetwork(marker(WEB), "service:web"), marker(WEB), "no network to forget");
  assertEquals(withoutHcnNetwork(marker(WEB), "base"), marker(WEB));
});

Deno.test("an empty object is an empty marker, garbage is an error without its text [daemon 47]", () => {
  assertEquals(decodeMarker("{}"), EMPTY_MARKER);
  assertEquals(decodeMarker('{"networks":[]}'), EMPTY_MARKER);
  const garbage = [
    "",
    "c2VjcmV0",
    "[]",
    "null",
    '{"version":"1"}',
    '{"networks":{}}',
    JSON.stringify({ networks: [{ ...WEB, id: 7 }] }),
    JSON.stringify({ networks: [{ ...WEB, wg_port: 70000 }] }),
    JSON.stringify({ networks: [{ ...WEB, wg_private_key: ["c2VjcmV0"] }] }),
    JSON.stringify({ networks: [{ owner: "base" }] }),
  ];
  for (const text of garbage) {
    const error = assertThrows(
      () => decodeMarker(text),
      InvalidConfigError,
      "not a valid network marker",
      text,
    );
    assertEquals(/c2VjcmV0|cHJpdmF0/.test(error.message), false, error.message);
  }
});

Deno.test("a dedicated device's identity is read back whole [overlay T42]", () => {
  const identity = { port: 51422, keys: newKeys(), interface: "zl-web0" };
  const entry = dedicatedEntry("web", identity, "10.200.4.16/28");
  assertEquals(entry.id, encodeKey(identity.keys.publicKey));
  const restarted = decodeMarker(encodeMarker(marker(BASE, entry)));
  assertEquals(dedicatedIdentity(restarted, "web"), identity);
  assertEquals(dedicatedIdentity(restarted, "other"), undefined);
  assertEquals(dedicatedIdentity(EMPTY_MARKER, "web"), undefined);
});

Deno.test("an identity that is not whole and valid is none", () => {
  const whole = dedicatedEntry(
    "web",
    { port: 51422, keys: newKeys(), interface: "zl-web0" },
    "10.0.0.0/28",
  );
  const broken: Partial<MarkerEntry>[] = [
    { wg_port: undefined },
    { wg_port: 0 },
    { wg_private_key: undefined },
    { wg_public_key: undefined },
    { interface: undefined },
    { interface: "a/b" },
    { interface: "an interface name too long" },
    { wg_private_key: "c2hvcnQ=" },
    { wg_public_key: encodeKey(newKeys().publicKey) },
  ];
  for (const change of broken) {
    assertEquals(
      dedicatedIdentity(marker({ ...whole, ...change }), "web"),
      undefined,
      JSON.stringify(change),
    );
  }
});

Deno.test("a network of an earlier deployment stays known, until it is in use again", () => {
  const network = (name: string, n: number): HcnNetworkEntry => ({
    owner: "base",
    kind: "hcn-internal",
    name,
    id: `6c1f0d3e-1111-4222-8333-94445555666${n}`,
    subnet: "10.200.0.0/28",
  });
  const a = network("a-overlay", 1), b = network("b-overlay", 2);
  const both = withHcnNetwork(withHcnNetwork(EMPTY_MARKER, a), b);
  assertEquals(both.networks, [b, { ...a, owner: "former:a-overlay" }]);
  assertEquals(withHcnNetwork(both, a).networks, [a, { ...b, owner: "former:b-overlay" }]);
  // The same name again is the same network made anew.
  assertEquals(withHcnNetwork(both, { ...b, id: a.id }).networks, [{ ...b, id: a.id }]);
});
