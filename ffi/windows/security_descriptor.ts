/**
 * Security descriptors as Windows hands them out: self-relative, so all in one piece. Decoder without I/O.
 *
 * Layout (winnt.h), little-endian:
 *
 *     SECURITY_DESCRIPTOR_RELATIVE  u8 revision 1, u8, u16 control, u32 offsets of owner, group, SACL, DACL; 0: none
 *     ACL                           u8 revision, u8, u16 size, u16 number of entries, u16
 *     ACE header                    u8 type, u8 flags, u16 size; of the types read here: u32 mask, SID
 *     SID                           u8 revision 1, u8 count, u48 authority, big-endian, u32 sub-authorities
 *
 * @see MS-DTYP 2.4.
 */
import { ByteReader, CodecError } from "../bytes.ts";

/** An entry of an access list. */
export interface AccessEntry {
  /** `other`: a kind that is not read here; whom it is for is not known. */
  readonly kind: "allow" | "deny" | "other";
  /** Only handed down to what is in the directory; says nothing of the directory itself. */
  readonly inheritOnly: boolean;
  /** Access mask. */
  readonly mask: number;
  /** Such as `S-1-5-18`; empty for `other`. */
  readonly sid: string;
}

/** What is read of a descriptor. */
export interface SecurityDescriptor {
  /** Undefined if the descriptor has none. */
  readonly owner: string | undefined;
  /** Undefined if there is none, which lets everybody do everything. An empty one lets nobody. */
  readonly entries: readonly AccessEntry[] | undefined;
}

const DESCRIPTOR_BYTES = 20;
const ACL_BYTES = 8;
const ACE_HEADER_BYTES = 4;
const SE_DACL_PRESENT = 0x4;
const SE_SELF_RELATIVE = 0x8000;
const INHERIT_ONLY_ACE = 0x8;
/** `SID_MAX_SUB_AUTHORITIES` */
const MAX_SUB_AUTHORITIES = 15;

/** Plain entries and those with a condition, which is taken to be met. */
const KINDS: Readonly<Record<number, "allow" | "deny">> = { 0: "allow", 1: "deny", 9: "allow", 10: "deny" };

/** Decodes a descriptor. @throws {CodecError} */
export function decodeSecurityDescriptor(bytes: Uint8Array): SecurityDescriptor {
  const reader = read(bytes, 0, "security descriptor");
  expect("security descriptor revision", 0, 1, reader.u8());
  reader.skip(1);
  const control = reader.u16();
  expect("self-relative security descriptor", 2, SE_SELF_RELATIVE, control & SE_SELF_RELATIVE);
  const owner = reader.u32();
  reader.skip(8);
  const dacl = reader.u32();
  const hasList = (control & SE_DACL_PRESENT) !== 0 && dacl !== 0;
  return {
    owner: owner === 0 ? undefined : decodeSid(read(bytes, checkOffset(owner), "owner")),
    entries: hasList ? decodeAcl(bytes.subarray(checkOffset(dacl))) : undefined,
  };
}

/** What is at the offset of a part cannot be the header. */
function checkOffset(offset: number): number {
  if (offset < DESCRIPTOR_BYTES) {
    throw new CodecError("offset in a security descriptor", offset, DESCRIPTOR_BYTES, offset);
  }
  return offset;
}

function decodeAcl(bytes: Uint8Array): AccessEntry[] {
  const header = read(bytes, 0, "access list");
  header.skip(2);
  const size = header.u16();
  const count = header.u16();
  if (size < ACL_BYTES || size > bytes.length) {
    throw new CodecError("size of an access list", 2, size, bytes.length);
  }
  const entries = read(bytes.subarray(0, size), ACL_BYTES, "access list");
  return Array.from({ length: count }, () => decodeEntry(entries));
}

function decodeEntry(list: ByteReader): AccessEntry {
  const type = list.u8();
  const inheritOnly = (list.u8() & INHERIT_ONLY_ACE) !== 0;
  const size = list.u16();
  if (size < ACE_HEADER_BYTES) {
    throw new CodecError("size of an access list's entry", list.offset - 2, 4, size);
  }
  const body = read(list.bytes(size - ACE_HEADER_BYTES), 0, "access list's entry");
  const kind = KINDS[type];
  if (kind === undefined) return { kind: "other", inheritOnly, mask: 0, sid: "" };
  return { kind, inheritOnly, mask: body.u32(), sid: decodeSid(body) };
}

/** Decodes a SID at the reader's place to text. @throws {CodecError} */
export function decodeSid(reader: ByteReader): string {
  const at = reader.offset;
  expect("SID revision", at, 1, reader.u8());
  const count = reader.u8();
  if (count > MAX_SUB_AUTHORITIES) {
    throw new CodecError("sub-authorities of a SID", at + 1, MAX_SUB_AUTHORITIES, count);
  }
  const authority = reader.u16be() * 2 ** 32 + reader.u16be() * 2 ** 16 + reader.u16be();
  const subs = Array.from({ length: count }, () => reader.u32());
  return ["S-1", authority, ...subs].join("-");
}

function read(bytes: Uint8Array, offset: number, what: string): ByteReader {
  const reader = new ByteReader(bytes, what, { littleEndian: true });
  reader.skip(offset);
  return reader;
}

function expect(what: string, offset: number, needed: number, got: number): void {
  if (needed !== got) throw new CodecError(what, offset, needed, got);
}
