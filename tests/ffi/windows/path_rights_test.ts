import { assertEquals } from "@std/assert";
import { type PathSecurity, replaceableBecause } from "../../../ffi/windows/path_rights.ts";
import { decodeSecurityDescriptor } from "../../../ffi/windows/security_descriptor.ts";
import { descriptorBytes, type DescriptorFields } from "../../support/windows/descriptor_bytes.ts";

const SYSTEM = "S-1-5-18", ADMINISTRATORS = "S-1-5-32-544", USERS = "S-1-5-32-545", EVERYONE = "S-1-1-0";
const INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
const MALLORY = "S-1-5-21-1-2-3-1001", OPERATOR = "S-1-5-21-1-2-3-1002";
const FULL = 0x1f01ff, READ = 0x1200a9;
/** What inherits without being an entry of the directory itself. */
const INHERIT_ONLY = 0x0b;

function part(kind: PathSecurity["kind"], fields: DescriptorFields): PathSecurity {
  return { path: kind, kind, security: decodeSecurityDescriptor(descriptorBytes(fields)) };
}

/** `%ProgramData%` as Windows sets it up; what is made in it inherits all of this. */
const PROGRAM_DATA = [
  { mask: FULL, sid: SYSTEM },
  { mask: FULL, sid: ADMINISTRATORS },
  { flags: INHERIT_ONLY, mask: 0x1000_0000, sid: "S-1-3-0" },
  { mask: READ, sid: USERS },
  // Users make files and directories, and write attributes.
  { mask: 0x116, sid: USERS },
];
/** A file that an administrator put in a directory of his there. */
const FILE = [{ mask: FULL, sid: SYSTEM }, { mask: FULL, sid: ADMINISTRATORS }, { mask: READ, sid: USERS }];

Deno.test("replaceableBecause() has nothing against what an installer puts below %ProgramData%, or in Program Files", () => {
  const directory = part("directory", { owner: ADMINISTRATORS, entries: PROGRAM_DATA });
  for (const owner of [SYSTEM, ADMINISTRATORS, INSTALLER, "S-1-5-21-1-2-3-500", "S-1-5-21-1-2-3-512"]) {
    assertEquals(replaceableBecause([part("file", { owner, entries: FILE }), directory], SYSTEM), []);
  }
  // C:\: members of Users make directories, and what is in those is theirs.
  const root = [
    { mask: 4, sid: "S-1-5-11" },
    { flags: INHERIT_ONLY, mask: 0xe001_0000, sid: "S-1-5-11" },
    { mask: FULL, sid: INSTALLER },
  ];
  assertEquals(replaceableBecause([part("directory", { owner: INSTALLER, entries: root })], SYSTEM), []);
});

Deno.test("replaceableBecause() names who could replace the file, and where", async (t) => {
  const deny = { type: 1, mask: FULL, sid: EVERYONE };
  const rows: { name: string; part: PathSecurity; want: string[] }[] = [
    {
      name: "a directory that a user made",
      part: part("directory", { owner: MALLORY, entries: [...PROGRAM_DATA, { mask: FULL, sid: MALLORY }] }),
      want: [`directory belongs to ${MALLORY}`, `directory can be changed by ${MALLORY}`],
    },
    {
      name: "owned by a user, whatever the rights",
      part: part("file", { owner: MALLORY, entries: FILE }),
      want: [`file belongs to ${MALLORY}`],
    },
    { name: "no owner", part: part("file", { entries: [] }), want: ["file belongs to nobody"] },
    {
      name: "no list: FAT, or set so",
      part: part("file", { owner: SYSTEM }),
      want: ["file can be changed by everybody"],
    },
    {
      name: "a refusal does not help",
      part: part("file", { owner: SYSTEM, entries: [deny, { mask: 2, sid: USERS }] }),
      want: [`file can be changed by ${USERS}`],
    },
    {
      name: "an entry that is not understood",
      part: part("file", { owner: SYSTEM, entries: [{ type: 5, mask: 0 }] }),
      want: ["file can be changed by an entry of an unknown kind"],
    },
    {
      name: "two entries for one are told once",
      part: part("file", { owner: SYSTEM, entries: [{ mask: 2, sid: USERS }, { mask: 4, sid: USERS }] }),
      want: [`file can be changed by ${USERS}`],
    },
    {
      name: "accounts of services are users",
      part: part("file", { owner: "S-1-5-19", entries: [{ mask: FULL, sid: "S-1-5-20" }] }),
      want: ["file belongs to S-1-5-19", "file can be changed by S-1-5-20"],
    },
    {
      name: "an account that only ends like an administrator's",
      part: part("file", { owner: "S-1-5-21-1-2-3-1500", entries: [] }),
      want: ["file belongs to S-1-5-21-1-2-3-1500"],
    },
  ];
  for (const { name, part, want } of rows) {
    await t.step(name, () => assertEquals(replaceableBecause([part], SYSTEM), want));
  }
});

Deno.test("replaceableBecause() knows each right that replaces, of a file and of a directory", () => {
  const rights = Array.from({ length: 32 }, (_, bit) => 2 ** bit);
  const dangerous = (kind: PathSecurity["kind"]): string[] =>
    rights.filter((mask) => {
      const security = part(kind, { owner: SYSTEM, entries: [{ mask, sid: EVERYONE }] });
      return replaceableBecause([security], SYSTEM).length > 0;
    }).map((mask) => mask.toString(16));
  assertEquals(dangerous("file"), ["2", "4", "10", "100", "10000", "40000", "80000", "10000000", "40000000"]);
  assertEquals(dangerous("directory"), ["40", "10000", "40000", "80000", "10000000"]);
});

Deno.test("replaceableBecause() trusts the user that the process runs as", () => {
  const security = part("file", { owner: OPERATOR, entries: [{ mask: FULL, sid: OPERATOR }] });
  assertEquals(replaceableBecause([security], OPERATOR), []);
  assertEquals(replaceableBecause([security], SYSTEM).length, 2);
});
