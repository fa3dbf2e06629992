/** Replies that are stored while they are streamed, and pages that are loaded again in the middle of one. */
import { ScrollbackClient, type Message } from "@scrollback/client";
import { createUIMessageStream, readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";
import * as fc from "fast-check";
import { expect, inject, vi } from "vitest";
import { toChunks } from "../src/chunks.js";
import { chatStore, generateMessageId, type ChatStore } from "../src/index.js";
import { release, test } from "./fixtures.js";
import { streams } from "./streams.js";

const question: UIMessage = { id: "q1", role: "user", parts: [{ type: "text", text: "Rain in Oslo?" }] };
const reply: UIMessage = { id: "r1", role: "assistant", parts: [{ type: "text", text: "Another one." }] };
const weather = { toolCallId: "c1", toolName: "weather" };

/** All kinds of chunks that both releases have, as a model's reply of three steps with tools makes them. */
const SCRIPT: UIMessageChunk[] = [
  { type: "start", messageId: "r1", messageMetadata: { model: "m" } },
  { type: "data-notice", id: "d1", data: { step: 1 } },
  { type: "start-step" },
  { type: "reasoning-start", id: "t0" },
  { type: "reasoning-delta", id: "t0", delta: "The user " },
  { type: "reasoning-delta", id: "t0", delta: "asks." },
  { type: "reasoning-end", id: "t0", providerMetadata: { anthropic: { signature: "s" } } },
  { type: "text-start", id: "t1" },
  { type: "text-delta", id: "t1", delta: "Let me 🌧" },
  { type: "text-delta", id: "t1", delta: " look." },
  { type: "text-end", id: "t1" },
  { type: "tool-input-start", ...weather },
  { type: "tool-input-delta", toolCallId: "c1", inputTextDelta: '{"city":' },
  { type: "tool-input-delta", toolCallId: "c1", inputTextDelta: '"Oslo"}' },
  { type: "tool-input-available", ...weather, input: { city: "Oslo" }, providerMetadata: { openai: { id: "x" } } },
  { type: "tool-input-available", toolCallId: "c2", toolName: "any", dynamic: true, input: null, title: "Any" },
  { type: "tool-input-error", toolCallId: "c3", toolName: "weather", input: "Os", errorText: "no JSON" },
  { type: "data-notice", id: "d1", data: { step: 2 } },
  { type: "tool-output-available", toolCallId: "c1", output: { rain: 1 }, preliminary: true },
  { type: "tool-output-available", toolCallId: "c1", output: { rain: 2 } },
  { type: "tool-output-error", toolCallId: "c2", dynamic: true, errorText: "out of order" },
  { type: "finish-step" },
  { type: "start-step" },
  { type: "source-url", sourceId: "s1", url: "https://example.com", title: "Example" },
  { type: "source-document", sourceId: "s2", mediaType: "application/pdf", title: "Rain", filename: "rain.pdf" },
  { type: "file", mediaType: "image/png", url: "https://example.com/rain.png" },
  { type: "text-start", id: "t1" },
  { type: "text-delta", id: "t1", delta: "It is raining." },
  { type: "text-end", id: "t1" },
  { type: "tool-input-available", toolCallId: "c4", toolName: "umbrella", input: {} },
  { type: "tool-approval-request", toolCallId: "c4", approvalId: "a1" },
  { type: "message-metadata", messageMetadata: { tokens: 7 } },
  { type: "finish-step" },
  { type: "finish", messageMetadata: { done: true } },
];

/** A stream that a test writes, chunk by chunk. */
function pipe() {
  const { readable, writable } = new TransformStream<UIMessageChunk, UIMessageChunk>(
    {},
    { highWaterMark: 1000 },
    { highWaterMark: 1000 },
  );
  const writer = writable.getWriter();
  return {
    stream: readable,
    write: async (...chunks: UIMessageChunk[]) => {
      for (const chunk of chunks) await writer.write(chunk);
    },
    end: () => writer.close(),
  };
}

function streamOf(chunks: UIMessageChunk[]): ReadableStream<UIMessageChunk> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

/** Every state that a page shows while it reads a stream. */
async function states(stream: ReadableStream<UIMessageChunk>): Promise<UIMessage[]> {
  const seen: UIMessage[] = [];
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) {
    seen.push(JSON.parse(JSON.stringify(message)) as UIMessage);
  }
  return seen;
}

test("whatever states a page sees, the chunks between them lead to the same message", async () => {
  const all = await states(streamOf(SCRIPT));
  await fc.assert(
    fc.asyncProperty(fc.subarray(all.slice(0, -1)), async (some) => {
      const seen = [...some, ...all.slice(-1)];
      const chunks = seen.flatMap((state, index) =>
        toChunks(seen[index - 1], state, index === seen.length - 1, release),
      );
      const end = (await states(streamOf(chunks))).at(-1);
      expect(end).toEqual(all.at(-1));
    }),
  );
});

/** What a page shows after these chunks. The SDK shows the beginning of a step with the next chunk. */
const shown = async (chunks: UIMessageChunk[]) =>
  (await states(streamOf([...chunks, { type: "message-metadata", messageMetadata: {} }]))).at(-1);

/** The parts before the last step. */
const earlier = ({ parts }: UIMessage) => parts.slice(0, parts.findLastIndex(({ type }) => type === "step-start") + 1);

test("whatever is stored next, a page shows it or an error", async () => {
  const pair = fc.tuple(streams(release), streams(release), fc.nat(), fc.nat());
  await fc.assert(
    fc.asyncProperty(pair, async ([first, second, m, n]) => {
      const [from, to] = await Promise.all([states(streamOf(first)), states(streamOf(second))]);
      const [before, now] = [from[m % from.length], to[n % to.length]];
      if (!before || !now) throw new Error("a stream has no state");
      const chunks = [...toChunks(undefined, before, false, release), ...toChunks(before, now, true, release)];
      if (chunks.at(-1)?.type === "error") {
        if (release === 7) expect(now.parts.slice(0, earlier(before).length)).not.toEqual(earlier(before));
      } else {
        expect(await shown(chunks)).toEqual(now);
      }
    }),
    { numRuns: 500 },
  );
});

test("a page is never sent an error for a reply that grows", async () => {
  await fc.assert(
    fc.asyncProperty(streams(release), fc.infiniteStream(fc.boolean()), async (script, picks) => {
      const all = await states(streamOf(script));
      const seen = all.filter((_, index) => index === all.length - 1 || picks.next().value);
      const chunks = seen.flatMap((now, index) => toChunks(seen[index - 1], now, false, release));
      expect(chunks.filter(({ type }) => type === "error")).toEqual([]);
      expect(await shown(chunks)).toEqual(all.at(-1));
    }),
    { numRuns: 500 },
  );
});

test("a page that is loaded again goes on with the reply to its end", async ({ store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  for (const cut of [9, 13, 20, 28]) {
    const { stream, write, end } = pipe();
    const storing = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 10 });
    // The page leaves at once. The promise waits for both readers of the stream.
    void storing.stream.cancel();
    await write(...SCRIPT.slice(0, cut));
    await vi.waitUntil(async () => (await rows()).at(-1)?.status === "in_progress");
    expect(await store.loadChat(id)).toEqual([question]);
    const resumed = await store.resumeStream({ id }, { interval: 10 });
    const reading = states(resumed ?? streamOf([]));
    await write(...SCRIPT.slice(cut));
    await end();
    await storing.stored;
    const [last] = (await states(streamOf(SCRIPT))).slice(-1);
    expect(await store.loadChat(id)).toEqual([question, last]);
    expect((await reading).at(-1)).toEqual(last);
    expect((await rows()).every(({ status }) => status === "complete")).toBe(true);
    expect(await store.resumeStream({ id })).toBeUndefined();
    await store.regenerate({ id });
  }
});

test("a page that follows a reply waits for its next piece, and does not ask again and again", async ({
  store,
  id,
  rows,
}) => {
  const targets: URL[] = [];
  const noting: typeof fetch = (target, init) => {
    targets.push(new URL(target instanceof Request ? target.url : target));
    return fetch(target, init);
  };
  const page = chatStore(new ScrollbackClient(inject("server"), { fetch: noting }));
  const messages = await store.appendUserMessage({ id, message: question });
  const { stream, write, end } = pipe();
  const storing = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 10 });
  void storing.stream.cancel();
  await write(...SCRIPT.slice(0, 9));
  await vi.waitUntil(async () => (await rows()).at(-1)?.status === "in_progress");
  const reading = states((await page.resumeStream({ id }, { interval: 10 })) ?? streamOf([]));
  const waits = () => targets.filter(({ searchParams }) => searchParams.get("wait") === "20").length;
  await vi.waitUntil(() => waits() > 0);
  await write(...SCRIPT.slice(9, 11));
  await vi.waitUntil(() => waits() > 1);
  await write(...SCRIPT.slice(11));
  await end();
  await storing.stored;
  expect((await reading).at(-1)).toEqual((await store.loadChat(id)).at(-1));
  // Once it asks for the conversation itself: when it begins.
  expect(targets.filter(({ pathname }) => /^\/conversations\/[^/]+$/.test(pathname))).toHaveLength(1);
});

test("a reply that ends between loading and resuming is not missed", async ({ store, id }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const { stored } = store.storeWhileStreaming({ id, messages, stream: streamOf(SCRIPT) });
  await stored;
  expect(await store.resumeStream({ id })).toBeUndefined();
  expect(await store.resumeStream({ id, after: "r1" })).toBeUndefined();
  const resumed = await store.resumeStream({ id, after: "q1" });
  expect((await states(resumed ?? streamOf([]))).at(-1)).toEqual((await store.loadChat(id)).at(-1));
});

test("a reply that goes on after a tool call keeps its id and its steps", async ({ store, id }) => {
  const call = {
    type: "tool-weather" as const,
    toolCallId: "c1",
    state: "output-available" as const,
    input: {},
    output: 1,
  };
  const begun: UIMessage = { id: "r1", role: "assistant", parts: [{ type: "step-start" }, call] };
  await store.saveChat({ id, messages: [question, begun] });
  const stream = createUIMessageStream({
    originalMessages: [question, begun],
    generateId: generateMessageId,
    execute: ({ writer }) => {
      for (const chunk of SCRIPT.slice(22, 29)) writer.write(chunk);
    },
  });
  const { stored } = store.storeWhileStreaming({ id, messages: [question, begun], stream });
  await stored;
  const loaded = await store.loadChat(id);
  expect(loaded.map((message) => message.id)).toEqual(["q1", "r1"]);
  expect(loaded[1]?.parts.slice(0, 2)).toEqual(begun.parts);
  expect(loaded[1]?.parts).toHaveLength(7);
});

test("a reply whose stream fails stays as far as it came, and is not complete", async ({ store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const stream = streamOf([...SCRIPT.slice(0, 9), { type: "error", errorText: "the model is gone" }]);
  await store.storeWhileStreaming({ id, messages, stream }).stored;
  expect((await rows()).at(-1)).toMatchObject({ status: "in_progress", content: [{}, {}, { text: "Let me 🌧" }] });
});

/** Begins a reply of one text, and waits until its first words are stored. What it returns says the rest, and ends the reply. */
async function begin(chat: Chat, messages: UIMessage[], id: string) {
  const { stream, write, end } = pipe();
  const { stored } = chat.store.storeWhileStreaming({ id: chat.id, messages, stream }, { flushMilliseconds: 0 });
  await write({ type: "start", messageId: id }, { type: "text-start", id: "t" });
  await write({ type: "text-delta", id: "t", delta: "…" });
  await vi.waitUntil(async () => {
    // What is stored next has all of it.
    await write({ type: "message-metadata", messageMetadata: {} });
    return (await chat.rows()).at(-1)?.content === "…";
  });
  return async (text?: string) => {
    if (text !== undefined) await write({ type: "text-delta", id: "t", delta: text }, { type: "text-end", id: "t" });
    await end();
    await stored;
  };
}

test("what was said before a silence is stored, and readers see it", async ({ store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const { stream, write, end } = pipe();
  const { stored } = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 50 });
  const words = Array.from({ length: 21 }, (_, n) => `word ${String(n)} `);
  await write({ type: "start", messageId: "r1" }, { type: "text-start", id: "t" });
  for (const delta of words) await write({ type: "text-delta", id: "t", delta });
  await write({ type: "text-end", id: "t" }, { type: "tool-input-available", ...weather, input: {} });
  // Nothing comes while the tool runs.
  await vi.waitUntil(async () => (await rows()).at(-1)?.tool_calls, { timeout: 5000 });
  expect((await rows()).at(-1)).toMatchObject({ content: words.join(""), status: "in_progress" });
  await end();
  await stored;
});

test("when a page is told that the reply has ended, the reply is stored", async ({ store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const { stream, write, end } = pipe();
  const storing = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 0 });
  await write(...SCRIPT);
  await end();
  const reader = storing.stream.getReader();
  while ((await reader.read()).value?.type !== "finish");
  // Nothing is waited for.
  const loaded = await store.loadChat(id);
  expect(JSON.stringify(loaded.at(-1))).toContain("It is raining.");
  expect((await rows()).at(-1)?.status).toBe("complete");
  await storing.stored;
});

test("a silent reply is kept alive", async ({ id, rows }) => {
  let beats = 0;
  const counting: typeof fetch = (target, init) => {
    if (init?.method === "PATCH" && typeof init.body === "string" && init.body.startsWith('{"append":"",')) beats += 1;
    return fetch(target, init);
  };
  const store = chatStore(new ScrollbackClient(inject("server"), { fetch: counting }));
  const messages = await store.appendUserMessage({ id, message: question });
  // A text, parts, and calls alone.
  const calls = SCRIPT.filter(({ type }) => type === "start" || type === "tool-input-available");
  for (const said of [SCRIPT.slice(0, 4), SCRIPT.slice(0, 9), SCRIPT.slice(0, 15), calls]) {
    const { stream, write, end } = pipe();
    const options = { flushMilliseconds: 0, heartbeatMilliseconds: 50 };
    const { stored } = store.storeWhileStreaming({ id, messages, stream }, options);
    await write(...said);
    const from = beats + 1;
    await vi.waitUntil(() => beats > from, { timeout: 20_000 });
    const before = await rows();
    await vi.waitUntil(() => beats > from + 3, { timeout: 20_000 });
    // Nothing else is written, so no beat was refused.
    expect(await rows()).toEqual(before);
    expect(before.at(-1)?.status).toBe("in_progress");
    await end();
    await stored;
    await store.regenerate({ id });
  }
});

test("a page stops a reply, which keeps what the page was shown", async ({ client, store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  for (const [count, options] of [
    [9, { flushMilliseconds: 10 }],
    // The writer is silent, and learns of it with a heartbeat.
    [15, { flushMilliseconds: 0, heartbeatMilliseconds: 50 }],
  ] as const) {
    const { stream, write, end } = pipe();
    const onStop = vi.fn();
    const storing = store.storeWhileStreaming({ id, messages, stream }, { ...options, onStop });
    await write(...SCRIPT.slice(0, count - 1));
    await vi.waitUntil(async () => (await rows()).at(-1)?.status === "in_progress");
    const page = states(storing.stream);
    expect(await store.stopReply({ id, messageId: "other" })).toBe(false);
    expect(await store.stopReply({ id })).toBe(true);
    if (count === 9) await write(...SCRIPT.slice(count - 1, count));
    await storing.stored;
    expect(onStop).toHaveBeenCalledOnce();
    // What the model says now is shown to nobody.
    await write(...SCRIPT.slice(count, -1));
    const shown = (await page).at(-1);
    expect((await store.loadChat(id)).at(-1)).toEqual(shown);
    expect((await rows()).at(-1)?.status).toBe("cancelled");
    expect(JSON.stringify(shown)).not.toContain("It is raining");
    if (count === 9) expect(JSON.stringify(await client.getContext(id))).toContain("Let me");
    expect(await store.stopReply({ id })).toBe(false);
    await end();
    await store.regenerate({ id });
  }
});

test("a reply whose model was aborted is cancelled", async ({ store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const stream = streamOf([...SCRIPT.slice(0, 9), { type: "abort" }]);
  await store.storeWhileStreaming({ id, messages, stream }).stored;
  expect((await rows()).at(-1)?.status).toBe("cancelled");
  // Nothing makes it complete by itself.
  await store.updateChat(id, (stored) => stored);
  expect((await rows()).at(-1)?.status).toBe("cancelled");
  const more: UIMessage = { ...question, id: "q2" };
  await store.saveChat({ id, messages: [{ ...question, metadata: 1 }, ...(await store.loadChat(id)).slice(1), more] });
  expect((await rows()).map(({ status }) => status)).toEqual(["complete", "cancelled", "complete"]);
});

interface Chat {
  store: ChatStore;
  id: string;
  rows: () => Promise<Message[]>;
}

/** What is stored, and whether it is complete. */
const told = async ({ rows }: Chat) => (await rows()).map(({ content, status }) => `${content as string} ${status}`);

test("a reply that is generated anew is a version, and the one that was still written is stopped", async ({
  store,
  id,
  rows,
}) => {
  const chat = { store, id, rows };
  const finishOld = await begin(chat, await store.appendUserMessage({ id, message: question }), "r1");
  const finish = await begin(chat, await store.regenerate({ id }), "r2");
  await finishOld("Yes");
  await finish("No");
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "…No complete"]);
  const { headId, messages } = await store.loadTree(id);
  expect([headId, messages.map(({ message, parentId }) => [message.id, parentId])]).toEqual([
    "r2",
    [
      ["q1", null],
      ["r1", "q1"],
      ["r2", "q1"],
    ],
  ]);
  // It keeps what its page was shown.
  expect(await store.selectMessage({ id, messageId: "r1" })).toBe(true);
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "…Yes cancelled"]);
});

test("two replies to one question at the same time are two versions", async ({ store, id, rows }) => {
  const chat = { store, id, rows };
  const messages = await store.appendUserMessage({ id, message: question });
  const [finish, finishOther] = [await begin(chat, messages, "r1"), await begin(chat, messages, "r2")];
  await finish("Yes");
  await finishOther("No");
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "…No complete"]);
  await store.selectMessage({ id, messageId: "r1" });
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "…Yes complete"]);
});

test("a reply has the id of one that is kept", async ({ store, id, rows }) => {
  const chat = { store, id, rows };
  let messages = await store.appendUserMessage({ id, message: question });
  for (const text of ["Yes", "No", "Yes"]) {
    const finish = await begin(chat, messages, "r1");
    await finish(text);
    expect(await told(chat)).toEqual(["Rain in Oslo? complete", `…${text} complete`]);
    messages = await store.regenerate({ id });
  }
  expect((await store.loadTree(id)).messages.map(({ parentId }) => parentId)).toEqual([null, "q1", "q1", "q1"]);
});

test("a page that follows a reply goes on with it when it is not shown any more", async ({ store, id, rows }) => {
  const chat = { store, id, rows };
  const messages = await store.appendUserMessage({ id, message: question });
  const finish = await begin(chat, messages, "r1");
  const reading = states((await store.resumeStream({ id }, { interval: 10 })) ?? streamOf([]));
  const finishOther = await begin(chat, messages, "r2");
  await finishOther("No");
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "…No complete"]);
  await finish("Yes");
  expect(JSON.stringify((await reading).at(-1))).toContain("…Yes");
});

test("without versions, a reply that is generated anew replaces the one that was still written", async ({
  client,
  id,
  rows,
}) => {
  const store = chatStore(client, { keep: false });
  const chat = { store, id, rows };
  const finishOld = await begin(chat, await store.appendUserMessage({ id, message: question }), "r1");
  const finish = await begin(chat, await store.regenerate({ id }), "r2");
  await expect(finishOld("Yes")).rejects.toThrow("the reply was deleted while it was written (not_found)");
  await finish("No");
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "…No complete"]);
});

test("no word is lost when the user writes on while a reply is written", async ({ store, id, rows }) => {
  const chat = { store, id, rows };
  const finish = await begin(chat, await store.appendUserMessage({ id, message: question }), "r1");
  const more: UIMessage = { id: "q2", role: "user", parts: [{ type: "text", text: "And in Bergen?" }] };
  const finishNext = await begin(chat, await store.appendUserMessage({ id, message: more }), "r2");
  await finish("Yes");
  const first = ["Rain in Oslo? complete", "…Yes complete", "And in Bergen? complete"];
  expect(await told(chat)).toEqual([...first, "… in_progress"]);
  await finishNext("There, too");
  expect(await told(chat)).toEqual([...first, "…There, too complete"]);
});

test("a reply that ends without news when the user has written on is complete", async ({ store, id, rows }) => {
  const chat = { store, id, rows };
  const finish = await begin(chat, await store.appendUserMessage({ id, message: question }), "r1");
  await store.appendUserMessage({ id, message: { ...question, id: "q2" } });
  await finish();
  expect(await told(chat)).toEqual(["Rain in Oslo? complete", "… complete", "Rain in Oslo? complete"]);
});

test("updateChat does not end a reply that another program writes", async ({ store, id, rows }) => {
  const chat = { store, id, rows };
  const finish = await begin(chat, await store.appendUserMessage({ id, message: question }), "r1");
  await store.updateChat(id, (stored) => stored);
  const asked = { ...question, parts: [{ type: "text" as const, text: "Snow in Oslo?" }] };
  await store.updateChat(id, ([, ...others]) => [asked, ...others]);
  expect(await told(chat)).toEqual(["Snow in Oslo? complete", "… in_progress"]);
  await finish("Yes");
  expect(await told(chat)).toEqual(["Snow in Oslo? complete", "…Yes complete"]);
});

test("a reply to a question that was edited before the reply began is behind its own question", async ({
  store,
  id,
  rows,
}) => {
  for (const [n, other] of ["q2", question.id].entries()) {
    const chat = { store, id, rows };
    const asked: UIMessage = { ...question, parts: [{ type: "text", text: `Question ${String(n)}` }] };
    const messages = await store.appendUserMessage({
      id,
      message: asked,
      messageId: (await store.loadChat(id))[0]?.id,
    });
    const edited: UIMessage = { ...question, id: other, parts: [{ type: "text", text: `Edit ${String(n)}` }] };
    await store.appendUserMessage({ id, message: edited, messageId: question.id });
    const { stored } = store.storeWhileStreaming({ id, messages, stream: streamOf(SCRIPT) });
    await stored;
    expect(await told(chat)).toEqual([`Edit ${String(n)} complete`]);
    const { messages: tree } = await store.loadTree(id);
    const replied = tree.findLast(({ message }) => message.role === "assistant");
    const parent = tree.find(({ message }) => message.id === replied?.parentId);
    expect(parent?.message.parts).toEqual(asked.parts);
  }
});

test("without versions, a reply to a question that was edited in the meantime is not stored, and stored says so", async ({
  client,
  id,
  rows,
}) => {
  const store = chatStore(client, { keep: false });
  const chat = { store, id, rows };
  const finish = await begin(chat, await store.appendUserMessage({ id, message: question }), "r1");
  const edited: UIMessage = { ...question, id: "q2", parts: [{ type: "text", text: "Rain in Bergen?" }] };
  await store.appendUserMessage({ id, message: edited, messageId: question.id });
  await expect(finish("Yes")).rejects.toThrow("deleted");
  expect(await told(chat)).toEqual(["Rain in Bergen? complete"]);
});

test.runIf(release === 7)(
  "a step that is begun anew is begun anew in a page that follows",
  async ({ store, id, rows }) => {
    const messages = await store.appendUserMessage({ id, message: question });
    const { stream, write, end } = pipe();
    const { stored } = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 10 });
    await write(...SCRIPT.slice(0, 10));
    await vi.waitUntil(async () => (await rows()).length === 2);
    const resumed = await store.resumeStream({ id }, { interval: 10 });
    const reading = states(resumed ?? streamOf([]));
    // Release 6 has no type for it.
    await write({ type: "reset-step" } as unknown as UIMessageChunk, ...SCRIPT.slice(3));
    await end();
    await stored;
    expect((await reading).at(-1)).toEqual((await states(streamOf(SCRIPT))).at(-1));
  },
);

test("a page that follows gets an error when an earlier step is changed", async ({ store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const { stream, write, end } = pipe();
  const { stored } = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 10 });
  await write(...SCRIPT.slice(0, 9));
  await vi.waitUntil(async () => {
    // What is stored next has all of it.
    await write({ type: "message-metadata", messageMetadata: {} });
    return Array.isArray((await rows()).at(-1)?.content);
  });
  const resumed = await store.resumeStream({ id }, { interval: 10 });
  const reader = (resumed ?? streamOf([])).getReader();
  const read: UIMessageChunk[] = [];
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (read.push(next.value) === 1) await store.saveChat({ id, messages: [question, reply] });
  }
  expect(read.at(-1)).toEqual({ type: "error", errorText: "The reply was changed. Load the chat again." });
  await end();
  await stored;
});

test("a page that follows ends when the reply is deleted", async ({ client, id, rows }) => {
  const store = chatStore(client, { keep: false });
  const messages = await store.appendUserMessage({ id, message: question });
  const { stream, write, end } = pipe();
  const { stored } = store.storeWhileStreaming({ id, messages, stream }, { flushMilliseconds: 10 });
  await write(...SCRIPT.slice(0, 9));
  await vi.waitUntil(async () => (await rows()).length === 2);
  const resumed = await store.resumeStream({ id }, { interval: 10 });
  const reading = states(resumed ?? streamOf([]));
  await store.regenerate({ id });
  await reading;
  await end();
  await expect(stored).rejects.toThrow("deleted");
});
