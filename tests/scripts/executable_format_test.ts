import { assertEquals } from "@std/assert";
import { targetOfExecutable } from "../../scripts/support/executable_format.ts";

function elf(machine: number): Uint8Array {
  const header = new Uint8Array(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  new DataView(header.buffer).setUint16(18, machine, true);
  return header;
}

function pe(machine: number, at = 0x80): Uint8Array {
  const header = new Uint8Array(0x100);
  const view = new DataView(header.buffer);
  header.set([0x4d, 0x5a]);
  view.setUint32(0x3c, at, true);
  if (at + 6 <= header.length) {
    header.set([0x50, 0x45, 0, 0], at);
    view.setUint16(at + 4, machine, true);
  }
  return header;
}

Deno.test("targetOfExecutable() reads the machine of ELF and PE headers", () => {
  assertEquals(targetOfExecutable(elf(62)), "x86_64-unknown-linux-gnu");
  assertEquals(targetOfExecutable(elf(183)), "aarch64-unknown-linux-gnu");
  assertEquals(targetOfExecutable(pe(0x8664)), "x86_64-pc-windows-msvc");
  assertEquals(targetOfExecutable(pe(0xaa64)), "aarch64-pc-windows-msvc");
});

Deno.test("targetOfExecutable() knows no other file", () => {
  assertEquals(targetOfExecutable(elf(243)), undefined);
  assertEquals(targetOfExecutable(pe(0x14c)), undefined);
  assertEquals(targetOfExecutable(pe(0x8664, 0xfffffff0)), undefined);
  assertEquals(targetOfExecutable(new TextEncoder().encode("#!/bin/sh\n".repeat(20))), undefined);
  for (let length = 0; length < 64; length++) {
    assertEquals(targetOfExecutable(elf(62).subarray(0, length)), undefined);
  }
});

Deno.test("targetOfExecutable() recognises the Deno that runs this test", () => {
  const header = new Uint8Array(4096);
  using file = Deno.openSync(Deno.execPath());
  const length = file.readSync(header) ?? 0;
  const arch = targetOfExecutable(header.subarray(0, length))?.split("-")[0];
  assertEquals(arch, Deno.build.arch);
});
