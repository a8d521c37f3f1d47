/** A fake kernel with what listeners and clients of pipes need. */
import { CompletionPort } from "../../../ffi/windows/completion_port.ts";
import type { NamedPipe } from "../../../ffi/windows/named_pipe.ts";
import { openPipe } from "../../../ffi/windows/pipe_client.ts";
import { PipeListener, type PipeListenerDeps } from "../../../ffi/windows/pipe_listener.ts";
import { FakeAdvapi32 } from "./fake_advapi32.ts";
import { FakeKernel32 } from "./fake_kernel32.ts";

/** The name that tests use. */
export const PIPE = "\\\\.\\pipe\\zt";

/** Who may use the pipe, in tests. */
export const SDDL = "D:P(A;;GA;;;SY)";

/** A kernel with one completion port. */
export class PipeRig {
  readonly kernel = new FakeKernel32();
  readonly advapi = new FakeAdvapi32();
  readonly port = new CompletionPort({ kernel32: this.kernel.api, ntdll: this.kernel.ntdll });
  readonly deps: PipeListenerDeps = {
    kernel32: this.kernel.api,
    advapi32: this.advapi.api,
    port: this.port,
  };

  /** A listener on {@linkcode PIPE}. */
  listen(): PipeListener {
    return new PipeListener(PIPE, SDDL, this.deps);
  }

  /** A client of {@linkcode PIPE}. */
  open(): Promise<NamedPipe> {
    return openPipe(PIPE, this.deps);
  }

  /** Both ends of a new connection. */
  async connect(listener: PipeListener): Promise<{ server: NamedPipe; client: NamedPipe }> {
    const [server, client] = await Promise.all([listener.accept(), this.open()]);
    return { server, client };
  }
}
