/** Flame graphs: stacks as `perf script` prints them, folded into a tree and drawn as an SVG without scripts. */

/** A function with all it was seen to call. */
export interface Frame {
  readonly name: string;
  /** Where its code is from: decides the colour. */
  readonly origin: Origin;
  /** Samples in it and below. */
  samples: number;
  readonly children: Map<string, Frame>;
}

/** Kinds of code. */
export type Origin = "root" | "kernel" | "cipher" | "javascript" | "wasm" | "runtime" | "libc" | "other";

interface Place {
  readonly name: string;
  readonly origin: Origin;
}

const SAMPLE = /^(\S.*?)\s+(\d+)(?:\/(\d+))?\s/;
const FRAME = /^\s+([0-9a-f]+) (.+) \((.*)\)$/;

/**
 * Folds the output of `perf script`.
 *
 * @param labels What to call the samples of a thread or process, by its id; others are left out if there are any.
 */
export function foldStacks(text: string, labels: ReadonlyMap<string, string> = new Map()): Frame {
  const root = newFrame({ name: "all", origin: "root" });
  for (const block of text.split(/\n\s*\n/)) {
    const [first = "", ...lines] = block.split("\n").filter((line) => line.trim() !== "");
    const head = SAMPLE.exec(first);
    if (head === null) continue;
    const label = labels.get(head[3] ?? "") ?? labels.get(head[2]!);
    if (label === undefined && labels.size > 0) continue;
    add(root, [{ name: label ?? head[1]!, origin: "root" }, ...places(lines)]);
  }
  return root;
}

/** The frames of a sample, outermost first, repetitions of nameless ones left out. */
function places(lines: readonly string[]): Place[] {
  const all = lines.map(toPlace).filter((place) => place !== undefined).reverse();
  const start = all.findIndex(({ origin }) => origin !== "runtime" && origin !== "libc");
  return all.slice(Math.max(0, start)).filter(({ name }, i, rest) => name !== rest[i - 1]?.name);
}

function toPlace(line: string): Place | undefined {
  const match = FRAME.exec(line);
  if (match === null) return undefined;
  const symbol = match[2]!.replace(/\+0x[0-9a-f]+$/, "");
  const library = match[3]!;
  if (library === "[unknown]") return undefined;
  const script = /^JS:o?[*+~^]'?(\S+) \S*?([^/]+\.ts):/.exec(symbol);
  if (script !== null) return { name: `${script[1]} ${script[2]}`, origin: "javascript" };
  if (symbol.startsWith("JS:wasm")) return { name: "copySum (WebAssembly)", origin: "wasm" };
  if (symbol.startsWith("JS:")) return { name: symbol.slice(3), origin: "javascript" };
  const origin = originOf(library);
  const hasName = symbol !== "[unknown]";
  return { name: hasName && origin !== "runtime" ? symbol : `[${library.split("/").at(-1)}]`, origin };
}

function originOf(library: string): Origin {
  if (library.startsWith("[kernel")) return "kernel";
  if (/libcrypto|libgcrypt/.test(library)) return "cipher";
  if (library.includes("libc.so")) return "libc";
  return library.includes("deno") ? "runtime" : "other";
}

function newFrame({ name, origin }: Place): Frame {
  return { name, origin, samples: 0, children: new Map() };
}

function add(root: Frame, path: readonly Place[]): void {
  let frame = root;
  frame.samples++;
  for (const place of path) {
    let child = frame.children.get(place.name);
    if (child === undefined) frame.children.set(place.name, child = newFrame(place));
    child.samples++;
    frame = child;
  }
}

const WIDTH = 1200;
const ROW = 17;
const MARGIN = 10;
/** Narrower boxes are left out. */
const LEAST_WIDTH = 1.2;
const CHARACTER_WIDTH = 6.4;

const COLORS: Readonly<Record<Origin, string>> = {
  root: "#d9d9d9",
  kernel: "#f4a582",
  cipher: "#d6604d",
  javascript: "#92c5de",
  wasm: "#4393c3",
  runtime: "#c2a5cf",
  libc: "#fdd49e",
  other: "#eeeeee",
};

/** Draws a tree, the root at the bottom. @param title One line above it. */
export function drawFlameGraph(root: Frame, title: string): string {
  const boxes: string[] = [];
  const depth = depthOf(root, WIDTH);
  const height = depth * ROW + 3 * ROW + MARGIN;
  place(root, { x: 0, level: 0 });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH + 2 * MARGIN} ${height}" ` +
    `font-family="monospace" font-size="11">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${MARGIN}" y="${ROW}" font-size="13">${escapeXml(title)}</text>`,
    ...legend(),
    ...boxes,
    "</svg>\n",
  ].join("\n");

  function place(frame: Frame, { x, level }: { readonly x: number; readonly level: number }): void {
    const width = frame.samples / root.samples * WIDTH;
    if (width < LEAST_WIDTH) return;
    boxes.push(
      box(frame, { x: x + MARGIN, y: height - MARGIN - (level + 1) * ROW, width, of: root.samples }),
    );
    let at = x;
    for (const child of byName(frame)) {
      place(child, { x: at, level: level + 1 });
      at += child.samples / root.samples * WIDTH;
    }
  }
}

/** Rows of what is wide enough to be drawn. */
function depthOf(frame: Frame, width: number): number {
  if (width < LEAST_WIDTH) return 0;
  const below = [...frame.children.values()].map((child) =>
    depthOf(child, width * child.samples / frame.samples)
  );
  return 1 + Math.max(0, ...below);
}

function byName(frame: Frame): Frame[] {
  return [...frame.children.values()].toSorted((a, b) => a.name < b.name ? -1 : 1);
}

function box(
  frame: Frame,
  { x, y, width, of }: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly of: number;
  },
): string {
  const percent = (frame.samples / of * 100).toFixed(1);
  const room = Math.floor(width / CHARACTER_WIDTH) - 1;
  const text = frame.name.length <= room ? frame.name : room < 4 ? "" : `${frame.name.slice(0, room - 1)}…`;
  const size = `x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}"`;
  return `<g><title>${escapeXml(frame.name)}: ${percent} %</title>` +
    `<rect ${size} fill="${COLORS[frame.origin]}"/>` +
    (text === "" ? "" : `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escapeXml(text)}</text>`) + "</g>";
}

function legend(): string[] {
  const shown: Origin[] = ["cipher", "kernel", "javascript", "wasm", "runtime", "libc"];
  return shown.map((origin, i) => {
    const x = MARGIN + i * 110;
    return `<rect x="${x}" y="${ROW + 8}" width="10" height="10" fill="${COLORS[origin]}"/>` +
      `<text x="${x + 14}" y="${ROW + 17}">${origin}</text>`;
  });
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
