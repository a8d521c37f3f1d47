import { assertEquals } from "@std/assert";
import { IpcRig } from "../support/ipc_rig.ts";

Deno.test("[ipc 9] [daemon 32] IpcServer answers the status of a fresh daemon with nothing empty in it", async () => {
  await using rig = await IpcRig.start();
  using raw = await rig.raw();
  await raw.send('{"frame":"request","id":1,"request":{"op":"status"}}');
  assertEquals(
    await raw.receive(),
    '{"frame":"response","id":1,"response":{"result":"status","overlay_cidr":"10.200.0.0/16","peer_count":0,"service_count":0}}',
  );
  await using client = await rig.client();
  assertEquals((await client.status()).overlayCidr, "10.200.0.0/16");
});
