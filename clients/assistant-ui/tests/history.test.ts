/** The history of a thread. */
import type { GenericThreadHistoryAdapter } from "@assistant-ui/react";
import { aiSDKV6FormatAdapter } from "assistant-cloud/ai-sdk";
import type { ScrollbackClient } from "@scrollback/client";
import * as fc from "fast-check";
import { expect } from "vitest";
import { histories } from "../../ai-sdk/tests/messages.js";
import { selectBranch } from "../src/history.js";
import { historyAdapter, threadListAdapter, type HistoryOptions } from "../src/index.js";
import { lossy, test } from "./fixtures.js";

type UIMessage = Parameters<typeof aiSDKV6FormatAdapter.getId>[0];
type History = GenericThreadHistoryAdapter<UIMessage>;

const user = (id: string, text = id): UIMessage => ({ id, role: "user", parts: [{ type: "text", text }] });
const reply = (id: string, ...parts: UIMessage["parts"]): UIMessage => ({
  id,
  role: "assistant",
  parts: [{ type: "step-start" }, ...parts, { type: "text", text: id, state: "done" }],
});

/** A thread as a page has it. */
const threadOf = (remoteId: string) => ({
  getState: () => ({ remoteId }),
  initialize: () => Promise.resolve({ remoteId }),
});

/** The history as a page gets it that is loaded now. */
function open(client: ScrollbackClient, id: string, options?: HistoryOptions): History {
  const history = historyAdapter(client, () => threadOf(id), options).withFormat?.(aiSDKV6FormatAdapter);
  if (!history) throw new Error("no history");
  return history;
}

/** Messages, each behind the one before. */
async function append(history: History, parentId: string | null, ...messages: UIMessage[]): Promise<void> {
  for (const message of messages) {
    await history.append({ parentId, message });
    parentId = message.id;
  }
}

const idsOf = async (history: History) => (await history.load()).messages.map(({ message }) => message.id);

/** The messages from the first one to the head. */
async function lineOf(history: History): Promise<string[]> {
  const { headId, messages } = await history.load();
  const parents = new Map(messages.map(({ parentId, message }) => [message.id, parentId]));
  const line: string[] = [];
  for (let id = headId ?? null; id !== null; id = parents.get(id) ?? null) line.unshift(id);
  return line;
}

/** Which message each one follows. */
const treeOf = async (history: History) =>
  (await history.load()).messages.map(({ parentId, message }) => [message.id, parentId]);

test("messages come back as they were, each behind the one before", async ({ client, id }) => {
  const messages = [user("u1"), reply("a1"), user("u2"), reply("a2")];
  await append(open(client, id), null, ...messages);
  expect(await open(client, id).load()).toEqual({
    headId: "a2",
    messages: messages.map((message, index) => ({ parentId: messages[index - 1]?.id ?? null, message })),
  });
});

test("every kind of message comes back through assistant-ui's format", async ({ client }) => {
  await fc.assert(
    fc.asyncProperty(histories(7), async (messages) => {
      const { id } = await client.getOrCreateConversation({ user_id: "ada", new: true });
      await append(open(client, id), null, ...messages);
      const { messages: loaded } = await open(client, id).load();
      expect(loaded.map(({ message }) => message)).toEqual(messages);
    }),
    { numRuns: 40 },
  );
});

test("a thread without a conversation has no messages, and gets none by reading or deleting", async ({ client }) => {
  const initialize = () => Promise.reject(new Error("must not be called"));
  const thread = { getState: () => ({ remoteId: undefined }), initialize };
  const history = historyAdapter(client, () => thread).withFormat?.(aiSDKV6FormatAdapter);
  expect(await history?.load()).toEqual({ headId: null, messages: [] });
  await history?.delete?.([{ parentId: null, message: user("u1") }]);
});

test("the first message creates the conversation", async ({ client, adapter }) => {
  let remoteId: string | undefined;
  const initialize = async () => {
    ({ remoteId } = await adapter.initialize("__LOCALID_1"));
    return { remoteId };
  };
  const history = historyAdapter(client, () => ({ getState: () => ({ remoteId }), initialize }));
  await history.withFormat?.(aiSDKV6FormatAdapter).append({ parentId: null, message: user("u1") });
  const [thread] = (await adapter.list()).threads;
  expect(thread?.remoteId).toBe(remoteId);
  expect(await idsOf(open(client, thread?.remoteId ?? ""))).toEqual(["u1"]);
});

test("three versions of a reply are there after a reload, and the one that was shown is the head", async ({
  client,
  id,
}) => {
  const history = open(client, id);
  const tool = { type: "tool-weather" as const, toolCallId: "c1", input: {}, state: "output-available" as const };
  const versions = [reply("a1", { ...tool, output: "rain" }), reply("a1 again"), reply("a1 a third time")];
  await append(history, null, user("u1"));
  for (const version of versions) await append(history, "u1", version);
  await append(history, "a1", user("u2"), reply("a2"));
  const expected = {
    headId: "a2",
    messages: [
      { parentId: null, message: user("u1") },
      ...versions.map((message) => ({ parentId: "u1", message })),
      { parentId: "a1", message: user("u2") },
      { parentId: "u2", message: reply("a2") },
    ],
  };
  expect(await open(client, id).load()).toEqual(expected);
  await selectBranch(client, threadOf(id), "a1 again");
  expect(await open(client, id).load()).toEqual({ ...expected, headId: "a1 again" });
  // What another program reads is the branch that is shown.
  const { messages } = await client.getContext(id, { format: "openai" });
  expect(messages.map(({ content }) => content)).toEqual(["u1", "a1 again"]);
  await selectBranch(client, threadOf(id), "a1");
  expect(await lineOf(open(client, id))).toEqual(["u1", "a1", "u2", "a2"]);
});

test("an edited message is another version, after a reload, too", async ({ client, id }) => {
  await append(open(client, id), null, user("u1"), reply("a1"), user("u2"), reply("a2"));
  const history = open(client, id);
  await history.load();
  await append(history, "a1", user("u2 edited"), reply("a2 edited"));
  expect(await lineOf(history)).toEqual(["u1", "a1", "u2 edited", "a2 edited"]);
  await append(history, null, user("u1 edited"));
  expect(await lineOf(open(client, id))).toEqual(["u1 edited"]);
  expect(await idsOf(history)).toEqual(["u1", "a1", "u2", "a2", "u2 edited", "a2 edited", "u1 edited"]);
});

test("an older branch is the head again when the user goes on with it", async ({ client, id }) => {
  const history = open(client, id);
  await append(history, null, user("u1"), reply("a1"), user("u2"), reply("a2"));
  await append(history, "u1", reply("a1 again"));
  await append(history, "a2", user("u3"));
  expect(await lineOf(open(client, id))).toEqual(["u1", "a1", "u2", "a2", "u3"]);
  expect(await idsOf(open(client, id))).toContain("a1 again");
});

test("a branch that is chosen before a message is stored does not undo it", async ({ client, id }) => {
  const history = open(client, id);
  await append(history, null, user("u1"), reply("a1"));
  await append(history, "u1", reply("a1 again"));
  await Promise.all([
    selectBranch(client, threadOf(id), "a1"),
    history.append({ parentId: "a1 again", message: user("u2") }),
    // One that is not stored is not chosen.
    selectBranch(client, threadOf(id), "a2"),
  ]);
  expect(await lineOf(open(client, id))).toEqual(["u1", "a1 again", "u2"]);
});

test("whatever users write, choose and delete, a page that is loaded has the tree and its head", async ({ client }) => {
  const step = fc.record({
    does: fc.constantFrom("write", "write", "write", "choose", "delete"),
    at: fc.nat(),
    page: fc.nat(1),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
      const { id } = await client.getOrCreateConversation({ user_id: "ada", new: true });
      const pages = [open(client, id), open(client, id)];
      /** Each message with its parent, in the order in which they were stored. */
      const tree = new Map<string, string | null>();
      let head: string | null = null;
      for (const [n, { does, at, page }] of steps.entries()) {
        const known = [...tree.keys()];
        const some = known[at % Math.max(1, known.length)];
        const history = pages[page];
        if (does === "write") {
          const parent = known[at % (known.length + 1)] ?? null;
          const message = n % 2 === 0 ? user(`m${String(n)}`) : reply(`m${String(n)}`);
          await history?.load();
          await history?.append({ parentId: parent, message });
          tree.set(message.id, parent);
          head = message.id;
        } else if (some === undefined) {
          continue;
        } else if (does === "choose") {
          await selectBranch(client, threadOf(id), some);
          const newest = (parent: string): string => {
            const child = [...tree].findLast(([, one]) => one === parent)?.[0];
            return child === undefined ? parent : newest(child);
          };
          head = newest(some);
        } else {
          const parent = tree.get(some) ?? null;
          await history?.delete?.([{ parentId: parent, message: user(some) }]);
          tree.delete(some);
          for (const [child, one] of tree) if (one === some) tree.set(child, parent);
          if (head === some) head = parent;
        }
        const loaded = await open(client, id).load();
        expect(loaded.messages.map(({ message, parentId }) => [message.id, parentId])).toEqual([...tree]);
        expect(loaded.headId).toBe(head);
      }
    }),
    { numRuns: Number(process.env["CASES"] ?? 25) },
  );
});

test("an append that is repeated stores nothing twice and removes nothing", async ({ client, id, rows }) => {
  const history = open(client, id);
  await append(history, null, user("u1"), reply("a1"), user("u2"));
  const before = await rows();
  await append(history, null, user("u1"), reply("a1"), user("u2"));
  await append(open(client, id), "u1", reply("a1"));
  expect(await rows()).toEqual(before);
});

test("a message that is appended again with other content is changed in its place", async ({ client, id }) => {
  await append(open(client, id), null, user("u1"), reply("a1"), user("u2"));
  const message = reply("a1", { type: "text", text: "More.", state: "done" });
  await append(open(client, id), "u1", message);
  const { messages } = await open(client, id).load();
  expect(messages.map((item) => item.message)).toEqual([user("u1"), message, user("u2")]);
});

test("an append whose answer is lost can be repeated", async ({ client, id }) => {
  await append(open(client, id), null, user("u1"), reply("a1"), user("u2"), reply("a2"));
  const { client: flaky, network } = lossy("POST");
  const history = open(flaky, id);
  await history.load();
  await expect(append(history, "u1", reply("a1 again"))).rejects.toThrow("no response");
  expect(network.lost).toBe(1);
  network.broken = false;
  await append(history, "u1", reply("a1 again"));
  await append(history, "a1 again", user("u3"));
  expect(await lineOf(open(client, id))).toEqual(["u1", "a1 again", "u3"]);
});

test("a page that could not load the messages does not remove them", async ({ client, id }) => {
  await append(open(client, id), null, user("u1"), reply("a1"));
  const { client: flaky, network } = lossy("GET");
  const history = open(flaky, id);
  await expect(history.load()).rejects.toThrow("no response");
  network.broken = false;
  await append(history, null, user("u2"), reply("a2"));
  expect(await idsOf(open(client, id))).toEqual(["u1", "a1", "u2", "a2"]);
});

test("a page does not remove what another page has added", async ({ client, id }) => {
  const [one, two] = [open(client, id), open(client, id)];
  await append(one, null, user("u1"), reply("a1"));
  await two.load();
  await append(two, "a1", user("u2"), reply("a2"));
  await append(one, "u1", reply("a1 again"));
  expect(await lineOf(open(client, id))).toEqual(["u1", "a1 again"]);
  expect(await lineOf(two)).toEqual(["u1", "a1 again"]);
  await append(two, "a2", user("u3"));
  expect(await treeOf(open(client, id))).toEqual([
    ["u1", null],
    ["a1", "u1"],
    ["u2", "a1"],
    ["a2", "u2"],
    ["a1 again", "u1"],
    ["u3", "a2"],
  ]);
});

test("two pages that write at the same time lose nothing", async ({ client, id }) => {
  const [one, two] = [open(client, id), open(client, id)];
  await Promise.all([append(one, null, user("u1"), user("u2")), append(two, null, user("v1"), user("v2"))]);
  expect((await idsOf(open(client, id))).sort()).toEqual(["u1", "u2", "v1", "v2"]);
});

test("an update changes a message in its place", async ({ client, id }) => {
  const history = open(client, id);
  const tool = { type: "tool-weather" as const, toolCallId: "c1", input: { city: "Oslo" } };
  const paused = reply("a1", { ...tool, state: "approval-requested", approval: { id: "p1" } });
  await append(history, null, user("u1"), paused, user("u2"));
  const approval = { id: "p1", approved: true as const };
  const message = reply("a1", { ...tool, state: "output-available", output: { rain: true }, approval });
  for (let time = 0; time < 2; time++) await history.update?.({ parentId: "u1", message }, "a1");
  const { messages } = await open(client, id).load();
  expect(messages.map((item) => item.message)).toEqual([user("u1"), message, user("u2")]);
});

test("an update of a message that has versions below it deletes none of them", async ({ client, id }) => {
  const history = open(client, id);
  const tool = { type: "tool-weather" as const, toolCallId: "c1", input: {} };
  const asked = reply("a1", { ...tool, state: "input-available" });
  await append(history, null, user("u1"), asked, user("u2"), reply("a2"));
  await append(history, "u2", reply("a2 again"));
  const answered = reply("a1", { ...tool, state: "output-available", output: "rain" });
  const changed = reply("a2", { type: "text", text: "More.", state: "done" });
  await history.update?.({ parentId: "u1", message: answered }, "a1");
  await history.update?.({ parentId: "u2", message: changed }, "a2");
  expect(await open(client, id).load()).toEqual({
    headId: "a2 again",
    messages: [
      { parentId: null, message: user("u1") },
      { parentId: "u1", message: answered },
      { parentId: "a1", message: user("u2") },
      { parentId: "u2", message: changed },
      { parentId: "u2", message: reply("a2 again") },
    ],
  });
});

test("messages are deleted, and later ones stay", async ({ client, id }) => {
  const tool = { type: "tool-weather" as const, toolCallId: "c1", input: {}, state: "output-available" as const };
  const history = open(client, id);
  const deleted = { parentId: "u1", message: reply("a1", { ...tool, output: "rain" }) };
  await append(history, null, user("u1"), deleted.message, user("u2"));
  for (let time = 0; time < 2; time++) await history.delete?.([deleted]);
  expect(await idsOf(open(client, id))).toEqual(["u1", "u2"]);
  await append(history, "u2", reply("a2"));
  expect(await open(client, id).load()).toMatchObject({
    messages: [{ parentId: null }, { parentId: "u1", message: { id: "u2" } }, { parentId: "u2" }],
  });
});

test("writes go to the thread that was pinned", async ({ client, id, adapter }) => {
  const { remoteId: other } = await adapter.initialize("other");
  let shown = id;
  const history = historyAdapter(client, () => threadOf(shown)).withFormat?.(aiSDKV6FormatAdapter);
  history?.pin?.();
  shown = other;
  await history?.append({ parentId: null, message: user("u1") });
  expect(await idsOf(open(client, id))).toEqual(["u1"]);
  expect(await idsOf(open(client, other))).toEqual([]);
});

test("a read-only history is loaded, and never written", async ({ client, id, rows }) => {
  await append(open(client, id), null, user("u1"), reply("a1"));
  const before = await rows();
  const history = open(client, id, { readOnly: true });
  expect(await idsOf(history)).toEqual(["u1", "a1"]);
  await append(history, "a1", user("u2"));
  await history.update?.({ parentId: "u1", message: reply("a1", { type: "text", text: "more" }) }, "a1");
  await history.delete?.([{ parentId: null, message: user("u1") }]);
  expect(await rows()).toEqual(before);
});

test("a thread that is deleted gets no messages", async ({ client, adapter }) => {
  const { remoteId } = await adapter.initialize("a");
  const history = open(client, remoteId);
  await append(history, null, user("u1"));
  await adapter.delete(remoteId);
  await expect(append(history, "u1", reply("a1"))).rejects.toMatchObject({ code: "not_found" });
  await expect(history.load()).rejects.toMatchObject({ code: "not_found" });
  expect((await adapter.list()).threads).toEqual([]);
});

test("what is stored is readable for other clients", async ({ client, adapter }) => {
  const { remoteId } = await adapter.initialize("a");
  await append(open(client, remoteId), null, user("u1", "Rain in Oslo?"), reply("a1"));
  expect((await client.getContext(remoteId, { format: "openai" })).messages).toEqual([
    { role: "user", content: "Rain in Oslo?" },
    { role: "assistant", content: "a1" },
  ]);
});

test("other formats, and a runtime without one, are refused with what would be right", async ({ client, id }) => {
  const history = historyAdapter(client, () => threadOf(id));
  expect(() => history.withFormat?.({ ...aiSDKV6FormatAdapter, format: "aui/v0" })).toThrow(
    'the format "aui/v0" cannot be stored, only "ai-sdk/v6"',
  );
  await expect(history.load()).rejects.toThrow('use withFormat with the format "ai-sdk/v6"');
  await expect(history.append({} as never)).rejects.toThrow('use withFormat with the format "ai-sdk/v6"');
});

test("two users' threads are apart", async ({ client, adapter }) => {
  const other = threadListAdapter(client, { userId: "somebody else" });
  const [mine, theirs] = [await adapter.initialize("__LOCALID_1"), await other.initialize("__LOCALID_1")];
  await append(open(client, mine.remoteId), null, user("u1"));
  expect(await idsOf(open(client, theirs.remoteId))).toEqual([]);
});
