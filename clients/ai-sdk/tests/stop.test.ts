/** One process writes a reply, and another one stops it. Only the API is between them. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, inject, vi } from "vitest";
import { test } from "./fixtures.js";

const WRITER = fileURLToPath(new URL("./writer.js", import.meta.url));

test("a reply that another process writes is stopped, and its model is aborted", async ({ store, id, rows }) => {
  const writer = spawn(process.execPath, [WRITER, inject("server"), id], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  writer.stdout.on("data", (text: Buffer) => (said += text.toString()));
  const ended = new Promise<number | null>((resolve) => writer.once("close", resolve));
  try {
    const content = async () => JSON.stringify((await rows()).at(-1) ?? "nothing");
    await vi.waitUntil(async () => (await content()).includes("word-3"), { timeout: 60_000, interval: 50 });
    expect(await store.stopReply({ id })).toBe(true);
    expect(await ended).toBe(0);
    expect(said).toContain("the model is aborted\n");
    expect(said).toContain("the page knows\n");
    const [question, reply] = await rows();
    expect([question?.status, reply?.status]).toEqual(["complete", "cancelled"]);
    const shown = /shown: (.*)\n/.exec(said)?.[1] ?? "nothing";
    expect(await content()).toContain(shown);
  } finally {
    writer.kill();
  }
});
