/** Makes a namespace of a random id and says how many there are; run as a process of its own. */
import { HcnCalls } from "./hcn_calls.ts";
import { NAMESPACE_DOCUMENT } from "./hcn_examples.ts";

using hcn = new HcnCalls();
const made = await hcn.call("HcnCreateNamespace", { id: crypto.randomUUID(), document: NAMESPACE_DOCUMENT });
await hcn.call("HcnCloseNamespace", { handle: made.handle });
const { text } = await hcn.call("HcnEnumerateNamespaces");
await Deno.stdout.write(
  new TextEncoder().encode(`0x${made.hr.toString(16)} namespaces ${JSON.parse(text).length}\n`),
);
