import { defineConfig } from "vitest/config";

// AI_SDK=7 runs the same tests with the other release.
const release = process.env["AI_SDK"] ?? "6";

export default defineConfig({
  resolve: { alias: { ai: release === "7" ? "ai-v7" : "ai" } },
  test: {
    include: ["tests/*.test.ts"],
    globalSetup: "../typescript/tests/server.ts",
    // Nothing that is tested is switched off by the one who runs it.
    allowOnly: false,
    testTimeout: 180_000,
  },
});
