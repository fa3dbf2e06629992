// Builds dist/: a module for each source file, and its types. tsc is enough, because `ai` and the client stay imports.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
rmSync("dist", { recursive: true, force: true });
execFileSync("npx", ["tsc", "--project", "tsconfig.build.json"], { stdio: "inherit" });
