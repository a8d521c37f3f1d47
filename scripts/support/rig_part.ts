/** What set-up can bring: Debian packages, Debian's kernel image, npm packages that serve as tools, Wine. */
export type RigPart = "packages" | "kernel" | "npm" | "windows";

/** All of them. */
export const RIG_PARTS: readonly RigPart[] = ["packages", "kernel", "npm", "windows"];
