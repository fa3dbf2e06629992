// Builds dist/: a module for each source file, and its types. `--size` prints only how large a program gets by it, with the packages of
// Scrollback that it uses. assistant-ui and React are there already.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MOST = 10_000;
process.chdir(fileURLToPath(new URL(".", import.meta.url)));

if (process.argv.includes("--size")) {
  const { outputFiles } = await build({
    entryPoints: ["src/index.ts"],
    bundle: true,
    format: "esm",
    target: "es2022",
    external: ["@assistant-ui/react", "ai", "assistant-stream", "react"],
    minify: true,
    write: false,
  });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  console.log(`@scrollback/assistant-ui: ${String(size)} bytes, minified and gzipped (at most ${String(MOST)})`);
  process.exitCode = size > MOST ? 1 : 0;
} else {
  rmSync("dist", { recursive: true, force: true });
  execFileSync("npx", ["tsc", "--project", "tsconfig.build.json"], { stdio: "inherit" });
}
