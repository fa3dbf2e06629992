/** How many requests a turn takes, and that the history for the model is the same however it was read. */
import { readFileSync } from "node:fs";
import { ScrollbackClient } from "@scrollback/client";
import type { UIMessage, UIMessageChunk } from "ai";
import { expect, inject } from "vitest";
import { Proxy } from "../../typescript/tests/proxy.js";
import { chatStore, type ChatStore } from "../src/index.js";
import { test } from "./fixtures.js";

const asked = (id: string, text = "Is it raining?"): UIMessage => ({
  id,
  role: "user",
  parts: [{ type: "text", text }],
});
const reply = (id: string, ...parts: UIMessage["parts"]): UIMessage => ({ id, role: "assistant", parts });
const said = (text: string) => [
  { type: "step-start" as const },
  { type: "text" as const, text, state: "done" as const },
];
const weather = { type: "tool-weather" as const, toolCallId: "c1" };
const open = { ...weather, state: "input-available" as const, input: {} };
const done = { ...weather, state: "output-available" as const, input: {}, output: "rain" };

/** What a model says, at once. */
function model(id: string): ReadableStream<UIMessageChunk> {
  const chunks: UIMessageChunk[] = [
    { type: "start", messageId: id },
    { type: "start-step" },
    { type: "text-start", id: "t" },
    { type: "text-delta", id: "t", delta: "Yes." },
    { type: "text-end", id: "t" },
    { type: "finish-step" },
    { type: "finish" },
  ];
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

async function answer(store: ChatStore, id: string, messages: UIMessage[], name: string): Promise<void> {
  const { stream, stored } = store.storeWhileStreaming({ id, messages, stream: model(name) });
  await Promise.all([stored, stream.pipeTo(new WritableStream())]);
}

test("a turn takes as many requests as the README says", async ({ id, rows }) => {
  const readme = readFileSync("README.md", "utf8");
  const proxy = new Proxy(inject("server"));
  const store = chatStore(new ScrollbackClient(await proxy.start()));
  const counted = async (row: string, work: () => Promise<unknown>) => {
    proxy.seen.length = 0;
    await work();
    const told = [...readme.matchAll(/^\| ([^|]+) \| (\d+) \| (\d+) \|/gm)].filter(([, name]) => name === row);
    expect(
      told.map(([, , , now]) => Number(now)),
      row,
    ).toEqual([proxy.seen.length]);
    return proxy.seen.length;
  };
  const send = async (n: number) => {
    const messages = await store.beginReply({ id, message: asked(`q${String(n)}`), trigger: "submit-message" });
    expect(messages).toHaveLength(2 * n + 1);
    await answer(store, id, messages, `r${String(n)}`);
  };
  try {
    expect(await counted("`beginReply` and a short reply", () => send(0))).toBe(2);
    expect(await counted("`beginReply` and a short reply", () => send(1))).toBe(2);
    const again = async () => {
      const messages = await store.beginReply({ id, trigger: "regenerate-message" });
      await answer(store, id, messages, "r9");
    };
    expect(await counted("the same with `regenerate`", again)).toBe(3);
    // A position is missing from now on.
    expect(await counted("the same, in a chat from which something was deleted or replaced", () => send(2))).toBe(3);
    expect((await rows()).map(({ role }) => role)).toEqual(Array(3).fill(["user", "assistant"]).flat());
  } finally {
    await proxy.stop();
  }
});

test.for([
  { name: "nothing", before: [] },
  { name: "a greeting", before: [reply("r0", ...said("Hello!"))] },
  {
    name: "instructions",
    before: [{ ...asked("s"), role: "system" as const }, asked("q0"), reply("r0", ...said("Yes."))],
  },
  { name: "a tool's result", before: [asked("q0"), reply("r0", ...said("Wait."), done, ...said("It is."))] },
  { name: "an open tool call", before: [asked("q0"), reply("r0", ...said("Wait."), open)] },
])("the history for the model is the whole one: $name", async ({ before }, { store, id }) => {
  await store.saveChat({ id, messages: before });
  expect(await store.appendUserMessage({ id, message: asked("q1") })).toEqual([...before, asked("q1")]);
  // The same request again, and behind it another one.
  expect(await store.appendUserMessage({ id, message: asked("q1") })).toEqual([...before, asked("q1")]);
  expect(await store.loadChat(id)).toEqual([...before, asked("q1")]);
  const edited = asked("q1", "Is it snowing?");
  expect(await store.appendUserMessage({ id, message: edited })).toEqual([...before, edited]);
  expect(await store.loadChat(id)).toEqual([...before, edited]);
});

test("the history for the model has a reply that is being written", async ({ client, store, id }) => {
  await store.appendUserMessage({ id, message: asked("q0") });
  await client.addMessage(id, { role: "assistant", content: "It is", status: "in_progress" });
  const messages = await store.appendUserMessage({ id, message: asked("q1") });
  expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
});

test("what comes between a question and its reply stays behind the reply", async ({ store, id }) => {
  const messages = await store.appendUserMessage({ id, message: asked("q0") });
  await store.appendUserMessage({ id, message: asked("q1") });
  await answer(store, id, messages, "r0");
  expect((await store.loadChat(id)).map((message) => message.id)).toEqual(["q0", "r0", "q1"]);
  const second = await store.appendUserMessage({ id, message: asked("q2") });
  await store.deleteMessages(id, ["q2"]);
  const { stored } = store.storeWhileStreaming({ id, messages: second, stream: model("r2") });
  await expect(stored).rejects.toMatchObject({ code: "not_found" });
});
