/** IP Helper in memory: rows in, rows out, with the refusals that Windows documents. */
import { ERROR_NOT_FOUND, ERROR_OBJECT_ALREADY_EXISTS, type IpHelper } from "../../ffi/iphlpapi.ts";
import { forwardTableBytes } from "../../ffi/windows/forward_row.ts";
import { AF_INET, readSockaddr } from "../../ffi/windows/sockaddr.ts";
import {
  decodeUnicastAddress,
  type UnicastAddress,
  unicastTableBytes,
} from "../../ffi/windows/unicast_address_row.ts";

/** An interface of the fake. */
export interface FakeInterface {
  readonly alias: string;
  connected: boolean;
  /** How often the stack is asked for the family before it knows it; `Infinity` for never. */
  unknownFor: { 4: number; 6: number };
  /** The rows as they were last written, `MIB_IPINTERFACE_ROW`. */
  readonly rows: { readonly 4: Uint8Array; readonly 6: Uint8Array };
}

/** What Windows has in a fresh row, and does not take back. */
const BAD_SITE_PREFIX = 64;

/** See the module. */
export class FakeIpHelper implements IpHelper {
  readonly interfaces = new Map<bigint, FakeInterface>();
  addresses: UnicastAddress[] = [];
  /** Routes as rows, by what makes them the same. */
  readonly routes = new Map<string, Uint8Array>();
  /** Calls in order. */
  readonly calls: string[] = [];
  /** Codes for the next calls of a function. */
  readonly failures: { readonly call: string; readonly code: number }[] = [];

  /** Adds an interface. */
  add(luid: bigint, alias: string, options: { readonly connected?: boolean } = {}): FakeInterface {
    const row = (): Uint8Array => {
      const bytes = new Uint8Array(168);
      new DataView(bytes.buffer).setUint32(144, BAD_SITE_PREFIX, true);
      return bytes;
    };
    const made: FakeInterface = {
      alias,
      connected: options.connected ?? true,
      unknownFor: { 4: 0, 6: 0 },
      rows: { 4: row(), 6: row() },
    };
    this.interfaces.set(luid, made);
    return made;
  }

  createAddress(row: Uint8Array<ArrayBuffer>): number {
    const wanted = decodeUnicastAddress(row);
    const code = this.#enter("createAddress") ?? this.#known(wanted.luid);
    if (code !== 0) return code;
    if (this.addresses.some(({ address }) => same(address, wanted.address))) {
      return ERROR_OBJECT_ALREADY_EXISTS;
    }
    this.addresses.push(wanted);
    return 0;
  }

  deleteAddress(row: Uint8Array<ArrayBuffer>): number {
    const wanted = decodeUnicastAddress(row);
    const code = this.#enter("deleteAddress");
    if (code !== undefined) return code;
    const at = this.addresses.findIndex(({ luid, address }) =>
      luid === wanted.luid && same(address, wanted.address)
    );
    if (at < 0) return ERROR_NOT_FOUND;
    this.addresses.splice(at, 1);
    return 0;
  }

  addressTable(family: number): Uint8Array<ArrayBuffer> {
    const rows = this.addresses.filter(({ address }) => (address.length === 4) === (family === AF_INET));
    const bytes = new Uint8Array(unicastTableBytes(rows.length));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, rows.length, true);
    for (const [i, { luid, address, prefixLength }] of rows.entries()) {
      const at = unicastTableBytes(i);
      view.setUint16(at, family, true);
      bytes.set(address, at + (address.length === 4 ? 4 : 8));
      view.setBigUint64(at + 32, luid, true);
      view.setUint8(at + 60, prefixLength);
    }
    return bytes;
  }

  routeTable(family: number): Uint8Array<ArrayBuffer> {
    const rows = [...this.routes.values()].filter((row) => row[12] === family);
    const bytes = new Uint8Array(forwardTableBytes(rows.length));
    new DataView(bytes.buffer).setUint32(0, rows.length, true);
    for (const [i, row] of rows.entries()) bytes.set(row, forwardTableBytes(i));
    return bytes;
  }

  createRoute(row: Uint8Array<ArrayBuffer>): number {
    const code = this.#enter("createRoute");
    if (code !== undefined) return code;
    const key = this.#routeKey(row);
    if (this.routes.has(key)) return ERROR_OBJECT_ALREADY_EXISTS;
    this.routes.set(key, row);
    return 0;
  }

  deleteRoute(row: Uint8Array<ArrayBuffer>): number {
    const code = this.#enter("deleteRoute");
    if (code !== undefined) return code;
    return this.routes.delete(this.#routeKey(row)) ? 0 : ERROR_NOT_FOUND;
  }

  getInterface(row: Uint8Array<ArrayBuffer>): number {
    const view = new DataView(row.buffer);
    const found = this.interfaces.get(view.getBigUint64(8, true));
    const family = view.getUint16(0, true) === AF_INET ? 4 : 6;
    const code = this.#enter("getInterface");
    if (code !== undefined) return code;
    if (found === undefined || found.unknownFor[family]-- > 0) return ERROR_NOT_FOUND;
    const key = row.slice(0, 16);
    row.set(found.rows[family]);
    row.set(key);
    row[156] = found.connected ? 1 : 0;
    return 0;
  }

  setInterface(row: Uint8Array<ArrayBuffer>): number {
    const view = new DataView(row.buffer);
    const found = this.interfaces.get(view.getBigUint64(8, true));
    const code = this.#enter("setInterface");
    if (code !== undefined) return code;
    if (found === undefined) return ERROR_NOT_FOUND;
    if (view.getUint32(144, true) > 32) return 87;
    found.rows[view.getUint16(0, true) === AF_INET ? 4 : 6].set(row);
    return 0;
  }

  hasInterface(luid: bigint): boolean {
    return this.interfaces.has(luid);
  }

  aliasOf(luid: bigint): string | undefined {
    return this.interfaces.get(luid)?.alias;
  }

  #enter(call: string): number | undefined {
    this.calls.push(call);
    const at = this.failures.findIndex((failure) => failure.call === call);
    return at < 0 ? undefined : this.failures.splice(at, 1)[0]!.code;
  }

  #known(luid: bigint): number {
    return this.interfaces.has(luid) ? 0 : ERROR_NOT_FOUND;
  }

  #routeKey(row: Uint8Array<ArrayBuffer>): string {
    const view = new DataView(row.buffer);
    return `${view.getBigUint64(0, true)} ${readSockaddr(view, 12).join(".")}/${row[40]}`;
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.join() === b.join();
}
