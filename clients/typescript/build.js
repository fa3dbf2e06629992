// Builds dist/: one module without imports, and its types. `--size` prints only how large a program gets by it.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MOST = 10_000;
process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const options = { entryPoints: ["src/index.ts"], bundle: true, format: "esm", target: "es2022" };

if (process.argv.includes("--size")) {
  const { outputFiles } = await build({ ...options, minify: true, write: false });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  console.log(`@scrollback/client: ${String(size)} bytes, minified and gzipped (at most ${String(MOST)})`);
  process.exitCode = size > MOST ? 1 : 0;
} else {
  rmSync("dist", { recursive: true, force: true });
  await build({ ...options, outfile: "dist/index.js", logLevel: "warning" });
  execFileSync("npx", ["tsc", "--project", "tsconfig.build.json"], { stdio: "inherit" });
}
