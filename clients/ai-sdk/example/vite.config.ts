import { defineConfig } from "vite";

export default defineConfig({
  logLevel: "error",
  build: { target: "es2022", emptyOutDir: true, chunkSizeWarningLimit: 2000 },
});
