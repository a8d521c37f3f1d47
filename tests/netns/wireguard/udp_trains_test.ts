/** UDP in trains through two devices in user space: cut, encrypted, joined again, every byte where it was. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { encodeKey, generateKeyPair, type KeyPair } from "../../../core/wireguard/keys.ts";
import { BackendNode } from "../../support/backend_node.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { NamedNetns, needing, testName } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";

const PORT = 51820;
const MAIN = fromFileUrl(import.meta.resolve("../../support/udp_train_main.ts"));

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>));
}

/** Two namespaces with a tunnel between them: 10.0.0.1 and 10.0.0.2. */
async function tunnel(stack: AsyncDisposableStack): Promise<[NamedNetns, NamedNetns]> {
  const ends = [stack.use(await NamedNetns.create()), stack.use(await NamedNetns.create())] as const;
  const keys = [newKeys(), newKeys()];
  const peer = ["type", "veth", "peer", "name", "ztu", "netns", ends[1].name];
  await ends[0].must(["ip", "link", "add", "ztu", ...peer]);
  for (const [i, netns] of ends.entries()) {
    await netns.must(["ip", "address", "add", `10.99.0.${i + 1}/24`, "dev", "ztu"]);
    await netns.must(["ip", "link", "set", "ztu", "up"]);
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    stack.defer(() => Deno.remove(dir, { recursive: true }));
    await stack.use(BackendNode.start(netns, dir)).ask({
      op: "ensure",
      device: {
        name: testName("t"),
        tag: "zlayer-overlayd/test/0:device",
        privateKey: encodeKey(keys[i]!.privateKey),
        listenPort: PORT,
        address: `10.0.0.${i + 1}/24`,
        mtuBytes: 1420,
        peers: [{
          publicKey: encodeKey(keys[1 - i]!.publicKey),
          endpoint: `10.99.0.${2 - i}:${PORT}`,
          allowedIps: [`10.0.0.${2 - i}/32`],
        }],
        routes: [],
      },
    });
  }
  await waitFor("the tunnel works", () => ends[0].ping("10.0.0.2"));
  return [...ends];
}

function spawn(netns: NamedNetns, args: readonly (string | number)[]): Deno.ChildProcess {
  const run = ["run", "-A", "--frozen", "--no-check", MAIN, ...args.map(String)];
  return new Deno.Command("ip", {
    args: ["netns", "exec", netns.name, Deno.execPath(), ...run],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Sends datagrams from one end to the other. @returns How many arrived unchanged, by how many receipts, and how many changed. */
async function transfer(
  [from, to]: readonly [NamedNetns, NamedNetns],
  { count, bytes, train }: { readonly count: number; readonly bytes: number; readonly train: number },
): Promise<number[]> {
  const receiver = spawn(to, ["receive", count, bytes]);
  const lines = receiver.stdout.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>);
  let text = "";
  for await (const chunk of lines) {
    text += chunk;
    const port = /^ready (\d+)\n$/.exec(text)?.[1];
    if (port === undefined) continue;
    const { success } = await spawn(from, ["send", "10.0.0.2", port, count, bytes, train]).output();
    assert(success, "the sender failed");
  }
  await receiver.status;
  return text.trim().split("\n").at(-1)!.split(" ").map(Number);
}

Deno.test({
  ...needing(["ip", "ping"], "UDP in trains and one by one arrives as it was sent"),
  fn: async (t) => {
    await using _audit = await LeakAudit.begin();
    await using stack = new AsyncDisposableStack();
    const ends = await tunnel(stack);
    // Those that go one by one must fit into the queue of the TUN, 500 packets, as nobody sends them again.
    const rows = [[1_200, 1_392, 40], [1_200, 1_391, 40], [1_200, 64, 60], [300, 1_000, 1], [120, 3_000, 1]];
    for (const [count, bytes, train] of rows as [number, number, number][]) {
      await t.step(`${train} of ${bytes} bytes`, async () => {
        const receipts = await waitFor("all to arrive", async () => {
          // A busy machine may drop some; it changes none.
          const [right, receipts, wrong] = await transfer(ends, { count, bytes, train });
          assertEquals(wrong, 0);
          return right === count && receipts;
        }, { timeoutMs: 5 * 60_000 });
        // Trains stay together all the way, where the kernel takes them.
        if (train > 1) assert(receipts < count / 4, `${receipts} receipts`);
      });
    }
  },
});
