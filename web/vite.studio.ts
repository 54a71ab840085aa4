import { defineConfig } from "vite";
import { banner, licence } from "./bundle.ts";

// A page with a script and a style sheet, which the server gives out as they are.
export default defineConfig({
  root: "src/studio",
  base: "./",
  publicDir: false,
  plugins: [licence],
  build: {
    outDir: "../../../src/duomotion/studio/assets",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      output: {
        postBanner: banner("player"),
        entryFileNames: "studio.js",
        assetFileNames: "studio[extname]",
      },
    },
  },
});
