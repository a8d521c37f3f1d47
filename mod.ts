/**
 * Library interface of zlayer-overlayd: the IPC client with the types of the protocol, and the pure parts
 * that other programs may want. Importing it opens nothing.
 *
 * @module
 */

export * from "./core/errors.ts";
export * from "./core/ip/address.ts";
export * from "./core/ip/prefix.ts";
export type {
  AttachHandle,
  AttachReply,
  AttachRequest,
  GlobalOverlayRequest,
  ObjectState,
  OverlayEvent,
  OverlayMode,
  OverlayStatus,
  PeerScope,
  PeerSpec,
  PeerStatus,
  ServiceOverlayReply,
  StatusDetail,
} from "./core/service.ts";
export { type ConnectOptions, type GoodResponse, OverlaydClient } from "./ipc/client.ts";
export type { CallOptions } from "./ipc/client_connection.ts";
export { encodeFrame, FrameDecoder, FrameEncoder, FrameLengthError, MAX_FRAME_BYTES } from "./ipc/frame.ts";
export { parseExactJson, stringifyExactJson } from "./ipc/json.ts";
export {
  eventSchema,
  type OverlaydEvent,
  type OverlaydRequest,
  type OverlaydResponse,
  requestSchema,
  responseSchema,
} from "./ipc/protocol.ts";
export type { IpcListener, IpcStream } from "./ipc/stream.ts";
