/** Security descriptors for tests, as Windows lays them out. */
import { ByteWriter } from "../../../ffi/bytes.ts";

/** An entry: `type` and `flags` as winnt.h has them; without a SID its body is 8 bytes of something else. */
export interface EntryFields {
  readonly type?: number;
  readonly flags?: number;
  readonly mask: number;
  readonly sid?: string;
}

/** The parts; left out, there is none. */
export interface DescriptorFields {
  readonly owner?: string;
  readonly entries?: readonly EntryFields[];
}

/** A SID from its text. */
export function sidBytes(text: string): Uint8Array<ArrayBuffer> {
  const [authority, ...subs] = text.split("-").slice(2).map(Number);
  const writer = new ByteWriter({ littleEndian: true });
  writer.u8(1).u8(subs.length);
  for (const power of [32, 16, 0]) writer.u16be(Math.floor(authority! / 2 ** power) % 2 ** 16);
  for (const sub of subs) writer.u32(sub);
  return writer.finish();
}

function entryBytes({ type = 0, flags = 0, mask, sid }: EntryFields): Uint8Array<ArrayBuffer> {
  const body = sid === undefined ? new Uint8Array(4) : sidBytes(sid);
  return new ByteWriter({ littleEndian: true })
    .u8(type).u8(flags).u16(8 + body.length).u32(mask).bytes(body).finish();
}

/** A self-relative descriptor: the owner behind the list, as Windows may have it. */
export function descriptorBytes({ owner, entries }: DescriptorFields): Uint8Array<ArrayBuffer> {
  const list = new ByteWriter({ littleEndian: true });
  if (entries) {
    const bodies = entries.map(entryBytes);
    const size = 8 + bodies.reduce((sum, { length }) => sum + length, 0);
    list.u8(2).u8(0).u16(size).u16(entries.length).u16(0);
    for (const body of bodies) list.bytes(body);
  }
  const writer = new ByteWriter({ littleEndian: true });
  writer.u8(1).u8(0).u16(0x8000 | (entries ? 4 : 0));
  writer.u32(owner === undefined ? 0 : 20 + list.length).u32(0).u32(0).u32(entries ? 20 : 0);
  writer.bytes(list.finish());
  if (owner !== undefined) writer.bytes(sidBytes(owner));
  return writer.finish();
}
