/**
 * Generic netlink: `struct genlmsghdr` and the controller that tells the id of a family by name
 * (linux/genetlink.h).
 *
 * Layout: u8 cmd, u8 version, u16 zero, attributes.
 */

import { ByteReader, ByteWriter } from "../bytes.ts";
import { AttributeSchema, STRING, U16, U32, type UnknownAttributes } from "./attribute.ts";
import * as nl from "./constants.ts";

/** A message of a generic family: command and attributes, still encoded. */
export interface GenericMessage {
  readonly command: number;
  readonly version: number;
  readonly attributes: Uint8Array;
}

/** A family as the controller knows it. */
export interface GenericFamily {
  /** Message type to use. */
  readonly id?: number;
  readonly name?: string;
  readonly version?: number;
  readonly headerBytes?: number;
  readonly maxAttribute?: number;
}

const FAMILY = new AttributeSchema<GenericFamily>({
  id: [nl.CTRL_ATTR_FAMILY_ID, U16],
  name: [nl.CTRL_ATTR_FAMILY_NAME, STRING],
  version: [nl.CTRL_ATTR_VERSION, U32],
  headerBytes: [nl.CTRL_ATTR_HDRSIZE, U32],
  maxAttribute: [nl.CTRL_ATTR_MAXATTR, U32],
});

/** Encodes the payload of a generic message. */
export function encodeGenericMessage(message: GenericMessage): Uint8Array<ArrayBuffer> {
  return new ByteWriter({ initialBytes: 4 + message.attributes.length })
    .u8(message.command).u8(message.version).u16(0).bytes(message.attributes).finish();
}

/** Decodes the payload of a generic message. @throws {CodecError} If the header is cut short. */
export function decodeGenericMessage(payload: Uint8Array): GenericMessage {
  const reader = new ByteReader(payload, "genlmsghdr");
  const [command, version] = [reader.u8(), reader.u8()];
  reader.skip(2);
  return { command, version, attributes: reader.rest() };
}

/** Payload of `CTRL_CMD_GETFAMILY`, to be sent to `GENL_ID_CTRL`. */
export function encodeFamilyRequest(name: string): Uint8Array<ArrayBuffer> {
  return encodeGenericMessage({
    command: nl.CTRL_CMD_GETFAMILY,
    version: 1,
    attributes: FAMILY.encode({ name }),
  });
}

/** Decodes the payload of `CTRL_CMD_NEWFAMILY`. @throws {CodecError} If it is cut short. */
export function decodeFamily(payload: Uint8Array): GenericFamily & UnknownAttributes {
  return FAMILY.decode(decodeGenericMessage(payload).attributes);
}
