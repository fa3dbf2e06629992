/** The package as it is published, and the examples of its README. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { expect, inject, test } from "vitest";
import { installed, printed } from "../../typescript/tests/installed.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = [...readFileSync(join(PACKAGE, "README.md"), "utf8").matchAll(/```(tsx?)\n(.*?)```/gs)];

test("the examples of the README have the right types", () => {
  expect(EXAMPLES).toHaveLength(2);
  const folder = mkdtempSync(join(PACKAGE, "dist/example-"));
  try {
    EXAMPLES.forEach(([, kind = "", program = ""], index) => {
      writeFileSync(join(folder, `example-${String(index)}.${kind}`), program);
    });
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const config = { extends: join(PACKAGE, "tsconfig.json"), include: ["*.ts", "*.tsx"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    execFileSync("npx", ["tsc", "--project", "."], { cwd: folder, stdio: "pipe" });
  } catch (error) {
    expect.fail(String((error as { stdout?: Buffer }).stdout ?? error));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what the README says installs it in an empty folder, where the first example runs", async () => {
  const program = (EXAMPLES[0]?.[2] ?? "").replaceAll("http://127.0.0.1:9000", inject("server"));
  const use = `
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    import { threadListAdapter } from "@scrollback/assistant-ui";
    import { ScrollbackClient } from "@scrollback/client";
    import { Chat } from "./chat.mjs";
    const userId = "user-${crypto.randomUUID()}";
    console.log(renderToString(createElement(Chat, { userId }, "the threads")));
    const adapter = threadListAdapter(new ScrollbackClient("${inject("server")}"), { userId });
    const { remoteId } = await adapter.initialize("here");
    console.log((await adapter.list()).threads.map((thread) => thread.remoteId === remoteId));
  `;
  const result = await installed(join(PACKAGE, "README.md"), (folder) => {
    const options = { loader: "tsx", format: "esm", jsx: "automatic" } as const;
    writeFileSync(join(folder, "chat.mjs"), transformSync(program, options).code);
    writeFileSync(join(folder, "use.mjs"), use);
    return printed(folder, "use.mjs");
  });
  expect(result).toBe("the threads\n[ true ]\n");
});

test("the package has the files that it says", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: PACKAGE }).toString()) as [
    { files: { path: string }[] },
  ];
  const paths = packed.files.map(({ path }) => path).filter((path) => !/^dist\/\w+\.(d\.ts|js)$/.test(path));
  expect(paths.sort()).toEqual(["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json"]);
});
