/**
 * Frame bodies to messages and back: the JSON of one frame, either direction.
 *
 * The server reads what strangers wrote, so decoding there returns a value or a reason and never throws.
 *
 * Source: spec/ipc.md §1, §7; spec/daemon.md §5.
 */

import type { z } from "zod";
import { describeMismatch, echoValue, isU64 } from "./fields.ts";
import {
  hasInexactInteger,
  isJsonModest,
  type JsonLimits,
  parseExactJson,
  stringifyExactJson,
} from "./json.ts";
import {
  eventSchema,
  type OverlaydEvent,
  type OverlaydRequest,
  type OverlaydResponse,
  requestSchema,
  responseSchema,
} from "./protocol.ts";

/** What a body that reached the server turned out to be. */
export type ServerFrame =
  | { readonly kind: "request"; readonly id: bigint; readonly request: OverlaydRequest }
  /** Meant as a request but not understood. `id` is there when one could be read, for the `err`. */
  | { readonly kind: "malformed"; readonly id?: bigint; readonly reason: string }
  /** A well-formed frame that is not for a server. */
  | { readonly kind: "foreign"; readonly frame: string };

/** What a body that reached a client turned out to be. */
export type ClientFrame =
  | {
    readonly kind: "response";
    readonly id: bigint;
    readonly response: OverlaydResponse;
    readonly raw: unknown;
  }
  | { readonly kind: "event"; readonly event: OverlaydEvent }
  | { readonly kind: "malformed"; readonly id?: bigint; readonly reason: string }
  | { readonly kind: "foreign"; readonly frame: string };

/** A request has some 20 tokens and 3 levels; long ones have long strings, not more structure. */
const REQUEST_LIMITS: JsonLimits = { maxDepth: 64, maxTokens: 4096 };

/** Bodies up to this many bytes are parsed unseen: they cannot hold enough to hurt. */
const UNSEEN_BYTES = 4096;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Finds the id in a broken body, in the order in which the known clients write the members. */
const BROKEN_REQUEST_ID = /^\s*\{\s*(?:"frame"\s*:\s*"request"\s*,\s*)?"id"\s*:\s*(\d{1,20})\s*,/;

/** Decodes a body as the server sees it. Never throws. */
export function decodeServerFrame(body: Uint8Array): ServerFrame {
  if (body.length > UNSEEN_BYTES && !isJsonModest(body, REQUEST_LIMITS)) {
    return malformed(`request nests deeper than ${REQUEST_LIMITS.maxDepth} or has too many members`, body);
  }
  const parsed = parseBody(body, ["node_id", "persistent_keepalive_secs"]);
  if (!parsed.ok) return malformed(parsed.reason, body);
  const { id, members } = parsed;
  if (members.frame === "request") return decodeRequest(id, members);
  if (members.frame === "response" || members.frame === "event") {
    return { kind: "foreign", frame: members.frame };
  }
  return { ...withId(id), kind: "malformed", reason: `frame ${echoValue(members.frame)} is not "request"` };
}

function decodeRequest(id: unknown, members: Record<string, unknown>): ServerFrame {
  if (!isU64(id)) {
    return { kind: "malformed", reason: `id ${echoValue(id)} must be an integer from 0 to 2^64 - 1` };
  }
  const decoded = requestSchema.safeParse(members.request);
  if (decoded.success) return { kind: "request", id: BigInt(id), request: decoded.data };
  return { kind: "malformed", id: BigInt(id), reason: describeBadRequest(decoded.error, members.request) };
}

function describeBadRequest(error: z.ZodError, request: unknown): string {
  const mismatch = describeMismatch(error, request);
  const op = (request as { op?: unknown } | null)?.op;
  const known = error.issues[0]!.path[0] !== "op" && typeof op === "string";
  return known ? `${op}: ${mismatch}` : mismatch;
}

function malformed(reason: string, body: Uint8Array): ServerFrame {
  const head = new TextDecoder().decode(body.subarray(0, 128));
  const digits = BROKEN_REQUEST_ID.exec(head)?.[1];
  return { ...withId(digits === undefined ? undefined : BigInt(digits)), kind: "malformed", reason };
}

function withId(id: unknown): { id?: bigint } {
  return isU64(id) ? { id: BigInt(id) } : {};
}

type Parsed =
  | { readonly ok: true; readonly id: unknown; readonly members: Record<string, unknown> }
  | { readonly ok: false; readonly reason: string };

/**
 * Parses a body that has to be an object.
 *
 * @param exact Members of `request` that are u64: when one of them, or the id, is too big for a double the
 * whole text is parsed again exactly.
 */
function parseBody(body: Uint8Array, exact: readonly string[]): Parsed {
  let text: string;
  try {
    text = UTF8.decode(body);
  } catch {
    return { ok: false, reason: "frame is not UTF-8" };
  }
  try {
    let members = asObject(JSON.parse(text));
    const request = asObject(members?.request);
    if (hasInexactInteger(members?.id) || exact.some((name) => hasInexactInteger(request?.[name]))) {
      members = asObject(parseExactJson(text));
    }
    return members
      ? { ok: true, id: members.id, members }
      : { ok: false, reason: "frame is not a JSON object" };
  } catch {
    // The parser's own text quotes the input; it goes nowhere.
    return { ok: false, reason: "frame is not valid JSON" };
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : undefined;
}

/** Decodes a body as a client sees it. Never throws. */
export function decodeClientFrame(body: Uint8Array): ClientFrame {
  const parsed = parseBody(body, []);
  if (!parsed.ok) return { kind: "malformed", reason: parsed.reason };
  const { id, members } = parsed;
  switch (members.frame) {
    case "response":
      return decodeResponse(id, members.response);
    case "event": {
      const decoded = eventSchema.safeParse(members);
      if (decoded.success) return { kind: "event", event: decoded.data };
      return { kind: "foreign", frame: `event ${echoValue(members.event)}` };
    }
    default:
      return { kind: "foreign", frame: echoValue(members.frame) };
  }
}

function decodeResponse(id: unknown, raw: unknown): ClientFrame {
  if (!isU64(id)) return { kind: "malformed", reason: `response id ${echoValue(id)} is not a u64` };
  const decoded = responseSchema.safeParse(raw);
  if (decoded.success) return { kind: "response", id: BigInt(id), response: decoded.data, raw };
  return { kind: "malformed", id: BigInt(id), reason: `response: ${describeMismatch(decoded.error, raw)}` };
}

/** Body of a request. Also takes requests this version does not know, as a plain JSON value. */
export function encodeRequest(
  id: bigint,
  request: OverlaydRequest | Readonly<Record<string, unknown>>,
): string {
  const hasBigInt = Object.values(request).some((value) => typeof value === "bigint");
  const text = hasBigInt ? stringifyExactJson(request) : JSON.stringify(request);
  return `{"frame":"request","id":${id},"request":${text}}`;
}

/** Body of a response. */
export function encodeResponse(id: bigint, response: OverlaydResponse): string {
  return `{"frame":"response","id":${id},"response":${JSON.stringify(response)}}`;
}

/** Body of an event. */
export function encodeEvent(event: OverlaydEvent): string {
  return JSON.stringify({ frame: "event", ...event });
}
