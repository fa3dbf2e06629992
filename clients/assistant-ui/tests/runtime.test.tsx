/** assistant-ui's own runtime in a page, with the AI SDK's chat. */
// @vitest-environment happy-dom
// @vitest-environment-options { "settings": { "fetch": { "disableSameOriginPolicy": true } } }
import {
  AssistantRuntimeProvider,
  useRemoteThreadListRuntime,
  type AssistantRuntime,
  type RemoteThreadListAdapter,
} from "@assistant-ui/react";
import { AssistantChatTransport, useChatRuntime } from "@assistant-ui/react-ai-sdk";
import { chatStore, generateMessageId, type ChatStore } from "@scrollback/ai-sdk";
import { createUIMessageStream, createUIMessageStreamResponse, type UIMessage } from "ai";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { expect, vi } from "vitest";
import { threadListAdapter, useBranchChange } from "../src/index.js";
import type { ScrollbackClient } from "@scrollback/client";
import { test } from "./fixtures.js";

/** A model that numbers its answers, behind a route that may store each turn. */
function model(store?: ChatStore) {
  const chats: string[] = [];
  /** Answers end when this does. */
  const wait = { until: Promise.resolve() };
  const transport = new AssistantChatTransport({
    fetch: (_, init) => {
      const { id, messages } = JSON.parse(init?.body as string) as { id: string; messages: UIMessage[] };
      chats.push(id);
      const part = { id: "text" };
      const answer = `Answer ${String(chats.length)}`;
      const stream = createUIMessageStream({
        originalMessages: messages,
        generateId: generateMessageId,
        execute: async ({ writer }) => {
          writer.write({ type: "text-start", ...part });
          writer.write({ type: "text-delta", ...part, delta: answer });
          await wait.until;
          writer.write({ type: "text-end", ...part });
        },
        onEnd: ({ messages }) => store?.saveChat({ id, messages }),
      });
      return Promise.resolve(createUIMessageStreamResponse({ stream }));
    },
  });
  return { chats, transport, wait };
}

const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 20_000, interval: 20 });

/** A page that is loaded now. */
function load(
  client: ScrollbackClient,
  adapter: RemoteThreadListAdapter,
  transport: ReturnType<typeof model>["transport"],
) {
  const page: { runtime?: AssistantRuntime } = {};
  const useChat = () => useChatRuntime({ transport, unstable_onBranchChange: useBranchChange(client) });
  const Page = () => {
    page.runtime = useRemoteThreadListRuntime({ adapter, runtimeHook: useChat });
    return <AssistantRuntimeProvider runtime={page.runtime}>{null}</AssistantRuntimeProvider>;
  };
  const root = createRoot(document.createElement("div"));
  root.render(
    <StrictMode>
      <Page />
    </StrictMode>,
  );
  const runtime = () => {
    if (!page.runtime) throw new Error("the page is not there yet");
    return page.runtime;
  };
  return {
    runtime,
    shown: () =>
      runtime()
        .thread.getState()
        .messages.map(({ content }) => content.map((part) => "text" in part && part.text).join()),
    close: () => root.unmount(),
  };
}

test("a thread is there after a reload, with what was edited and generated anew", async ({ client, userId }) => {
  const { chats, transport } = model();
  const chat = chatStore(client);
  const adapter = () => threadListAdapter(client, { userId });

  let page = load(client, adapter(), transport);
  await eventually(() => expect(page.runtime().threads.getState().isLoading).toBe(false));
  page.runtime().thread.append("Rain in Oslo?");
  await eventually(async () => expect((await adapter().list()).threads).toMatchObject([{ title: "Rain in Oslo?" }]));
  const id = (await adapter().list()).threads[0]?.remoteId ?? "";
  const stored = async () =>
    (await chat.loadChat(id)).map(({ parts }) =>
      parts
        .map((part) => part.type === "text" && part.text)
        .filter(Boolean)
        .join(),
    );
  await eventually(async () => expect(await stored()).toEqual(["Rain in Oslo?", "Answer 1"]));
  expect(chats).toEqual([id]);
  page.close();

  page = load(client, adapter(), transport);
  await eventually(() => expect(page.runtime().threads.getState().threadIds).toEqual([id]));
  expect(page.runtime().threads.getItemById(id).getState().title).toBe("Rain in Oslo?");
  await page.runtime().threads.switchToThread(id);
  await eventually(() => expect(page.shown()).toEqual(["Rain in Oslo?", "Answer 1"]));

  // Generated anew.
  const [, answer] = page.runtime().thread.getState().messages;
  page
    .runtime()
    .thread.getMessageById(answer?.id ?? "")
    .reload();
  await eventually(async () => expect(await stored()).toEqual(["Rain in Oslo?", "Answer 2"]));
  // The older branch goes on.
  page.runtime().thread.getMessageByIndex(1).switchToBranch({ position: "previous" });
  await eventually(() => expect(page.shown()).toEqual(["Rain in Oslo?", "Answer 1"]));
  page.runtime().thread.append("And in Bergen?");
  await eventually(async () =>
    expect(await stored()).toEqual(["Rain in Oslo?", "Answer 1", "And in Bergen?", "Answer 3"]),
  );
  // Edited.
  page.runtime().thread.append({ parentId: null, role: "user", content: [{ type: "text", text: "Snow?" }] });
  await eventually(async () => expect(await stored()).toEqual(["Snow?", "Answer 4"]));
  page.close();

  page = load(client, adapter(), transport);
  await eventually(() => expect(page.runtime().threads.getState().threadIds).toEqual([id]));
  await page.runtime().threads.switchToThread(id);
  await eventually(() => expect(page.shown()).toEqual(["Snow?", "Answer 4"]));
  // The other branches are there, too.
  expect(page.runtime().thread.getMessageByIndex(0).getState()).toMatchObject({ branchNumber: 2, branchCount: 2 });
  page.runtime().thread.getMessageByIndex(0).switchToBranch({ position: "previous" });
  await eventually(async () => expect(await stored()).toEqual(page.shown()));
  expect(page.runtime().thread.getMessageByIndex(1).getState()).toMatchObject({ branchCount: 2 });
  const thread = page.runtime().threads.getItemById(id);
  await thread.rename("Weather");
  await thread.archive();
  expect(await adapter().fetch(id)).toMatchObject({ title: "Weather", status: "archived" });
  await thread.delete();
  expect((await adapter().list()).threads).toEqual([]);
  page.close();
});

test("three versions of an answer are there after a reload, and the one that the user has gone to is shown", async ({
  client,
  userId,
}) => {
  const { transport } = model();
  const adapter = () => threadListAdapter(client, { userId });
  let page = load(client, adapter(), transport);
  await eventually(() => expect(page.runtime().threads.getState().isLoading).toBe(false));
  page.runtime().thread.append("Rain in Oslo?");
  await eventually(async () => expect((await adapter().list()).threads).toHaveLength(1));
  const id = (await adapter().list()).threads[0]?.remoteId ?? "";
  const line = async () => (await client.getChatHistory(id).all()).map(({ content }) => content);
  await eventually(async () => expect(await line()).toEqual(["Rain in Oslo?", "Answer 1"]));
  for (const answer of ["Answer 2", "Answer 3"]) {
    const shown = page.runtime().thread.getMessageByIndex(1).getState();
    page.runtime().thread.getMessageById(shown.id).reload();
    await eventually(async () => expect(await line()).toEqual(["Rain in Oslo?", answer]));
  }
  expect(await client.getConversation(id)).toMatchObject({ message_count: 2, kept_count: 2 });

  for (const [number, answer] of [
    [3, "Answer 3"],
    [2, "Answer 2"],
    [1, "Answer 1"],
  ] as const) {
    page.close();
    page = load(client, adapter(), transport);
    await eventually(() => expect(page.runtime().threads.getState().threadIds).toEqual([id]));
    await page.runtime().threads.switchToThread(id);
    await eventually(() => expect(page.shown()).toEqual(["Rain in Oslo?", answer]));
    const message = page.runtime().thread.getMessageByIndex(1);
    expect(message.getState()).toMatchObject({ branchNumber: number, branchCount: 3 });
    if (number === 1) break;
    message.switchToBranch({ position: "previous" });
    await eventually(async () => expect(await line()).toEqual(["Rain in Oslo?", `Answer ${String(number - 1)}`]));
  }
  // The user goes on with the first one.
  page.runtime().thread.append("And in Bergen?");
  await eventually(async () =>
    expect(await line()).toEqual(["Rain in Oslo?", "Answer 1", "And in Bergen?", "Answer 4"]),
  );
  expect(await client.getConversation(id)).toMatchObject({ message_count: 4, kept_count: 2 });
  page.close();
});

test("a reply that ends after the user has gone to another thread is stored in its own", async ({ client, userId }) => {
  const chat = chatStore(client);
  const { transport, chats, wait } = model();
  let end: (() => void) | undefined;
  wait.until = new Promise((resolve) => (end = resolve));
  const page = load(client, threadListAdapter(client, { userId }), transport);
  await eventually(() => expect(page.runtime().threads.getState().isLoading).toBe(false));
  page.runtime().thread.append("First");
  await eventually(() => expect(page.shown()).toEqual(["First", "Answer 1"]));
  await page.runtime().threads.switchToNewThread();
  await eventually(() => expect(page.shown()).toEqual([]));
  page.runtime().thread.append("Second");
  await eventually(() => expect(page.shown()).toEqual(["Second", "Answer 2"]));
  end?.();
  const stored = async (id = "") =>
    (await chat.loadChat(id)).map(({ parts }) => parts.map((part) => part.type === "text" && part.text).find(Boolean));
  await eventually(async () => expect(await stored(chats[0])).toEqual(["First", "Answer 1"]));
  await eventually(async () => expect(await stored(chats[1])).toEqual(["Second", "Answer 2"]));
  page.close();
});

test("a page that only reads shows what its server has stored", async ({ client, userId }) => {
  const chat = chatStore(client);
  const { transport } = model(chat);
  const adapter = () => threadListAdapter(client, { userId, readOnly: true });

  let page = load(client, adapter(), transport);
  await eventually(() => expect(page.runtime().threads.getState().isLoading).toBe(false));
  page.runtime().thread.append("Rain in Oslo?");
  await eventually(async () => expect((await adapter().list()).threads).toHaveLength(1));
  const id = (await adapter().list()).threads[0]?.remoteId ?? "";
  const settled = (count: number) =>
    eventually(async () => {
      expect(await chat.loadChat(id)).toHaveLength(count);
      expect(page.runtime().thread.getState().isRunning).toBe(false);
    });
  await settled(2);
  page.runtime().thread.append("And in Bergen?");
  await settled(4);
  const [, answer] = page.runtime().thread.getState().messages;
  page
    .runtime()
    .thread.getMessageById(answer?.id ?? "")
    .reload();
  await settled(2);
  page.close();

  page = load(client, adapter(), transport);
  await eventually(() => expect(page.runtime().threads.getState().threadIds).toEqual([id]));
  await page.runtime().threads.switchToThread(id);
  await eventually(() => expect(page.shown()).toEqual(["Rain in Oslo?", "Answer 3"]));
  page.close();
});
