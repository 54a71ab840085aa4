import { defineConfig } from "vite";
import { banner, licence } from "./bundle.ts";

// One classic script without imports, next to the page template, where the Python package reads them.
export default defineConfig({
  plugins: [licence],
  build: {
    lib: {
      entry: "src/player/player.ts",
      formats: ["iife"],
      name: "duomotion",
      fileName: () => "player.js",
    },
    outDir: "../src/duomotion/formats/assets",
    emptyOutDir: true,
    target: "es2022",
    rolldownOptions: { output: { postBanner: banner("studio") } },
  },
});
