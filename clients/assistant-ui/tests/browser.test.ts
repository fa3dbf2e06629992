/** A page of assistant-ui in a real browser. `CHROMIUM` is the browser's path. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { createUIMessageStream, pipeUIMessageStreamToResponse } from "ai";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, inject } from "vitest";
import { test } from "./fixtures.js";

const PAGE = fileURLToPath(new URL("page.tsx", import.meta.url));
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const QUIET = ["--disable-background-networking", "--disable-component-update"];

/** Serves the page, and a model that numbers its answers. */
async function serve(): Promise<{ address: string; close: () => void }> {
  const { outputFiles } = await build({
    entryPoints: [PAGE],
    bundle: true,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
  });
  let answers = 0;
  const server = createServer((request, response) => {
    if (request.method !== "POST") {
      const isScript = request.url === "/page.js";
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      response.end(isScript ? outputFiles[0]?.contents : '<body><script type="module" src="/page.js"></script></body>');
      return;
    }
    const stream = createUIMessageStream({
      execute: ({ writer }) => {
        writer.write({ type: "text-start", id: "1" });
        writer.write({ type: "text-delta", id: "1", delta: `Answer ${String((answers += 1))}` });
        writer.write({ type: "text-end", id: "1" });
      },
    });
    void pipeUIMessageStreamToResponse({ response, stream });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`, close };
}

test("three versions of an answer are there after a reload, and the one that was gone to is shown", async ({
  client,
  userId,
}) => {
  const { address, close } = await serve();
  const browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [...FLAGS, ...QUIET],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${address}?${new URLSearchParams({ api: inject("server"), user: userId }).toString()}`);
    const shows = async (answer: string, branch: string) => {
      await page.locator("[data-message]").getByText(answer).waitFor();
      await page.locator("b").last().getByText(branch).waitFor();
      expect(await page.locator("[data-message]").allTextContents()).toEqual(["Rain in Oslo?", answer]);
    };
    const line = async () => {
      const [chat] = await client.getUserConversations(userId).all();
      return chat && (await client.getChatHistory(chat.id).all()).map(({ content }) => content);
    };
    const stores = (answer: string) => expect.poll(line, { timeout: 20_000 }).toEqual(["Rain in Oslo?", answer]);

    await page.getByLabel("Message").fill("Rain in Oslo?");
    await page.getByRole("button", { name: "Send" }).click();
    for (const number of ["1", "2", "3"]) {
      if (number !== "1") await page.getByRole("button", { name: "Again" }).last().click();
      await shows(`Answer ${number}`, `${number} of ${number}`);
      await stores(`Answer ${number}`);
    }
    for (const number of ["3", "2", "1"]) {
      await page.reload();
      await page.locator("[data-thread]").click();
      await shows(`Answer ${number}`, `${number} of 3`);
      if (number === "1") break;
      const before = String(Number(number) - 1);
      await page.getByRole("button", { name: "Previous" }).last().click();
      await shows(`Answer ${before}`, `${before} of 3`);
      await stores(`Answer ${before}`);
    }
    const [chat] = await client.getUserConversations(userId).all();
    expect(chat).toMatchObject({ message_count: 2, kept_count: 2 });
  } finally {
    await browser.close();
    close();
  }
});
