/** The example application in a real browser, with a model of the SDK's own test kit. */
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { newId, type Message, type ScrollbackClient } from "@scrollback/client";
import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { chromium, type Page } from "playwright-core";
import { build } from "vite";
import { expect } from "vitest";
import { createExample } from "../example/server.js";
import { release, test } from "./fixtures.js";

const EXAMPLE = fileURLToPath(new URL("../example", import.meta.url));
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const QUIET = ["--disable-background-networking", "--disable-component-update"];
const words = (count: number) => Array.from({ length: count }, (_, n) => `word-${String(n)} `);

/** A model whose replies have so many words, ten a second: the first reply, the second one and so on. */
function modelOf(...lengths: number[]): MockLanguageModelV3 {
  return new MockLanguageModelV3({
    doStream: () =>
      Promise.resolve({
        stream: simulateReadableStream({
          chunkDelayInMs: 100,
          chunks: [
            { type: "stream-start" as const, warnings: [] },
            { type: "text-start" as const, id: "1" },
            ...words(lengths.shift() ?? 0).map((delta) => ({ type: "text-delta" as const, id: "1", delta })),
            { type: "text-end" as const, id: "1" },
            {
              type: "finish" as const,
              finishReason: { unified: "stop" as const, raw: "stop" },
              usage: {
                inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
                outputTokens: { total: 40, text: 40, reasoning: 0 },
              },
            },
          ],
        }),
      }),
  });
}

/** The page's packages of the release that the tests run with. */
const alias = release === 7 ? { ai: "ai-v7", "@ai-sdk/react": "@ai-sdk/react-v7" } : {};

/** A page of the example, in a chat of its own. Afterwards, all of it is gone. */
async function onPage(
  client: ScrollbackClient,
  model: MockLanguageModelV3,
  use: (page: Page, chat: () => Promise<Message[]>) => Promise<void>,
): Promise<void> {
  await build({ root: EXAMPLE, configFile: `${EXAMPLE}/vite.config.ts`, resolve: { alias } });
  const user = `user-${newId()}`;
  const server = createExample(client, model, user);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [...FLAGS, ...QUIET],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`);
    await use(page, async () => {
      const [chat] = await client.getUserConversations(user).all();
      return client.getChatHistory(chat?.id ?? "").all();
    });
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
}

test("a page that is reloaded in the middle of a reply goes on with it", async ({ client }) => {
  await onPage(client, modelOf(80), async (page, chat) => {
    await page.getByLabel("Message").fill("Say something.");
    await page.getByRole("button", { name: "Send" }).click();
    const reply = page.locator("[data-role=assistant]");
    await reply.getByText("word-12").waitFor();
    await page.reload();
    await reply.getByText("word-12").waitFor();
    // The reply is still being written, and grows.
    expect(await page.locator("main").getAttribute("data-status")).toBe("streaming");
    await reply.getByText("word-79").waitFor();
    await page.locator("main[data-status=ready]").waitFor();
    const expected = ["Say something.", words(80).join("")];
    expect(await page.locator("[data-role]").allTextContents()).toEqual(expected);
    // After another reload, the page has it from what is stored, once.
    await page.reload();
    await page.locator("main[data-status=ready]").waitFor();
    expect(await page.locator("[data-role]").allTextContents()).toEqual(expected);
    expect((await chat()).map(({ role, status }) => [role, status])).toEqual([
      ["user", "complete"],
      ["assistant", "complete"],
    ]);
  });
});

test("a page that is reloaded in the middle of a reply stops it", async ({ client }) => {
  // The first reply has no end in the time of a test.
  await onPage(client, modelOf(3000, 3), async (page, chat) => {
    await page.getByLabel("Message").fill("Say something.");
    await page.getByRole("button", { name: "Send" }).click();
    const reply = page.locator("[data-role=assistant]");
    await reply.getByText("word-3 ").waitFor();
    await page.reload();
    await reply.getByText("word-3 ").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    // Both the page that follows and the model's stream come to their ends, with nothing but the API between them.
    await page.locator("main[data-status=ready]").waitFor();
    const [, stored] = await chat();
    expect(stored?.status).toBe("cancelled");
    const [, shown = ""] = await page.locator("[data-role]").allTextContents();
    await page.reload();
    await reply.waitFor();
    // The writer may have shown some more, to a page that was there before.
    const [, kept = ""] = await page.locator("[data-role]").allTextContents();
    expect([kept.startsWith(shown), kept.includes("word-2999")]).toEqual([true, false]);
    await page.getByLabel("Message").fill("Go on.");
    await page.getByRole("button", { name: "Send" }).click();
    await reply.nth(1).getByText("word-2").waitFor();
    await page.locator("main[data-status=ready]").waitFor();
    expect((await chat()).map(({ status }) => status)).toEqual(["complete", "cancelled", "complete", "complete"]);
  });
});
