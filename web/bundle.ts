// What both bundles share: the licence of three.js, and the hash of the sources that they were built of.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";

const ROOT = import.meta.dirname;

// SHA-256 of names and contents of all files here but node_modules, sorted; tests/test_bundles.py does the same.
function sourceHash(): string {
  const hash = createHash("sha256");
  const entries = readdirSync(ROOT, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(ROOT.length + 1))
    .filter((name) => !name.startsWith("node_modules/"));
  for (const name of names.sort()) hash.update(`${name}\0`).update(readFileSync(`${ROOT}/${name}`)).update("\0");
  return hash.digest("hex");
}

export const banner =
  "/*! Contains three.js 0.187, MIT licence, copyright 2010-2026 three.js authors. " +
  `Built from sources ${sourceHash()} */`;

export const licence: Plugin = {
  name: "licence",
  generateBundle() {
    const source = readFileSync(`${ROOT}/three-license.txt`);
    this.emitFile({ type: "asset", fileName: "three-license.txt", source });
  },
};
