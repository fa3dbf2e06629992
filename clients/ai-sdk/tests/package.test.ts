/** The package as it is published, and the examples of its README. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { expect, inject, test } from "vitest";
import { installed, printed } from "../../typescript/tests/installed.js";
import { release } from "./fixtures.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = [...readFileSync(join(PACKAGE, "README.md"), "utf8").matchAll(/```ts\n(.*?)```/gs)];

test("the examples of the README have the right types", () => {
  expect(EXAMPLES).toHaveLength(4);
  const folder = mkdtempSync(join(PACKAGE, "dist/example-"));
  try {
    const names = ["chats.ts", "route.ts", "stream.ts", "stop.ts"];
    EXAMPLES.forEach(([, program = ""], index) => {
      writeFileSync(join(folder, names[index] ?? ""), program);
    });
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const base = join(PACKAGE, release === 7 ? "tsconfig.v7.json" : "tsconfig.json");
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: base, include: [join(folder, "*.ts")] }));
    execFileSync("npx", ["tsc", "--project", "."], { cwd: folder, stdio: "pipe" });
  } catch (error) {
    expect.fail(String((error as { stdout?: Buffer }).stdout ?? error));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what the README says installs it in an empty folder, where the first example runs", async () => {
  const program = (EXAMPLES[0]?.[1] ?? "").replaceAll("http://127.0.0.1:9000", inject("server"));
  const use = `
    import { openChat, chats } from "./chats.mjs";
    const { id } = await openChat("user-${crypto.randomUUID()}", crypto.randomUUID());
    const message = { id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text: "Rain?" }] };
    await chats.saveChat({ id, messages: [message] });
    console.log((await chats.loadChat(id))[0].parts[0].text);
  `;
  const result = await installed(join(PACKAGE, "README.md"), (folder) => {
    writeFileSync(join(folder, "chats.mjs"), transformSync(program, { loader: "ts", format: "esm" }).code);
    writeFileSync(join(folder, "use.mjs"), use);
    return printed(folder, "use.mjs");
  });
  expect(result).toBe("Rain?\n");
});

test("the package has the files that it says", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: PACKAGE }).toString()) as [
    { files: { path: string }[] },
  ];
  const paths = packed.files.map(({ path }) => path).filter((path) => !/^dist\/\w+\.(d\.ts|js)$/.test(path));
  expect(paths.sort()).toEqual(["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json"]);
});
