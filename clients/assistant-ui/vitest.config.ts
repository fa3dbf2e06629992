import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/*.test.{ts,tsx}"],
    globalSetup: "../typescript/tests/server.ts",
    // Nothing that is tested is switched off by the one who runs it.
    allowOnly: false,
    testTimeout: 180_000,
  },
});
