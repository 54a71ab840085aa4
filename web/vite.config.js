import { defineConfig } from "vite";

// One classic script without imports, next to the page template, where the Python package reads them.
export default defineConfig({
  build: {
    lib: {
      entry: "src/player.js",
      formats: ["iife"],
      name: "duomotion",
      fileName: () => "player.js",
    },
    outDir: "../src/duomotion/formats/assets",
    emptyOutDir: true,
    target: "es2022",
    rolldownOptions: {
      output: { postBanner: "/*! Contains three.js 0.187, MIT licence, copyright 2010-2026 three.js authors. */" },
    },
  },
});
