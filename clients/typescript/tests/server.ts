/** Runs the real API for the tests, on a database of its own: `cargo dev --temporary`. Other packages' tests use it, too. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the API is. */
    server: string;
  }
}

const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));

/** Starts the server, and returns what ends it. `SCROLLBACK_TEST_URL` names one that runs already. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const running = process.env["SCROLLBACK_TEST_URL"];
  if (running !== undefined) {
    project.provide("server", running);
    return undefined;
  }
  const server = spawn("cargo", ["dev", "--temporary", "--port", "0"], {
    cwd: PROJECT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<void>((resolve) => server.once("close", () => resolve()));
  let log = "";
  server.stderr.on("data", (text: Buffer) => (log += text.toString()));
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: server.stdout }).on("line", (line) => {
      const found = /^Scrollback serves (http:\S+) /.exec(line);
      if (found?.[1] !== undefined) resolve(found[1]);
    });
    server.once("error", reject);
    void ended.then(() => reject(new Error(`cargo dev did not start:\n${log}`)));
  });
  project.provide("server", url);
  return async () => {
    // cargo becomes the server's process, so the signal reaches the server, which ends its own children.
    server.kill("SIGTERM");
    await ended;
  };
}
