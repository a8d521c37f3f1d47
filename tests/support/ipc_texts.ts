/** Texts of frames that tests of the server share. */
import { assertEquals } from "@std/assert";
import { requestFrame } from "./ipc_examples.ts";
import type { RawClient } from "./ipc_rig.ts";

/** Body of the simplest request. */
export const STATUS = '{"op":"status"}';
/** Response to it on a fresh daemon. */
export const FRESH = '{"result":"status","overlay_cidr":"10.200.0.0/16","peer_count":0,"service_count":0}';

/** A response frame. */
export function responseFrame(id: bigint | number | string, response = FRESH): string {
  return `{"frame":"response","id":${id},"response":${response}}`;
}

/** The length prefix of a frame. */
export function header(length: number): Uint8Array {
  return Uint8Array.of(length, length >> 8, length >> 16, length >> 24);
}

/** Fails unless the connection still answers. */
export async function assertAlive(client: RawClient): Promise<void> {
  await client.send(requestFrame(STATUS, 999));
  assertEquals(await client.receive(), responseFrame(999));
}
