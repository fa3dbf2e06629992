// Prints how large the built console is: what a browser loads, gzipped.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const MOST = 200_000;
const directory = new URL("dist/assets/", import.meta.url);
let total = 0;
for (const name of readdirSync(directory)) {
  const size = gzipSync(readFileSync(new URL(name, directory)), { level: 9 }).length;
  total += size;
  console.log(`${name}: ${String(size)} bytes, gzipped`);
}
console.log(`the console: ${String(total)} bytes, gzipped (at most ${String(MOST)})`);
process.exitCode = total > MOST ? 1 : 0;
