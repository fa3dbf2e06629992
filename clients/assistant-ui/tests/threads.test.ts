/** The list of threads. */
import { threadListAdapter } from "../src/index.js";
import { newId } from "@scrollback/client";
import type { RemoteThreadListAdapter, ThreadMessage } from "@assistant-ui/react";
import type { AssistantStreamChunk } from "assistant-stream";
import { expect } from "vitest";
import { lossy, test } from "./fixtures.js";

const said = (...texts: string[]) =>
  texts.map((text) => ({ role: "user", content: [{ type: "text", text }] })) as unknown as ThreadMessage[];

const threadsOf = async (adapter: RemoteThreadListAdapter) => (await adapter.list()).threads;

test("a new thread is listed, with its draft's metadata", async ({ adapter }) => {
  const { remoteId, externalId } = await adapter.initialize("__LOCALID_1", { custom: { project: "acme", order: 2 } });
  expect(externalId).toBeUndefined();
  const thread = {
    remoteId,
    status: "regular",
    title: undefined,
    lastMessageAt: undefined,
    custom: { project: "acme", order: 2 },
  };
  expect(await adapter.list()).toEqual({ threads: [thread], nextCursor: undefined });
  expect(await adapter.fetch(remoteId)).toEqual(thread);
});

test("a thread is created once, if its answer is lost, too", async ({ userId, adapter }) => {
  const { client, network } = lossy("POST");
  const flaky = threadListAdapter(client, { userId });
  await expect(flaky.initialize("__LOCALID_1")).rejects.toThrow();
  expect(network.lost).toBe(1);
  expect(await threadsOf(adapter)).toHaveLength(1);
  network.broken = false;
  const { remoteId } = await flaky.initialize("__LOCALID_1");
  const both = await Promise.all([flaky.initialize("__LOCALID_1"), flaky.initialize("__LOCALID_1")]);
  expect(both.map((one) => one.remoteId)).toEqual([remoteId, remoteId]);
  expect((await threadsOf(adapter)).map((one) => one.remoteId)).toEqual([remoteId]);
});

test("local ids of two pages may be the same", async ({ client, userId }) => {
  const pages = [threadListAdapter(client, { userId }), threadListAdapter(client, { userId })];
  const made = await Promise.all(pages.map((page) => page.initialize("__LOCALID__R_0_")));
  expect(new Set(made.map(({ remoteId }) => remoteId)).size).toBe(2);
});

test("threads are renamed, archived and unarchived", async ({ adapter }) => {
  const { remoteId } = await adapter.initialize("a");
  await adapter.rename(remoteId, "Rain in Oslo");
  await adapter.archive(remoteId);
  expect(await threadsOf(adapter)).toMatchObject([{ remoteId, title: "Rain in Oslo", status: "archived" }]);
  await adapter.unarchive?.(remoteId);
  expect(await adapter.fetch(remoteId)).toMatchObject({ title: "Rain in Oslo", status: "regular" });
});

test("the thread with the newest message comes first, page by page", async ({ client, userId }) => {
  const adapter = threadListAdapter(client, { userId, pageSize: 2 });
  const ids: string[] = [];
  for (const name of ["a", "b", "c"]) {
    const { remoteId } = await adapter.initialize(name);
    ids.push(remoteId);
    await client.addMessage(remoteId, { role: "user", content: name });
  }
  const [a = "", b = "", c] = ids;
  await adapter.archive(a);
  await client.addMessage(a, { role: "user", content: "again" });
  await adapter.rename(b, "Renamed");
  const first = await adapter.list();
  expect(first.threads.map(({ remoteId, status }) => [remoteId, status])).toEqual([
    [a, "archived"],
    [c, "regular"],
  ]);
  expect(first.threads[0]?.lastMessageAt).toEqual(new Date((await client.getConversation(a)).last_message_at ?? 0));
  const second = await adapter.list({ after: first.nextCursor });
  expect(second.threads.map(({ remoteId }) => remoteId)).toEqual([b]);
  expect(second.nextCursor).toBeUndefined();
});

test("custom metadata is replaced as a whole", async ({ adapter }) => {
  const { remoteId } = await adapter.initialize("a", { custom: { tags: ["x"], place: { city: "Oslo", zip: 1 } } });
  const custom = { place: { city: "Bergen" }, pinned: true };
  await adapter.updateCustom?.(remoteId, custom);
  expect((await adapter.fetch(remoteId)).custom).toEqual(custom);
  await adapter.updateCustom?.(remoteId, undefined);
  expect((await adapter.fetch(remoteId)).custom).toEqual({});
});

test("a thread is deleted with its messages, and can be deleted again", async ({ adapter, client }) => {
  const { remoteId } = await adapter.initialize("a");
  await client.addMessage(remoteId, { role: "user", content: "hello" });
  for (let time = 0; time < 2; time++) await adapter.delete(remoteId);
  expect(await threadsOf(adapter)).toEqual([]);
  await expect(adapter.fetch(remoteId)).rejects.toMatchObject({ code: "not_found" });
});

test("a thread that is not there cannot be fetched or changed", async ({ adapter }) => {
  const id = newId();
  await expect(adapter.fetch(id)).rejects.toMatchObject({ code: "not_found" });
  await expect(adapter.rename(id, "Title")).rejects.toMatchObject({ code: "not_found" });
  await expect(adapter.archive(id)).rejects.toMatchObject({ code: "not_found" });
  await expect(adapter.fetch("no-uuid")).rejects.toMatchObject({ code: "invalid_uuid" });
});

test("another failure of a deletion is not hidden", async ({ userId, adapter }) => {
  const { remoteId } = await adapter.initialize("a");
  await expect(threadListAdapter(lossy("DELETE").client, { userId }).delete(remoteId)).rejects.toThrow("no response");
});

test("two users' lists are apart", async ({ client, adapter }) => {
  const other = threadListAdapter(client, { userId: `user-${newId()}` });
  const { remoteId } = await other.initialize("a");
  expect(await threadsOf(adapter)).toEqual([]);
  expect(await threadsOf(other)).toMatchObject([{ remoteId }]);
});

test("a title is the beginning of the first message, and is stored before its stream ends", async ({ adapter }) => {
  const { remoteId } = await adapter.initialize("a");
  const title = async (...texts: string[]) => {
    let streamed = "";
    const stream: ReadableStream<AssistantStreamChunk> = await adapter.generateTitle(remoteId, said(...texts));
    for await (const chunk of stream) if (chunk.type === "text-delta") streamed += chunk.textDelta;
    return [streamed, (await adapter.fetch(remoteId)).title];
  };
  const long = `Will it rain in Oslo on the day after tomorrow, or not before the weekend?`;
  const short = "Will it rain in Oslo on the day after tomorrow, or not…";
  expect(await title()).toEqual(["", undefined]);
  expect(await title("  Rain\n in Oslo?", "And in Bergen?")).toEqual(["Rain in Oslo?", "Rain in Oslo?"]);
  expect(await title(long)).toEqual([short, short]);
  expect(await title("🌧".repeat(61))).toEqual([`${"🌧".repeat(59)}…`, `${"🌧".repeat(59)}…`]);
});

test("an application makes its own titles", async ({ client, userId }) => {
  const adapter = threadListAdapter(client, {
    userId,
    title: (messages) => Promise.resolve(`${String(messages.length)} messages`),
  });
  const { remoteId } = await adapter.initialize("a");
  await adapter.generateTitle(remoteId, said("one", "two"));
  expect((await adapter.fetch(remoteId)).title).toBe("2 messages");
});
