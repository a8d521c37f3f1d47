/**
 * A process with the Linux backend and its WireGuard in user space, for tests that need several hosts. Reads one
 * JSON request a line, answers by one JSON line each, and ends at the end of its input, leaving everything.
 */
import { LinuxBackend } from "../../core/backend/linux.ts";
import type { DeviceSpec } from "../../core/backend/backend.ts";
import { parseIp } from "../../core/ip/address.ts";
import { parsePrefix } from "../../core/ip/prefix.ts";
import type { Log } from "../../core/log.ts";
import { decodeKey, encodeKey } from "../../core/wireguard/keys.ts";
import type { NodePeer, NodeRequest } from "./backend_node.ts";

const [uapiDir = ""] = Deno.args;
const say = (level: string) => (message: string, fields?: unknown): void =>
  void Deno.stderr.writeSync(new TextEncoder().encode(`${level} ${message} ${Deno.inspect(fields)}\n`));
const log: Log = { debug: () => {}, info: () => {}, warn: say("warn"), error: say("error") };
const backend = await LinuxBackend.open(log, { wireguard: "userspace", uapiDir });

for await (const line of lines()) {
  const answer = await handle(JSON.parse(line)).then(
    (value) => ({ value }),
    (error) => ({ error: String(error) }),
  );
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(answer ?? {})}\n`));
}
Deno.exit(0);

async function handle(request: NodeRequest): Promise<unknown> {
  switch (request.op) {
    case "ensure":
      return await backend.ensureDevice(toSpec(request.device));
    case "set":
      return await backend.changeDevice(request.name, {
        set: request.peers.map(toPeer),
        remove: [],
        addRoutes: [],
        removeRoutes: [],
      });
    case "read": {
      const state = await backend.readDevice(request.name);
      return {
        listenPort: state.listenPort,
        publicKey: encodeKey(state.publicKey),
        peers: state.peers.map((peer) => ({
          handshake: peer.lastHandshakeUnixSecs,
          rxBytes: peer.rxBytes,
          txBytes: peer.txBytes,
          endpoint: peer.endpoint && `${peer.endpoint.ip.value} ${peer.endpoint.port}`,
        })),
      };
    }
    case "remove":
      return await backend.removeDevice(request.name, request.tag);
  }
}

function toSpec(device: (NodeRequest & { op: "ensure" })["device"]): DeviceSpec {
  return {
    name: device.name,
    tag: device.tag,
    privateKey: decodeKey(device.privateKey),
    listenPort: device.listenPort,
    address: parsePrefix(device.address)!,
    mtuBytes: device.mtuBytes,
    peers: device.peers.map(toPeer),
    routes: device.routes.map((route) => parsePrefix(route)!),
  };
}

function toPeer(peer: NodePeer): DeviceSpec["peers"][number] {
  const at = peer.endpoint?.lastIndexOf(":") ?? -1;
  const host = peer.endpoint?.slice(0, at).replaceAll(/[[\]]/g, "");
  return {
    publicKey: decodeKey(peer.publicKey),
    ...host === undefined
      ? {}
      : { endpoint: { ip: parseIp(host)!, port: Number(peer.endpoint!.slice(at + 1)) } },
    allowedIps: peer.allowedIps.map((ip) => parsePrefix(ip)!),
    keepaliveSeconds: 0,
  };
}

async function* lines(): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}
