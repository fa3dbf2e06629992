/** The package as it is published, and the examples of its README. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EdgeVM } from "@edge-runtime/vm";
import { build, transformSync } from "esbuild";
import { expect } from "vitest";
import { test } from "./fixtures.js";
import { installed, printed } from "./installed.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const BUILT = readFileSync(join(PACKAGE, "dist/index.js"), "utf8");
const README = readFileSync(join(PACKAGE, "README.md"), "utf8");
const TOUR = readFileSync(join(PACKAGE, "../../docs/tour.md"), "utf8");
const LOCAL = "http://127.0.0.1:9000";

/** The programs of the README and of the tour, each with the output that it shows. */
const EXAMPLES = [...(README + TOUR).matchAll(/```ts\n(.*?)```\n\n```text\n(.*?)```/gs)];

test("the built module imports nothing", async () => {
  const { metafile } = await build({
    stdin: { contents: BUILT },
    bundle: true,
    external: ["*"],
    platform: "neutral",
    format: "esm",
    metafile: true,
    write: false,
  });
  expect(Object.values(metafile.inputs).flatMap(({ imports }) => imports)).toEqual([]);
});

test("it runs where there is nothing but the Web's interfaces", async ({ server }) => {
  const vm = new EdgeVM();
  const { code } = transformSync(BUILT, { format: "iife", globalName: "scrollback" });
  vm.evaluate(code);
  // Its fetch is Node's, so that the answer comes from the real API.
  vm.context.fetch = fetch;
  const result: unknown = await vm.evaluate(`(async () => {
    const client = new scrollback.ScrollbackClient(${JSON.stringify(server)});
    const chat = await client.getOrCreateConversation({ user_id: "ada", new: true });
    const reply = await client.streamReply(chat.id);
    await reply.pipe(["It is ", "raining."]);
    return (await client.getChatHistory(chat.id).all()).map(({ content }) => content);
  })()`);
  expect(result).toEqual(["It is raining."]);
});

test("it has no dependencies, and the files that it says", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: PACKAGE }).toString()) as [
    { files: { path: string }[] },
  ];
  const paths = packed.files.map(({ path }) => path).filter((path) => !/^dist\/\w+\.d\.ts$/.test(path));
  expect(paths.sort()).toEqual(
    ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "dist/index.js", "package.json"].sort(),
  );
  expect(Object.keys(JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as object)).not.toContain(
    "dependencies",
  );
});

test("what the README says installs it in an empty folder, where the first example runs", async ({ server }) => {
  const [, program = "", output = ""] = EXAMPLES[0] ?? [];
  const result = await installed(join(PACKAGE, "README.md"), (folder) => {
    const { code } = transformSync(program.replaceAll(LOCAL, server), { loader: "ts", format: "esm" });
    writeFileSync(join(folder, "example.mjs"), code);
    return printed(folder, "example.mjs");
  });
  expect(result).toBe(output);
});

test("every example of the READMEs is run", () => {
  for (const readme of [README, TOUR]) expect(readme).toContain("```ts\n");
  expect((README + TOUR).match(/```ts\n/g)?.length).toBe(EXAMPLES.length);
});

test.for(EXAMPLES.map(([, program = "", output = ""], number) => ({ number, program, output })))(
  "example $number prints what the README says, and its types are right",
  ({ program, output }, { server }) => {
    expect(program).toContain(LOCAL);
    // A folder of its own, where the package is found by its name, as in a program that uses it.
    const folder = mkdtempSync(join(PACKAGE, "../../node_modules/.scrollback-example-"));
    try {
      mkdirSync(join(folder, "node_modules/@scrollback"), { recursive: true });
      symlinkSync(PACKAGE, join(folder, "node_modules/@scrollback/client"));
      writeFileSync(join(folder, "package.json"), '{"type":"module"}');
      copyFileSync(join(PACKAGE, "tests/example.tsconfig.json"), join(folder, "tsconfig.json"));
      writeFileSync(join(folder, "example.ts"), program.replaceAll(LOCAL, server));
      execFileSync("npx", ["tsc", "--project", "."], { cwd: folder });
      expect(execFileSync("node", ["example.js"], { cwd: folder }).toString()).toBe(output);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
