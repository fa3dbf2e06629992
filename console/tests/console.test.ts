/** The console in a real browser, against the real API. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { newId, ScrollbackClient, type NewMessage } from "@scrollback/client";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { launch, open, ready, violations } from "./browser.js";

const base = inject("server");
const client = new ScrollbackClient(base);
const TRANSCRIPTS = process.env["TRANSCRIPTS"] ?? "";

let browser: Browser;
let page: Page;
let problems: string[];

beforeAll(async () => {
  browser = await launch();
  const opened = await open(browser, base);
  await ready(opened.page, base);
  await opened.page.context().close();
});
afterAll(() => browser.close());
beforeEach(async () => {
  ({ page, problems } = await open(browser, base));
});
afterEach(async () => {
  await page.context().close();
  expect(problems).toEqual([]);
});

let users = 0;
const newUser = () => `user ${String(++users)}/${newId().slice(-6)}`;

async function conversation(messages: NewMessage[], title = "Rain in Oslo", user = newUser()) {
  const made = await client.getOrCreateConversation({ user_id: user, new: true, title });
  const stored = messages.length === 0 ? [] : (await client.addMessages(made.id, { messages })).items;
  return { user, id: made.id, messages: stored };
}

const SMALL: NewMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Is it raining in Oslo?" },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "get_weather", arguments: '{"city":"Oslo"}' } }],
  },
  { role: "tool", tool_call_id: "c1", content: '{"rain":true,"millimetres":7}' },
  { role: "assistant", content: "It is. Take an **umbrella**.", token_count: 12 },
];

/** A question with three answers. The first one was asked about, and the last one is on the line. */
async function threeAnswers(name?: string) {
  const question: NewMessage = { role: "user", content: "Is it raining?" };
  const made = await conversation([
    question,
    { role: "assistant", content: "No.", name },
    { role: "user", content: "Are you sure?" },
  ]);
  for (const content of ["A little.", "Yes."])
    await client.addMessage(made.id, { role: "assistant", content, name, parent_id: made.messages[0]?.id ?? "" });
  return made;
}

/** What the messages of the current line say. */
const line = async (id: string) => (await client.getChatHistory(id).all()).map(({ content }) => content);

async function visit(place: Record<string, string>) {
  await page.goto(`${base}/console?${new URLSearchParams(place).toString()}`);
}

const article = (position: number) => page.locator(`article[data-position="${String(position)}"]`);
const dialog = () => page.getByRole("dialog");

async function choose(menu: string, item: string) {
  await page.getByRole("button", { name: menu, exact: true }).click();
  await page.getByRole("menuitem", { name: item, exact: true }).click();
}

/** What the model sees, with a slider moved to one of its stops, the first one being 0. */
async function openPanel() {
  await page.keyboard.press("c");
  const panel = page.getByRole("complementary", { name: "What the model sees" });
  const slide = async (name: string, stop: number) => {
    const slider = panel.getByRole("slider", { name });
    await slider.focus();
    await page.keyboard.press("Home");
    for (let at = 0; at < stop; at++) await page.keyboard.press("ArrowRight");
    return slider;
  };
  return { panel, slide };
}

const actions = (position: number, item: string) => choose(`Actions for message ${String(position)}`, item);
const undo = () => page.getByRole("status").getByRole("button", { name: "Undo" }).click();

/** From the empty page: the user, a search, the message that was found, its tool call, and a fork there. */
async function findReadAndFork(user: string, words: string) {
  await ready(page, base);
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.keyboard.press("Enter");
  await page.locator(".conversations a").first().waitFor();
  await page.keyboard.press("Escape");
  await page.getByLabel("Search titles and messages").fill(words);
  await page.locator(".hits a").first().click();
  const current = page.locator("article.current");
  await current.waitFor();
  const call = page.locator("details.call").first();
  await call.locator("summary").click();
  await call.getByRole("region", { name: "Result" }).locator("pre").waitFor();
  const position = Number(await current.getAttribute("data-position"));
  const source = new URL(page.url()).searchParams.get("conversation") ?? "";
  await actions(position, "Fork from here");
  await page.getByText(`forked at #${String(position)}`).waitFor();
  const fork = new URL(page.url()).searchParams.get("conversation") ?? "";
  const copied = await client.getChatHistory(fork).all();
  expect(copied.at(-1)?.position).toBe(position);
  expect((await client.getConversation(fork)).forked_from?.conversation_id).toBe(source);
}

test("somebody finds, reads, searches and forks a conversation", async () => {
  const { user } = await conversation(SMALL);
  await conversation([{ role: "user", content: "Nothing" }], "Another one", user);
  await findReadAndFork(user, "umbrella");
  await undo();
  await page.getByText("forked at").waitFor({ state: "detached" });
  expect(await client.getUserConversations(user).all()).toHaveLength(2);
});

test.skipIf(!existsSync(TRANSCRIPTS))("somebody finds, reads, searches and forks a real transcript", async () => {
  const user = newUser();
  const lines = readFileSync(TRANSCRIPTS, "utf8").trim().split("\n").slice(0, 40);
  for (const line of lines) {
    const { id, messages } = JSON.parse(line) as { id: string; messages: NewMessage[] };
    await conversation(messages, id, user);
  }
  await findReadAndFork(user, "certificate");
  await page.getByLabel("Search titles and messages").fill("");
  await page.locator(".conversations a").nth(5).click();
  await page.locator("article").first().waitFor();
  expect(await violations(page)).toEqual([]);
});

test("a conversation is pinned and archived, and both are taken back", async () => {
  const { user, id } = await conversation(SMALL);
  await visit({ user, conversation: id });
  await choose("Actions for the conversation", "Pin");
  await page.locator(".heading .badge", { hasText: "pinned" }).waitFor();
  await page.getByRole("button", { name: "Pinned" }).click();
  await page.locator(".conversations a", { hasText: "Rain in Oslo" }).waitFor();
  await undo();
  await page.getByText("No conversations here.").waitFor();
  expect((await client.getConversation(id)).pinned_at).toBeNull();
  await choose("Actions for the conversation", "Archive");
  await page.getByRole("button", { name: "Archived" }).click();
  await page.locator(".conversations a", { hasText: "Rain in Oslo" }).waitFor();
  await undo();
  await page.getByText("No conversations here.").waitFor();
  expect((await client.getConversation(id)).archived_at).toBeNull();
});

test("a hundred thousand messages scroll, and each can be linked to", { timeout: 150_000 }, async () => {
  const [user, id] = [newUser(), newId()];
  const time = { created_at: "2026-11-22T10:00:00.000000Z", updated_at: "2026-11-22T10:00:00.000000Z" };
  const first = { conversation: { id, metadata: {}, ...time }, summaries: [], next_position: 100_001 };
  const lines = [`${JSON.stringify(first)}\n`];
  for (let position = 1; position <= 100_000; position++) {
    const role = position % 2 === 1 ? "user" : "assistant";
    const content = `Message number ${String(position)}`;
    const message = { id: newId(), conversation_id: id, position, role, content, metadata: {}, ...time };
    lines.push(`${JSON.stringify({ message: { ...message, status: "complete" } })}\n`);
  }
  expect((await client.importUser(user, lines)).messages).toBe(100_000);
  await visit({ user, conversation: id });
  await article(100_000).waitFor();
  expect(await page.locator("article").count()).toBeLessThan(60);
  await page.getByRole("feed").focus();
  await page.keyboard.press("Home");
  await article(1).waitFor();
  await page.getByRole("feed").evaluate((feed) => (feed.scrollTop = feed.scrollHeight / 2));
  await page.locator("article").first().waitFor();
  const [middle] = await client.getChatHistory(id, { after: 41_233, limit: 1 }).all();
  await visit({ user, conversation: id, message: middle?.id ?? "" });
  await page.locator("article.current").getByText("Message number 41234").waitFor();
  await expect
    .poll(() =>
      page
        .locator("article.current")
        .boundingBox()
        .then((box) => box?.y ?? 0),
    )
    .toBeGreaterThan(100);
  expect(await page.locator("article").count()).toBeLessThan(60);
});

test("the limits show which messages a model would be sent, and why others are not", async () => {
  const { user, id } = await conversation([
    ...SMALL,
    { role: "user", content: "And in Bergen?" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c2", type: "function", function: { name: "get_weather", arguments: "{}" } }],
    },
    { role: "user", content: "Never mind. In Rome?" },
  ]);
  await visit({ user, conversation: id });
  await article(8).waitFor();
  const { panel, slide } = await openPanel();
  await article(7).getByText("repaired: a call got no result").waitFor();
  await panel.getByText("[no result: interrupted]").waitFor();
  const most = await slide("Messages at most", 3);
  expect(await most.getAttribute("aria-valuetext")).toBe("5");
  await article(2).getByText("not sent: over the limit").waitFor();
  expect(await article(1).locator(".fate").count()).toBe(0);
  expect(await article(8).locator(".fate").count()).toBe(0);
  await panel.getByLabel("Format").selectOption("anthropic");
  await panel.getByText('"tool_use"').waitFor();
  await client.addMessage(id, { role: "assistant", content: "In Rome the sun shines." });
  await panel.getByText("In Rome the sun shines.").waitFor();
  expect(await violations(page)).toEqual([]);
});

test("a link keeps what the panel asks for, and says what the API refuses", async () => {
  const { user, id, messages } = await conversation(SMALL);
  await client.getOrCreateConversation({ user_id: user, new: true, title: "Another" });
  await visit({ user, conversation: id });
  await article(1).waitFor();
  const { panel, slide } = await openPanel();
  const most = await slide("Messages at most", 0);
  await panel.getByLabel("Unanswered calls").selectOption({ label: "are left out" });
  await panel.getByLabel("Format").selectOption("anthropic");
  const asked = { format: "anthropic", max_messages: "1", unanswered: "drop" };
  const query = () => Object.fromEntries(new URL(page.url()).searchParams);
  expect(query()).toEqual({ user, conversation: id, ...asked });
  await actions(2, "Copy link");
  const link = await page.evaluate(() => navigator.clipboard.readText());
  await page.goto(link);
  await panel.getByText('"role": "user"').waitFor();
  expect(await most.getAttribute("aria-valuetext")).toBe("1");
  expect(await panel.getByLabel("Format").inputValue()).toBe("anthropic");
  expect(await panel.getByLabel("Unanswered calls").inputValue()).toBe("drop");
  // It stays for the next conversation. Closing it leaves the URL as it was before.
  await page.locator(".conversations a").getByText("Another").click();
  await page.getByRole("heading", { name: "Another" }).waitFor();
  expect(query()).toMatchObject(asked);
  await panel.getByRole("button", { name: "Close the panel" }).click();
  await panel.waitFor({ state: "detached" });
  expect(Object.keys(query())).toEqual(["user", "conversation"]);
  // A limit between two stops, one that is no number, and a format that there is not.
  await visit({ user, conversation: id, format: "telegram", max_messages: "6", step: "often" });
  await panel.getByText('"role": "user"').waitFor();
  expect(await most.getAttribute("aria-valuetext")).toBe("6");
  expect(await most.getAttribute("aria-valuenow")).toBe("3");
  await most.focus();
  await page.keyboard.press("ArrowRight");
  expect(query()).toEqual({ user, conversation: id, format: "openai", max_messages: "7" });
  await visit({ user, conversation: id, message: messages[0]?.id ?? "", format: "openai", max_messages: "0" });
  await panel.getByRole("alert").getByText("max_messages: must be a whole number from 1").waitFor();
  // What is sent, and what is greyed.
  await expect.poll(() => problems.filter((problem) => problem.includes("400"))).toHaveLength(2);
  problems.splice(0);
});

test("each filter and a search by title show the conversations that they say", async () => {
  const { user } = await conversation([], "Rain in Oslo");
  const { id: pinned } = await conversation([], "Snow in Bergen", user);
  const { id: archived } = await conversation([], "Sun in Rome", user);
  await client.updateConversation(pinned, { pinned: true });
  await client.updateConversation(archived, { archived: true });
  await visit({ user });
  const titles = page.locator(".conversations a .title");
  const shown = () => titles.allTextContents().then((all) => all.map((title) => title.trim()).sort());
  for (const [filter, expected] of [
    ["Active", ["Rain in Oslo", "Snow in Bergen"]],
    ["Pinned", ["Snow in Bergen"]],
    ["Archived", ["Sun in Rome"]],
    ["All", ["Rain in Oslo", "Snow in Bergen", "Sun in Rome"]],
  ] as const) {
    await page.getByRole("button", { name: filter, exact: true }).click();
    await expect.poll(shown).toEqual(expected);
  }
  await page.getByLabel("Search titles and messages").fill("rome");
  await expect.poll(shown).toEqual(["Sun in Rome"]);
  await page.getByLabel("Search titles and messages").fill("moon");
  await page.getByText("No such title.").waitFor();
  await page.getByText("No message has these words.").waitFor();
});

test("Markdown, who, when and how many tokens", async () => {
  const content =
    "# Oslo\n\n| day | rain |\n|---|---|\n| Monday | 7 mm |\n\n```py\nprint(1)\n```\n\n- [x] **dry** `socks`";
  const { user, id, messages } = await conversation([
    { role: "user", content: "Tell me.", name: "ada" },
    { role: "assistant", content, token_count: 1234 },
  ]);
  await visit({ user, conversation: id });
  const reply = article(2);
  await reply.getByRole("heading", { name: "Oslo" }).waitFor();
  expect(await reply.getByRole("cell").allTextContents()).toEqual(["Monday", "7 mm"]);
  expect((await reply.locator("pre code").innerText()).trim()).toBe("print(1)");
  await reply.getByText("☑").waitFor();
  expect(await reply.locator("strong").innerText()).toBe("dry");
  await article(1).getByText("User · ada").waitFor();
  await reply.getByText("Assistant", { exact: true }).waitFor();
  await reply.getByText("1,234 tokens").waitFor();
  expect(await reply.locator("time").getAttribute("datetime")).toBe(messages[1]?.created_at);
});

test("tool calls of every provider stand with their results", async () => {
  const text = "Let me look.";
  const { user, id } = await conversation([
    { role: "user", content: "Rain?" },
    {
      role: "assistant",
      content: [
        { type: "text", text },
        { type: "tool_use", id: "t1", name: "get_weather", input: { city: "Oslo" } },
      ],
    },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "rain" }] },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "function", function: { name: "get_tides", arguments: "{}" } }],
    },
  ]);
  await visit({ user, conversation: id });
  const anthropic = article(2).locator("details.call");
  await anthropic.getByText("get_weather").waitFor();
  expect(await anthropic.locator(".badge").innerText()).toBe("result");
  await anthropic.locator("summary").click();
  await anthropic.getByRole("region", { name: "Result" }).getByText("rain").waitFor();
  const open = article(4).locator("details.call");
  await open.getByText("get_tides").waitFor();
  expect(await open.locator(".badge").innerText()).toBe("no result");
});

test("the panel says why a message is not sent, and takes every limit of the API", async () => {
  const call = (id: string) => [{ id, type: "function", function: { name: "get_weather", arguments: "{}" } }];
  const { user, id } = await conversation([
    { role: "user", content: "Is it raining in Oslo?" },
    { role: "assistant", content: "It is." },
    { role: "user", content: "And in Bergen?" },
    { role: "assistant", content: null, tool_calls: call("c1") },
    { role: "tool", tool_call_id: "c1", content: "Seven millimetres. ".repeat(10) },
    { role: "assistant", content: "Wait", tool_calls: call("c2") },
    { role: "user", content: "Never mind. In Rome?" },
    { role: "assistant", content: null, tool_calls: call("c3") },
  ]);
  await client.summarizeConversation(id, { through: 2, content: "It rains in Oslo." });
  await visit({ user, conversation: id });
  await article(8).waitFor();
  const { panel, slide } = await openPanel();
  const most = await slide("Messages at most", 4);
  expect(await most.getAttribute("aria-valuetext")).toBe("7");
  await article(1).getByText("not sent: the summary stands for it").waitFor();
  await article(6).getByText("repaired: a call got no result").waitFor();
  await article(8).getByText("not sent: a tool is still running").waitFor();
  const border = (position: number) => article(position).evaluate((element) => getComputedStyle(element).borderStyle);
  expect([await border(1), await border(3), await border(6)]).toEqual(["dashed", "solid", "dashed"]);
  await panel.getByLabel("Unanswered calls").selectOption({ label: "are left out" });
  await article(6).getByText("repaired: an unanswered call is left out").waitFor();
  await panel.getByText("[no result: interrupted]").waitFor({ state: "detached" });
  await panel.getByText("Seven millimetres").waitFor();
  const results = await slide("Tool results in full", 0);
  expect(await results.getAttribute("aria-valuetext")).toBe("0");
  await panel.getByText("[omitted: 190 characters]").waitFor();
  await panel.getByRole("button", { name: "Copy as curl" }).click();
  await page.getByRole("status").getByText("Copied.").waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const printed = execFileSync("sh", ["-c", `${command} -s --noproxy '*'`], { encoding: "utf8" });
  expect(JSON.parse(printed)).toMatchObject({ elided: 1, repaired: [6], open_calls: ["c3"] });
  expect(await violations(page)).toEqual([]);
});

const KEEP = "Keep the old version";

test("an edit in place is saved, and taken back", async () => {
  const { user, id, messages } = await conversation(SMALL);
  await visit({ user, conversation: id });
  await article(2).focus();
  await page.keyboard.press("e");
  await dialog().getByLabel("Content").fill("Is it snowing in Oslo?");
  await dialog().getByLabel(KEEP).uncheck();
  expect(await violations(page)).toEqual([]);
  await dialog().getByRole("button", { name: "Save" }).click();
  await article(2).getByText("Is it snowing in Oslo?").waitFor();
  await undo();
  await article(2).getByText("Is it raining in Oslo?").waitFor();
  expect((await client.getMessage(id, messages[1]?.id ?? "")).content).toBe("Is it raining in Oslo?");
  expect((await client.getConversation(id)).kept_count).toBe(0);
});

test("an edit is another version, and undo leads back to the old line", async () => {
  const [name, metadata, reasoning_content] = ["ada", { channel: "web" }, "Hm."];
  const { user, id } = await conversation([
    { role: "user", content: "Is it raining in Oslo?", name, metadata, reasoning_content },
    { role: "assistant", content: "It is." },
  ]);
  await visit({ user, conversation: id });
  await actions(1, "Edit …");
  await dialog().getByLabel("Content").fill("Is it snowing in Oslo?");
  await dialog().getByRole("button", { name: "Save" }).click();
  await page.locator("article.current").getByText("Is it snowing in Oslo?").waitFor();
  await article(3).getByText("2 of 2").waitFor();
  expect(await line(id)).toEqual(["Is it snowing in Oslo?"]);
  const [edited] = await client.getChatHistory(id).all();
  expect(edited).toMatchObject({ role: "user", name, metadata, extra: { reasoning_content } });
  await undo();
  await article(2).getByText("It is.").waitFor();
  await article(1).getByText("1 of 2").waitFor();
  expect(await line(id)).toEqual(["Is it raining in Oslo?", "It is."]);
});

test("regenerate keeps the reply, and undo leads back to it", async () => {
  const { user, id } = await conversation([...SMALL, { role: "user", content: "Thanks." }]);
  const before = await line(id);
  await visit({ user, conversation: id });
  await actions(5, "Regenerate from here");
  await article(5).waitFor({ state: "detached" });
  expect(await line(id)).toEqual(before.slice(0, 4));
  // What the application writes now is another version.
  await client.addMessage(id, { role: "assistant", content: "It pours." });
  await article(7).getByText("2 of 2").waitFor();
  await undo();
  await article(6).getByText("Thanks.").waitFor();
  await article(5).getByText("1 of 2").waitFor();
  expect(await line(id)).toEqual(before);
  // A reply without a message before it leaves an empty line.
  const greeting = await conversation([{ role: "assistant", content: "Hello." }]);
  await visit({ user: greeting.user, conversation: greeting.id });
  await actions(1, "Regenerate from here");
  await page.getByText("No version is chosen.").waitFor();
  await undo();
  await article(1).getByText("Hello.").waitFor();
});

test("the keyboard pages through the versions of a reply, and the focus stays with it", async () => {
  const { user, id } = await threeAnswers();
  await visit({ user, conversation: id });
  const newest = article(5).getByRole("group", { name: "Versions" });
  await newest.getByText("3 of 3").waitFor();
  expect(await article(5).getAttribute("aria-label")).toBe("Assistant, message 5, version 3 of 3");
  const back = page.getByRole("button", { name: /^Previous version/ });
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
  await back.focus();
  expect(await focused()).toBe("Previous version (3 of 3)");
  await page.keyboard.press("Enter");
  await expect.poll(focused).toBe("Previous version (2 of 3)");
  await page.keyboard.press("Enter");
  await expect.poll(focused).toBe("Previous version (1 of 3)");
  // What followed that version is back with it.
  await article(3).getByText("Are you sure?").waitFor();
  expect(await line(id)).toEqual(["Is it raining?", "No.", "Are you sure?"]);
  // Nothing is before the first one: the button stays, and says so.
  expect(await back.getAttribute("aria-disabled")).toBe("true");
  const { version } = await client.getConversation(id);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  expect(await focused()).toBe("Next version (1 of 3)");
  expect((await client.getConversation(id)).version).toBe(version);
  await page.keyboard.press("Enter");
  await expect.poll(focused).toBe("Next version (2 of 3)");
  await article(3).waitFor({ state: "detached" });
  expect(await violations(page)).toEqual([]);
});

test("the outline has every version, and each entry leads to its line", async () => {
  const { user, id } = await threeAnswers();
  await visit({ user, conversation: id });
  const open = () => page.getByRole("button", { name: "3 more in versions" }).click();
  await open();
  const entries = dialog().getByRole("listitem").getByRole("button");
  await expect
    .poll(() => entries.allInnerTexts().then((all) => all.map((text) => text.replace(/\s+/g, " "))))
    .toEqual(["User Is it raining? #1", "Assistant No. #2 and 1 more", "Assistant A little. #4", "Assistant Yes. #5"]);
  const marked = () => entries.evaluateAll((all) => all.map((entry) => entry.getAttribute("aria-current")));
  expect(await marked()).toEqual(["true", null, null, "true"]);
  expect(await dialog().locator("li li").count()).toBe(3);
  expect(await violations(page)).toEqual([]);
  await entries.nth(1).focus();
  await page.keyboard.press("Enter");
  await article(3).getByText("Are you sure?").waitFor();
  await dialog().waitFor({ state: "detached" });
  expect(await line(id)).toEqual(["Is it raining?", "No.", "Are you sure?"]);
  // An entry of the line shows its message, and moves nothing.
  const { version } = await client.getConversation(id);
  await page.getByRole("button", { name: "2 more in versions" }).click();
  await entries.first().click();
  await page.locator("article.current[data-position='1']").waitFor();
  expect((await client.getConversation(id)).version).toBe(version);
});

test("a link to a kept message offers its line", async () => {
  const { user, id, messages } = await threeAnswers();
  await visit({ user, conversation: id, message: messages[1]?.id ?? "" });
  await page.getByText("The message of this link is not on the current line.").waitFor();
  await page.getByRole("button", { name: "Show its line" }).click();
  await page.locator("article.current").getByText("No.").waitFor();
  await page.getByText("The message of this link is not on the current line.").waitFor({ state: "detached" });
  expect(await line(id)).toEqual(["Is it raining?", "No.", "Are you sure?"]);
});

test("kept messages are counted where they are deleted", async () => {
  const { user, id, messages } = await threeAnswers();
  await client.selectLine(id, { message_id: messages[2]?.id ?? "" });
  await client.addMessage(id, { role: "user", content: "Really?", parent_id: messages[1]?.id ?? "" });
  await visit({ user, conversation: id });
  await article(6).getByText("2 of 2").waitFor();
  await choose("Actions for the conversation", "Delete …");
  await dialog().getByRole("button", { name: "Delete 6 messages" }).waitFor();
  await dialog().getByRole("button", { name: "Cancel" }).click();
  await choose("This user", "Erase the user …");
  await dialog().getByRole("button", { name: "Erase 1 conversation and 6 messages" }).waitFor();
  await dialog().getByRole("button", { name: "Cancel" }).click();
  // "Are you sure?" is kept below "No.", and goes with it. The other answers stay.
  await actions(2, "Rewind to here …");
  await dialog().getByText("with the versions of what comes after it").waitFor();
  await dialog().getByRole("button", { name: "Delete 3 messages" }).click();
  await page.getByRole("status").getByText("Deleted 3 messages.").waitFor();
  expect((await client.tree(id).all()).map(({ position }) => position)).toEqual([1, 4, 5]);
});

test("a tool's result that has versions is shown for itself, too", async () => {
  const { user, id, messages } = await conversation(SMALL);
  await client.addMessage(id, { role: "tool", tool_call_id: "c1", content: "dry", parent_id: messages[2]?.id ?? "" });
  await visit({ user, conversation: id });
  await article(6).getByRole("button", { name: "Previous version (2 of 2)" }).click();
  await article(5).getByText("umbrella").waitFor();
  await article(4).getByText("1 of 2").waitFor();
});

test("versions fit on a phone", async () => {
  const { user, id } = await threeAnswers("averylongname".repeat(4));
  await page.context().close();
  ({ page, problems } = await open(browser, base, { viewport: { width: 390, height: 844 }, hasTouch: true }));
  await visit({ user, conversation: id });
  const inside = async (role: ReturnType<typeof article>) => {
    for (const one of await role.all()) {
      const box = await one.boundingBox();
      expect(box?.x).toBeGreaterThanOrEqual(0);
      expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(390);
    }
  };
  const back = page.getByRole("button", { name: "Previous version (3 of 3)" });
  await back.waitFor();
  await inside(article(5).locator(".versions, .versions *"));
  await inside(page.locator("header :is(button, select, input)"));
  await back.tap();
  await article(4).getByText("2 of 3").waitFor();
  await page.getByRole("button", { name: "3 more in versions" }).tap();
  await dialog().getByRole("listitem").first().waitFor();
  await inside(dialog().getByRole("button"));
  expect(await violations(page)).toEqual([]);
});

/** A small generator of numbers, so that a failure can be repeated. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test.each([1, 2, 3])("random versions: the page shows the line, and loses nothing (%i)", async (seed) => {
  const pick = random(seed);
  const { user, id } = await threeAnswers();
  await visit({ user, conversation: id });
  let stored = 5;
  // The page agrees with the API before a move, too: the step ends when the API has answered.
  const answer = (method: string) => page.waitForResponse((response) => response.request().method() === method);
  for (let step = 0; step < 25; step++) {
    const shown = page.locator("article");
    const buttons = page.locator(".versions button:not([aria-disabled=true])");
    const what = pick(6);
    if (what === 0) {
      await client.addMessage(id, { role: pick(2) === 0 ? "user" : "assistant", content: `Step ${String(step)}` });
      stored += 1;
    } else if (what === 1 && (await buttons.count()) > 0) {
      const moved = answer("PUT");
      await buttons.nth(pick(await buttons.count())).click();
      await moved;
    } else if (what === 2 && (await shown.count()) > 0) {
      const position = await shown.nth(pick(await shown.count())).getAttribute("data-position");
      await actions(Number(position), "Edit …");
      await dialog()
        .getByLabel("Content")
        .fill(`Edited in step ${String(step)}`);
      const saved = answer("POST");
      await dialog().getByRole("button", { name: "Save" }).click();
      if ((await saved).ok()) stored += 1;
      else await dialog().getByRole("button", { name: "Cancel" }).click();
      await dialog().waitFor({ state: "detached" });
    } else if (what === 3) {
      const reply = page.locator("article.assistant").last();
      if ((await reply.count()) > 0) {
        const moved = answer("PUT");
        await actions(Number(await reply.getAttribute("data-position")), "Regenerate from here");
        // The report of a refusal comes behind the browser's own word of it.
        if (!(await moved).ok()) await page.getByText("Somebody has written here in between").last().waitFor();
      }
    } else if (what === 4) {
      await page.getByRole("button", { name: /more in versions$/ }).click();
      const entries = dialog().getByRole("listitem").getByRole("button");
      await entries.first().waitFor();
      const entry = entries.nth(pick(await entries.count()));
      const moved = (await entry.getAttribute("aria-current")) === null ? answer("PUT") : undefined;
      await entry.click();
      await dialog().waitFor({ state: "detached" });
      await moved;
    } else if (what === 5) {
      const taken = page.getByRole("status").getByRole("button", { name: "Undo" }).last();
      if ((await taken.count()) > 0) {
        const moved = answer("PUT");
        await taken.click();
        await moved;
      }
    }
    await expect
      .poll(
        async () => {
          const { message_count, kept_count } = await client.getConversation(id);
          expect(message_count + kept_count).toBe(stored);
          const all = await client.getChatHistory(id, { include: "versions" }).all();
          const there = all.map(({ position, versions = [], id: message }) => {
            const which = `${String(versions.indexOf(message) + 1)} of ${String(versions.length)}`;
            return `${String(position)} ${versions.length > 1 ? which : ""}`;
          });
          const seen = await page.evaluate(() =>
            [...document.querySelectorAll<HTMLElement>("article")].map(
              (one) => `${one.dataset["position"] ?? ""} ${one.querySelector(".versions > span")?.textContent ?? ""}`,
            ),
          );
          // A long line is not on screen as a whole.
          return there.filter((one) => !seen.includes(one)).length + seen.filter((one) => !there.includes(one)).length;
        },
        { timeout: 10_000 },
      )
      .toBe(0);
  }
  // The page may show a message before it knows the version that came with it. What it asks for then is refused.
  problems.splice(0, Infinity, ...problems.filter((problem) => !problem.includes("412")));
});

test("an edit of what somebody else has changed is refused", async () => {
  const { user, id, messages } = await conversation(SMALL);
  await visit({ user, conversation: id });
  // The page does not hear of the change.
  await article(2).waitFor();
  await page.route(`**/conversations/${id}`, (route) => route.abort());
  await client.updateMessage(id, messages[1]?.id ?? "", { content: "Is it hailing?" });
  await actions(2, "Edit …");
  await dialog().getByLabel("Content").fill("Is it snowing?");
  for (const keep of [true, false]) {
    await dialog().getByLabel(KEEP).setChecked(keep);
    const refused = page.waitForResponse((response) => response.status() === 412);
    await dialog().getByRole("button", { name: "Save" }).click();
    await refused;
    await dialog().getByRole("alert").getByText("Somebody has written here in between").waitFor();
  }
  await dialog().getByRole("button", { name: "Cancel" }).click();
  await actions(5, "Regenerate from here");
  await page.getByRole("status").getByText("Somebody has written here in between").waitFor();
  expect((await client.getConversation(id)).kept_count).toBe(0);
  expect((await client.getMessage(id, messages[1]?.id ?? "")).content).toBe("Is it hailing?");
  problems.splice(0, Infinity, ...problems.filter((problem) => !/412|ERR_FAILED/.test(problem)));
});

test("rewind says how much it deletes, and can keep a copy", async () => {
  const { user, id } = await conversation(SMALL);
  await visit({ user, conversation: id });
  await actions(5, "Rewind to here …");
  await dialog().getByRole("button", { name: "Delete 1 message", exact: true }).click();
  await article(5).waitFor({ state: "detached" });
  await actions(2, "Rewind to here …");
  await dialog().getByLabel("Keep a copy").check();
  expect(await violations(page)).toEqual([]);
  await dialog().getByRole("button", { name: "Delete 3 messages" }).click();
  await article(2).waitFor({ state: "detached" });
  expect(await client.getChatHistory(id).all()).toHaveLength(1);
  const counts = (await client.getUserConversations(user).all()).map(({ message_count }) => message_count);
  expect(counts.sort()).toEqual([1, 4]);
});

test("a reply that is being written grows", async () => {
  const { user, id } = await conversation(SMALL.slice(0, 2));
  const reply = await client.streamReply(id, {}, { flushMilliseconds: 50 });
  await visit({ user, conversation: id });
  await article(3).getByText("being written").waitFor();
  reply.write("It is ");
  await article(3).getByText("It is", { exact: true }).waitFor();
  reply.write("raining.");
  await article(3).getByText("It is raining.").waitFor();
  await reply.end();
  await article(3).getByText("being written").waitFor({ state: "detached" });
  await article(3).getByText("It is raining.").waitFor();
});

test("everything is there as JSON and as a command that works", async () => {
  const { user, id, messages } = await conversation(SMALL);
  await visit({ user, conversation: id });
  await actions(5, "Raw JSON");
  await dialog()
    .getByText(`"id": "${messages[4]?.id ?? ""}"`)
    .waitFor();
  await dialog().getByRole("button", { name: "Copy as curl" }).click();
  // The clipboard arrives when it is written.
  await page.getByRole("status").getByText("Copied.").waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const printed = execFileSync("sh", ["-c", `${command} -s --noproxy '*'`], { encoding: "utf8" });
  expect(JSON.parse(printed)).toMatchObject({ id: messages[4]?.id, content: "It is. Take an **umbrella**." });
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
});

test("an export is downloaded, and an erasure says what it deletes", async () => {
  const { user } = await conversation(SMALL);
  await conversation(SMALL.slice(0, 2), "Another one", user);
  await visit({ user });
  const download = page.waitForEvent("download");
  await choose("This user", "Export everything");
  const lines = readFileSync(await (await download).path(), "utf8")
    .trim()
    .split("\n");
  expect(lines).toEqual((await client.exportUser(user).all()).map((line) => line.trim()));
  await choose("This user", "Erase the user …");
  await dialog().getByRole("button", { name: "Erase 2 conversations and 7 messages" }).click();
  await page.getByRole("heading", { name: "Whose conversations?" }).waitFor();
  expect(await client.getUserConversations(user).all()).toEqual([]);
});

test("hostile content is text", async () => {
  const image = { type: "image_url", image_url: { url: "https://example.com/pixel.png" } };
  const { user, id } = await conversation(
    [
      { role: "user", content: '<img src=x onerror="alert(1)"><script>alert(2)</script><b>bold</b>' },
      {
        role: "assistant",
        content: "[click](javascript:alert(3)) ![pixel](https://example.com/p.png) [fine](https://example.com)",
      },
      {
        role: "user",
        content:
          "safe \u202egnp.exe\u2066 \u0007end, pass\u200bword\ufeff\u2060\u00ad \u{1f469}\u200d\u{1f680}\ufe0f\ufe0f\u{e0041}",
      },
      {
        role: "user",
        content: [
          { type: "text", text: "See this" },
          image,
          { type: "image_url", image_url: { url: "javascript:alert(4)" } },
        ],
      },
      { role: "assistant", content: "a".repeat(1_000_000) },
      { role: "user", content: "After it", name: "<i>Ada</i>" },
    ],
    '<script>alert(5)</script>"\u202eevil',
  );
  await visit({ user, conversation: id });
  await page.getByRole("heading", { name: '<script>alert(5)</script>"⟨U+202E⟩evil' }).waitFor();
  await article(6).getByText("<i>Ada</i>").waitFor();
  await article(5).getByText("20,000 of 1,000,000 characters").waitFor();
  const width = await article(5).evaluate((element) => element.scrollWidth - element.clientWidth);
  expect(width).toBeLessThanOrEqual(0);
  await page.getByRole("feed").focus();
  await page.keyboard.press("Home");
  await article(1).getByText("<script>alert(2)</script>").waitFor();
  await article(3)
    .getByText(
      "safe ⟨U+202E⟩gnp.exe⟨U+2066⟩ ⟨U+0007⟩end, pass⟨U+200B⟩word⟨U+FEFF⟩⟨U+2060⟩⟨U+00AD⟩ 👩\u200d🚀\ufe0f⟨U+FE0F⟩⟨U+E0041⟩",
    )
    .waitFor();
  await article(4).getByText("image: https://example.com/pixel.png").waitFor();
  const hrefs = await page.locator("article a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  expect(hrefs.sort()).toEqual(["https://example.com", "https://example.com/p.png", "https://example.com/pixel.png"]);
  expect(await page.locator("article :is(script, img, b, i)").count()).toBe(0);
  expect(await violations(page)).toEqual([]);
});

test("a message is quoted by its link, and the back button leads back", async () => {
  const { user, id, messages } = await conversation(SMALL);
  await visit({ user });
  await page.locator(".conversations a").first().click();
  await actions(2, "Copy link");
  await page.getByRole("status").getByText("Copied.").waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(new URL(link).searchParams.get("message")).toBe(messages[1]?.id);
  await page.goBack();
  await page.getByText("Choose a conversation.").waitFor();
  // A link without the user finds out whose it is.
  await visit({ conversation: id, message: messages[1]?.id ?? "" });
  await page.locator("article.current").getByText("Is it raining in Oslo?").waitFor();
  await expect.poll(() => new URL(page.url()).searchParams.get("user")).toBe(user);
});

test("it works with the keyboard alone", async () => {
  const { user } = await conversation(SMALL, "First");
  await conversation(SMALL, "Second", user);
  await visit({ user });
  await page.locator(".conversations a").nth(1).waitFor();
  await page.keyboard.press("n");
  await page.getByRole("heading", { name: "Second" }).waitFor();
  await page.keyboard.press("n");
  await page.getByRole("heading", { name: "First" }).waitFor();
  await article(5).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  expect(await page.evaluate(() => document.activeElement?.getAttribute("data-position"))).toBe("2");
  await page.keyboard.press("/");
  await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("search");
  await page.keyboard.press("Tab");
  await page.keyboard.press("?");
  await dialog().getByText("Next and previous message").waitFor();
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
});

test.each(["light", "dark"] as const)("axe finds nothing in the %s theme", async (scheme) => {
  const { user, id } = await conversation([
    ...SMALL,
    {
      role: "user",
      content: "# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nlet a = 1;\n```\n\n> quote\n\n- [x] done",
    },
    { role: "assistant", content: "Half a rep", status: "in_progress" },
  ]);
  await page.context().close();
  ({ page, problems } = await open(browser, base, { colorScheme: scheme }));
  await visit({ user, conversation: id });
  await article(7).waitFor();
  await page.keyboard.press("c");
  await page.getByText('"messages"').waitFor();
  await page.locator("details.call summary").click();
  await page.getByLabel("Search titles and messages").fill("umbrella");
  await page.locator(".hits a").waitFor();
  expect(await violations(page)).toEqual([]);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await ground();
  await page.getByLabel("Theme").selectOption(scheme === "light" ? "dark" : "light");
  expect(await ground()).not.toBe(before);
  await page.getByRole("button", { name: "Actions for the conversation" }).click();
  expect(await violations(page)).toEqual([]);
});

test("what is served allows nothing from elsewhere, and an unknown file is not there", async () => {
  const response = await fetch(`${base}/console`);
  const policy = response.headers.get("content-security-policy") ?? "";
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"])
    expect(policy).toContain(part);
  expect(policy).not.toContain("unsafe");
  expect(await response.text()).not.toMatch(/<style|style=|<script(?! type="module"[^>]* src=)/);
  expect((await fetch(`${base}/console/../../Cargo.toml`)).status).toBe(404);
  expect((await fetch(`${base}/console/..%2f..%2fCargo.toml`)).status).toBe(404);
});
