import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: { "@scrollback/client": fileURLToPath(new URL("../clients/typescript/src/index.ts", import.meta.url)) },
  },
  test: {
    include: ["tests/*.test.ts"],
    globalSetup: "../clients/typescript/tests/server.ts",
    // Nothing that is tested is switched off by the one who runs it.
    allowOnly: false,
    testTimeout: 60_000,
    hookTimeout: 180_000,
  },
});
