/** What the API would refuse costs nothing but itself. */
import type { UIMessage, UIMessageChunk } from "ai";
import { expect } from "vitest";
import { test } from "./fixtures.js";

const question: UIMessage = { id: "q1", role: "user", parts: [{ type: "text", text: "Rain in Oslo?" }] };
const weather = { toolCallId: "c1", toolName: "weather" };
const ANSWER = "It is raining.";

/** A reply: a step with a call and its output, and one with the answer. */
function replyWith({
  input = {},
  output = "rain",
  data,
  end = "",
  metadata,
  call = "c1",
}: {
  input?: unknown;
  output?: unknown;
  data?: unknown;
  end?: string;
  metadata?: unknown;
  call?: string;
}): ReadableStream<UIMessageChunk> {
  const chunks: UIMessageChunk[] = [
    { type: "start", messageId: "r1", messageMetadata: metadata },
    { type: "start-step" },
    { type: "tool-input-available", ...weather, toolCallId: call, input },
    { type: "tool-output-available", toolCallId: call, output },
    { type: "finish-step" },
    { type: "start-step" },
    ...(data === undefined ? [] : [{ type: "data-chart" as const, data }]),
    { type: "text-start", id: "t" },
    { type: "text-delta", id: "t", delta: ANSWER + end },
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

const nested = (depth: number) => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
};

const exactly: [string, Parameters<typeof replyWith>[0]][] = [
  ["U+0000 in a tool's output", { output: "a\0b" }],
  ["U+0000 in an object of a tool's output", { output: { "\0": ["a\0b"] } }],
  ["U+0000 in data", { data: { text: "a\0b", path: "C:\\u0000\\users" } }],
  ["U+0000 in the reply's metadata", { metadata: { name: "a\0b" } }],
  ["a lone half surrogate at the end", { end: " \ud83d" }],
  ["a lone half surrogate at the end of a text that looks escaped", { end: " \\ud83d \\u005c \ud83d" }],
];
test.for(exactly)("%s comes back as it was", async ([, fields], { store, id, rows }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  await store.storeWhileStreaming({ id, messages, stream: replyWith(fields) }).stored;
  const loaded = (await store.loadChat(id)).at(-1);
  const { output = "rain", end = "", data, metadata } = fields;
  expect(loaded?.parts).toContainEqual(expect.objectContaining({ type: "tool-weather", output }));
  expect(loaded?.parts.at(-1)).toMatchObject({ type: "text", text: ANSWER + end });
  if (data !== undefined) expect(loaded?.parts).toContainEqual({ type: "data-chart", data });
  expect(loaded?.metadata).toEqual(metadata);
  expect((await rows()).every(({ status }) => status === "complete")).toBe(true);
  // Nothing is stored twice.
  const before = await rows();
  await store.saveChat({ id, messages: [question, ...(loaded ? [loaded] : [])] });
  expect(await rows()).toEqual(before);
});

const long = "o".repeat(1_200_000);
const cut: [string, Parameters<typeof replyWith>[0]][] = [
  ["a tool's output of 1.2 MB", { output: long }],
  ["a tool's output of 1.2 MB in an object", { output: { long } }],
  ["a tool's output of 1.2 MB with U+0000", { output: "\0".repeat(1_200_000) }],
  ["a tool's output of control characters", { output: "\u0001".repeat(1_000_000) }],
  ["data of 1.2 MB", { data: { long } }],
  ["data that is nested too deep", { data: nested(600) }],
  ["a tool's input of 300 kB", { input: { long: long.slice(0, 300_000) } }],
  ["metadata of 300 kB", { metadata: { long: long.slice(0, 300_000) } }],
  ["metadata that is nested too deep", { metadata: nested(120) }],
  ["a call's id of 20 kB", { call: long.slice(0, 20_000) }],
];
test.for(cut)("%s is cut, and the answer is stored", async ([, fields], { store, id, rows, client }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  const { stored, stream } = store.storeWhileStreaming({ id, messages, stream: replyWith(fields) });
  void stream.cancel();
  await stored;
  const loaded = (await store.loadChat(id)).at(-1);
  expect(loaded?.parts.at(-1)).toMatchObject({ type: "text", text: ANSWER });
  const all = await rows();
  expect(all.every(({ status }) => status === "complete")).toBe(true);
  const text = JSON.stringify([all, loaded]);
  if (!("metadata" in fields)) expect(text).toMatch(/too large to store|could not be stored/);
  else expect(all.at(-1)?.metadata["scrollback"]).toEqual({ cut: true });
  // A model gets the answer, too.
  expect(JSON.stringify(await client.getContext(id, { format: "openai" }))).toContain(ANSWER);
});

test("an answer of 1.2 MB is cut, and says so", async ({ store, id }) => {
  const messages = await store.appendUserMessage({ id, message: question });
  await store.storeWhileStreaming({ id, messages, stream: replyWith({ end: "🌧".repeat(400_000) }) }).stored;
  const last = (await store.loadChat(id)).at(-1)?.parts.at(-1) as { text: string };
  expect(last.text).toMatch(/^It is raining\.(🌧)+\n\[cut: the rest is too large to store\]$/u);
  expect(new TextEncoder().encode(last.text).length).toBeGreaterThan(1_040_000);
});

test("a user's message is stored, whatever is in it", async ({ store, id }) => {
  const url = `data:image/png;base64,${"A".repeat(1_200_000)}`;
  const parts: UIMessage["parts"] = [
    { type: "text", text: "What is\0this?" },
    { type: "file", mediaType: "image/png", url },
  ];
  // The model gets the picture now. The history says that there was one.
  expect(await store.appendUserMessage({ id, message: { ...question, parts } })).toEqual([{ ...question, parts }]);
  expect((await store.loadChat(id))[0]?.parts).toEqual([
    { type: "text", text: "What is\0this?" },
    { type: "text", text: "[file: 1201 kB, too large to store]" },
  ]);
});

test("a reply that is larger than a request is stored", async ({ store, id }) => {
  const steps = Array.from({ length: 6 }, (_, n) => [
    { type: "step-start" as const },
    { type: "text" as const, text: `${String(n)}${long.slice(0, 900_000)}` },
  ]).flat();
  const reply: UIMessage = { id: "r1", role: "assistant", parts: steps };
  await store.saveChat({ id, messages: [question, reply] });
  expect(await store.loadChat(id)).toEqual([question, reply]);
});
