/**
 * Netlink attributes: `struct nlattr` (linux/netlink.h), and tables that map them to the fields of an object.
 *
 * Layout, host byte order: u16 nla_len (header and payload, padding not counted), u16 nla_type, payload, zeros up
 * to a multiple of 4 bytes. The top two bits of nla_type are flags. Attributes nest.
 */

import { ByteReader, ByteWriter, CodecError } from "../bytes.ts";
import { NLA_F_NESTED, NLA_TYPE_MASK } from "./constants.ts";

/** `NLA_HDRLEN`. */
const HEADER_BYTES = 4;
/** Largest payload that a u16 length leaves room for. */
const PAYLOAD_MAX_BYTES = 0xffff - HEADER_BYTES;

/** One attribute as it stands in a message. */
export interface Attribute {
  /** 0 to 0x3fff. */
  readonly type: number;
  /** `NLA_F_NESTED` or `NLA_F_NET_BYTEORDER`, or 0. */
  readonly flags: number;
  readonly payload: Uint8Array;
}

/**
 * Appends one attribute, padded to 4 bytes.
 *
 * @throws {RangeError} If `type` is beyond 0x3fff or the payload beyond 65,531 bytes.
 */
export function writeAttribute(writer: ByteWriter, attribute: Attribute): void {
  const { type, flags, payload } = attribute;
  if (type < 0 || type > NLA_TYPE_MASK) throw new RangeError(`attribute type ${type} is not within 0..16383`);
  if (payload.length > PAYLOAD_MAX_BYTES) {
    throw new RangeError(`attribute ${type}: ${payload.length} bytes exceed ${PAYLOAD_MAX_BYTES}`);
  }
  writer.u16(HEADER_BYTES + payload.length).u16(type | flags).bytes(payload).align(4);
}

/** Encodes attributes one after the other. @throws {RangeError} As {@linkcode writeAttribute}. */
export function encodeAttributes(attributes: Iterable<Attribute>): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  for (const attribute of attributes) writeAttribute(writer, attribute);
  return writer.finish();
}

/**
 * Decodes attributes up to the end of the bytes. The padding of the last one may be missing.
 *
 * @returns Attributes in order; payloads are views.
 * @throws {CodecError} If a header or a payload is cut short.
 */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const reader = new ByteReader(bytes, "nlattr");
  const attributes: Attribute[] = [];
  while (reader.remaining > 0) {
    const at = reader.offset;
    const length = reader.u16();
    const type = reader.u16();
    if (length < HEADER_BYTES) throw new CodecError("nla_len", at, HEADER_BYTES, length);
    const payload = reader.bytes(length - HEADER_BYTES);
    reader.skip(Math.min((4 - length % 4) % 4, reader.remaining));
    attributes.push({ type: type & NLA_TYPE_MASK, flags: type & ~NLA_TYPE_MASK, payload });
  }
  return attributes;
}

/** How one kind of payload is written and read. Decoders throw nothing but `CodecError`. */
export interface ValueCodec<V> {
  /** Flags of the attribute on the way out. */
  readonly flags: number;
  encode(value: V): Uint8Array;
  /** @param flags Flags of the attribute as received. */
  decode(payload: Uint8Array, flags: number): V;
}

function scalar<V>(
  what: string,
  write: (writer: ByteWriter, value: V) => void,
  read: (r: ByteReader) => V,
): ValueCodec<V> {
  return {
    flags: 0,
    encode(value): Uint8Array {
      const writer = new ByteWriter({ initialBytes: 8 });
      write(writer, value);
      return writer.finish();
    },
    decode: (payload) => read(new ByteReader(payload, what)),
  };
}

/** `__u8`. */
export const U8: ValueCodec<number> = scalar("u8 attribute", (w, v) => w.u8(v), (r) => r.u8());
/** `__u16`, host order. */
export const U16: ValueCodec<number> = scalar("u16 attribute", (w, v) => w.u16(v), (r) => r.u16());
/** `__u32`, host order. */
export const U32: ValueCodec<number> = scalar("u32 attribute", (w, v) => w.u32(v), (r) => r.u32());
/** `__s32`, host order. */
export const S32: ValueCodec<number> = scalar("s32 attribute", (w, v) => w.u32(v), (r) => r.i32());
/** `__u64`, host order. */
export const U64: ValueCodec<bigint> = scalar("u64 attribute", (w, v) => w.u64(v), (r) => r.u64());

/** Bytes of any length. */
export const BYTES: ValueCodec<Uint8Array> = {
  flags: 0,
  encode: (value) => value,
  decode: (payload) => payload,
};

/** Bytes of exactly one length. @throws {CodecError} While decoding another length. */
export function fixedBytes(what: string, length: number): ValueCodec<Uint8Array> {
  return {
    flags: 0,
    encode: (value) => value,
    decode(payload): Uint8Array {
      if (payload.length !== length) throw new CodecError(what, 0, length, payload.length);
      return payload;
    },
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A NUL-terminated string (`NLA_NUL_STRING`); on the way in, the NUL may be missing. UTF-8. */
export const STRING: ValueCodec<string> = {
  flags: 0,
  encode: (value) => encoder.encode(`${value}\0`),
  decode(payload): string {
    const end = payload.indexOf(0);
    return decoder.decode(end < 0 ? payload : payload.subarray(0, end));
  },
};

/** Anything that encodes to a nested block. */
export function nested<V>(
  codec: { encode(value: V): Uint8Array; decode(payload: Uint8Array): V },
  options: { readonly flags?: number } = {},
): ValueCodec<V> {
  return { flags: options.flags ?? NLA_F_NESTED, encode: codec.encode, decode: codec.decode };
}

/** An array as wireguard(4) and others nest it: attributes whose type is the position, or always 0. */
export function nestedList<V>(
  codec: { encode(value: V): Uint8Array; decode(payload: Uint8Array): V },
): ValueCodec<readonly V[]> {
  return {
    flags: NLA_F_NESTED,
    encode: (values) =>
      encodeAttributes(
        values.map((value) => ({ type: 0, flags: NLA_F_NESTED, payload: codec.encode(value) })),
      ),
    decode: (payload) => decodeAttributes(payload).map((attribute) => codec.decode(attribute.payload)),
  };
}

/** Maps each field to its attribute: the number and the codec. */
export type AttributeTable<T> = {
  readonly [K in keyof T]-?: readonly [type: number, codec: ValueCodec<Exclude<T[K], undefined>>];
};

/** Attributes that a table does not know, kept as they came. */
export interface UnknownAttributes {
  readonly unknown: readonly Attribute[];
}

type ErasedRow = readonly [type: number, codec: ValueCodec<unknown>];

/**
 * Encodes objects to attributes and back by a table. Fields that are `undefined` are not sent; of an attribute
 * that comes twice the last counts, as in the kernel; attributes the table does not know end up in `unknown`.
 */
export class AttributeSchema<T extends object> {
  readonly #rows: readonly (readonly [keyof T, ErasedRow])[];
  readonly #byType: ReadonlyMap<number, readonly [keyof T, ErasedRow]>;

  constructor(table: AttributeTable<T>) {
    this.#rows = Object.entries(table) as unknown as (readonly [keyof T, ErasedRow])[];
    this.#byType = new Map(this.#rows.map((row) => [row[1][0], row]));
  }

  /** Appends the fields in the table's order, then the unknown ones. @throws {RangeError} If one is too long. */
  write(writer: ByteWriter, fields: T & Partial<UnknownAttributes>): void {
    for (const [key, [type, codec]] of this.#rows) {
      const value = fields[key];
      if (value !== undefined) {
        writeAttribute(writer, { type, flags: codec.flags, payload: codec.encode(value) });
      }
    }
    for (const attribute of fields.unknown ?? []) writeAttribute(writer, attribute);
  }

  /** The fields as a block of attributes. @throws {RangeError} If one is too long. */
  encode(fields: T & Partial<UnknownAttributes>): Uint8Array<ArrayBuffer> {
    const writer = new ByteWriter();
    this.write(writer, fields);
    return writer.finish();
  }

  /** Decodes a block of attributes. @throws {CodecError} If it, or a known payload, is cut short. */
  decode(bytes: Uint8Array): T & UnknownAttributes {
    const fields: Partial<Record<keyof T, unknown>> = {};
    const unknown: Attribute[] = [];
    for (const attribute of decodeAttributes(bytes)) {
      const row = this.#byType.get(attribute.type);
      if (row === undefined) unknown.push(attribute);
      else fields[row[0]] = row[1][1].decode(attribute.payload, attribute.flags);
    }
    return { ...fields, unknown } as unknown as T & UnknownAttributes;
  }
}
