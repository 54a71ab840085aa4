// What both bundles share: the licence of three.js, and the hash of the sources that they were built of.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";

const ROOT = import.meta.dirname;

// SHA-256 of names and contents of all files here but those of node_modules and of the other bundle, sorted;
// tests/test_bundles.py does the same.
function sourceHash(other: string): string {
  const hash = createHash("sha256");
  const entries = readdirSync(ROOT, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(ROOT.length + 1))
    .filter((name) => !name.startsWith("node_modules/") && !name.startsWith(`src/${other}/`));
  for (const name of names.sort()) hash.update(`${name}\0`).update(readFileSync(`${ROOT}/${name}`)).update("\0");
  return hash.digest("hex");
}

// What stands at the top of a bundle that holds nothing of the folder of the other one.
export function banner(other: "player" | "studio"): string {
  return (
    "/*! Contains three.js 0.187, MIT licence, copyright 2010-2026 three.js authors. " +
    `Built from sources ${sourceHash(other)} */`
  );
}

export const licence: Plugin = {
  name: "licence",
  generateBundle() {
    const source = readFileSync(`${ROOT}/three-license.txt`);
    this.emitFile({ type: "asset", fileName: "three-license.txt", source });
  },
};
