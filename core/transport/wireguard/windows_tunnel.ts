/** What a device in user space is made of on Windows: a Wintun adapter with its session, and events. */

import { WindowsEvent } from "../../../ffi/windows/wait_set.ts";
import { SYSTEM_WS2_32, ws2 } from "../../../ffi/windows/ws2_32.ts";
import type { Guid } from "../../../ffi/windows/guid.ts";
import type { Wintun, WintunAdapter, WintunSession } from "../../../ffi/wintun.ts";
import type { Tunnel, WindowsPlaneStart } from "./packet_plane.ts";
import { UdpSockets } from "./udp_sockets.ts";

/** What the adapter is, as Windows shows it to people: "ZLayer Tunnel". */
const TUNNEL_TYPE = "ZLayer";
/** Bytes of each ring: some 2,800 packets of full size. */
const RING_BYTES = 4 * 1024 * 1024;

/** See the module. */
export class WindowsTunnel implements Tunnel {
  readonly #parts: {
    readonly adapter: WintunAdapter;
    readonly session: WintunSession;
    readonly wakeUp: WindowsEvent;
    readonly datagrams: WindowsEvent;
  };
  readonly #release: AsyncDisposableStack;
  readonly #isPresent: (luid: bigint) => boolean;
  readonly start: WindowsPlaneStart;

  private constructor(
    wintun: Wintun,
    parts: { adapter: WintunAdapter; session: WintunSession; wakeUp: WindowsEvent; datagrams: WindowsEvent },
    options: {
      readonly release: AsyncDisposableStack;
      readonly isPresent: (luid: bigint) => boolean;
      readonly winsock: string;
      readonly ipHelper: string;
    },
  ) {
    this.#parts = parts;
    this.#release = options.release;
    this.#isPresent = options.isPresent;
    this.start = {
      system: "windows",
      wintun: wintun.path,
      winsock: options.winsock,
      ipHelper: options.ipHelper,
      session: parts.session.handle,
      events: {
        wakeUp: parts.wakeUp.handle,
        session: parts.session.readEvent,
        sockets: parts.datagrams.handle,
      },
    };
  }

  /**
   * Makes an adapter. One that an earlier process had is gone with it, so none is ever opened.
   *
   * @param name Of the interface.
   * @param options `guid`: identity of the adapter. `isPresent`: whether there is an interface with a LUID. `ipHelper`:
   * path of `iphlpapi.dll`. `winsock`: another `ws2_32.dll` than the system's, for tests.
   * @throws {FfiError} If Wintun refuses.
   */
  static async create(
    wintun: Wintun,
    name: string,
    options: {
      readonly guid: Guid;
      readonly isPresent: (luid: bigint) => boolean;
      readonly ipHelper: string;
      readonly winsock?: string;
    },
  ): Promise<WindowsTunnel> {
    await using undo = new AsyncDisposableStack();
    const wakeUp = undo.use(new WindowsEvent("auto"));
    const datagrams = undo.use(new WindowsEvent("manual"));
    const adapter = undo.use(await wintun.create(name, { tunnelType: TUNNEL_TYPE, guid: options.guid }));
    const session = undo.use(adapter.startSession(RING_BYTES));
    const parts = { adapter, session, wakeUp, datagrams };
    const { isPresent, ipHelper, winsock = SYSTEM_WS2_32 } = options;
    return new WindowsTunnel(wintun, parts, { release: undo.move(), isPresent, ipHelper, winsock });
  }

  get name(): string {
    return this.#parts.adapter.name;
  }

  /** What Windows knows the interface by. */
  get luid(): bigint {
    return this.#parts.adapter.luid;
  }

  get isAttached(): boolean {
    return this.#isPresent(this.luid);
  }

  wakeUp(): void {
    this.#parts.wakeUp.signal();
  }

  bind(port: number, _fwmark: number): UdpSockets {
    return UdpSockets.bindWindows(port, ws2(this.start.winsock));
  }

  /** Ends the session, then removes the adapter, which takes Windows a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release.disposeAsync();
  }
}
