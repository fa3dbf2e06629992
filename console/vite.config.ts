import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const api = process.env["SCROLLBACK_URL"] ?? "http://127.0.0.1:9000";

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  resolve: {
    // From its sources, so that one command builds everything.
    alias: { "@scrollback/client": fileURLToPath(new URL("../clients/typescript/src/index.ts", import.meta.url)) },
  },
  build: {
    chunkSizeWarningLimit: 1000,
    target: "es2022",
    // The Content-Security-Policy allows no `data:` URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npm run dev -w console`: the page with hot reloading, and the API of a running `cargo dev`.
  server: { host: "127.0.0.1", proxy: { "/conversations": api, "/users": api } },
});
