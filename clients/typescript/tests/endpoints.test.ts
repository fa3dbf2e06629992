/** Every endpoint, against the real API. */
import { readFileSync } from "node:fs";
import { describe, expect, expectTypeOf } from "vitest";
import { parse } from "yaml";
import {
  isProblem,
  newId,
  ScrollbackClient,
  type AnthropicMessage,
  type ConverseMessage,
  type GeminiContent,
  type Message,
  type NewMessage,
} from "../src/index.js";
import { failure, someone, test } from "./fixtures.js";

const CALL = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city": "Oslo"}' } };

test("each operation of openapi.yaml is a method", ({ client }) => {
  const { paths } = parse(readFileSync("../../openapi.yaml", "utf8")) as {
    paths: Record<string, Record<string, { operationId?: string }>>;
  };
  const operations = Object.values(paths)
    .flatMap((path) => Object.values(path))
    .flatMap(({ operationId }) => operationId ?? []);
  expect(operations.length).toBeGreaterThan(15);
  // One method has another name than its operation.
  const named = (id: string) => (id === "begin-turn" ? "turn" : id);
  const names = operations.map((id) => named(id).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()));
  expect(names.filter((name) => !(name in client))).toEqual([]);
});

describe("conversations", () => {
  test("one is found, or made", async ({ client }) => {
    const user = someone();
    const first = await client.getOrCreateConversation({ user_id: user, title: "Rain", metadata: { tags: ["a"] } });
    expect(first).toMatchObject({ user_id: user, title: "Rain", metadata: { tags: ["a"] }, version: '"1"' });
    expect((await client.getOrCreateConversation({ user_id: user })).id).toBe(first.id);
    expect((await client.getOrCreateConversation({ user_id: user, new: true })).id).not.toBe(first.id);
    const id = newId();
    expect((await client.getOrCreateConversation({ user_id: user, id, expires_in: 60 })).id).toBe(id);
    expect((await client.getConversation(id)).expires_at).not.toBeNull();
  });

  test("one is changed at a version, and read if it has changed", async ({ client, conversation }) => {
    const changed = await client.updateConversation(conversation.id, {
      title: "Umbrellas",
      metadata: { model: "gpt-5" },
      pinned: true,
    });
    expect(changed.pinned_at).not.toBeNull();
    const late = client.updateConversation(conversation.id, { title: null }, { ifMatch: '"1"' });
    expect(await failure(late)).toMatchObject({ code: "precondition_failed", status: 412, param: "If-Match" });
    const same = client.getConversation(conversation.id, { ifNoneMatch: changed.version });
    expect(await failure(same)).toMatchObject({ code: "not_modified", status: 304 });
    const now = await client.updateConversation(conversation.id, { title: null }, { ifMatch: changed.version });
    expect(now).toMatchObject({ title: null, metadata: { model: "gpt-5" } });
  });

  test("one is forked", async ({ client, conversation }) => {
    await client.addMessages(conversation.id, { messages: [user("one"), user("two"), user("three")] });
    const copy = await client.forkConversation(conversation.id, { through: 2, title: "Another" });
    expect(copy).toMatchObject({ message_count: 2, title: "Another" });
    expect(copy.forked_from).toEqual({ conversation_id: conversation.id, position: 2 });
    const id = newId();
    expect((await client.forkConversation(conversation.id, { id })).id).toBe(id);
  });

  test("one is summarized", async ({ client, conversation }) => {
    await client.addMessages(conversation.id, { messages: [user("one"), user("two")] });
    const through = { through: 1, content: "There was a one.", token_count: 4 };
    expect((await client.summarizeConversation(conversation.id, through)).summary?.through).toBe(1);
  });

  test("its summary is read and deleted", async ({ client, conversation }) => {
    await client.addMessages(conversation.id, { messages: [user("one"), user("two")] });
    expect((await failure(client.getSummary(conversation.id))).code).toBe("not_found");
    await client.summarizeConversation(conversation.id, { through: 1, content: "One." });
    await client.summarizeConversation(conversation.id, { through: 2, content: "Two.", token_count: 3 });
    const found = await client.getSummary(conversation.id);
    expect(found).toMatchObject({ through: 2, content: "Two.", token_count: 3, version: '"4"' });
    const same = client.getSummary(conversation.id, { ifNoneMatch: found.version });
    expect((await failure(same)).code).toBe("not_modified");
    expect((await failure(client.deleteSummary(conversation.id, { ifMatch: '"3"' }))).code).toBe("precondition_failed");
    await client.deleteSummary(conversation.id, { ifMatch: found.version });
    expect(await client.getSummary(conversation.id)).toMatchObject({ through: 1, content: "One.", token_count: null });
  });

  test("one is deleted, at its version", async ({ client, conversation }) => {
    const wrong = client.deleteConversation(conversation.id, { ifMatch: '"77"' });
    expect(isProblem(await failure(wrong), "precondition_failed")).toBe(true);
    await client.deleteConversation(conversation.id, { ifMatch: '"1"' });
    expect((await failure(client.getConversation(conversation.id))).code).toBe("not_found");
  });
});

describe("messages", () => {
  test("one is stored with all its fields", async ({ client, conversation }) => {
    const id = newId();
    const fields = {
      id,
      role: "assistant",
      content: [{ type: "text", text: "Rain" }],
      tool_calls: [CALL],
      name: "oslo",
      metadata: { rating: 1 },
      token_count: 9,
    } as const satisfies NewMessage;
    const stored = await client.addMessage(conversation.id, fields);
    expect(stored).toMatchObject({ ...fields, position: 1, status: "complete", version: '"2"' });
    const result = { role: "tool", content: "rain", tool_call_id: "call_1" } as const;
    expect(await client.addMessage(conversation.id, result)).toMatchObject(result);
  });

  test("an id is made where there is none, also for null and undefined", async ({ client, conversation }) => {
    const page = await client.addMessages(conversation.id, {
      messages: [
        { ...user("one"), id: null },
        { ...user("two"), id: undefined },
      ],
    });
    const ids = page.items.map(({ id }) => id);
    expect(ids.map((id) => id[14])).toEqual(["7", "7"]);
    expect(page.version).toBe('"2"');
  });

  test("the same id again stores nothing, and with other content it is a conflict", async ({
    client,
    conversation,
  }) => {
    const message = { ...user("Hello"), id: newId() };
    const stored = await client.addMessage(conversation.id, message);
    expect(await client.addMessage(conversation.id, message)).toEqual(stored);
    const other = client.addMessage(conversation.id, { ...message, content: "Bye" });
    expect(await failure(other)).toMatchObject({ code: "conflict", param: "id" });
  });

  test("a reply is replaced", async ({ client, conversation }) => {
    await client.addMessages(conversation.id, { messages: [user("Rain?"), { role: "assistant", content: "No." }] });
    const again = await client.addMessage(conversation.id, { role: "assistant", content: "Maybe.", from: 2 });
    const both = { messages: [{ role: "assistant", content: "Yes." }, user("Snow?")] as const, from: again.position };
    expect((await client.addMessages(conversation.id, both)).items).toHaveLength(2);
    const history = await client.getChatHistory(conversation.id).all();
    expect(history.map(({ content }) => content)).toEqual(["Rain?", "Yes.", "Snow?"]);
  });

  test("one is read, edited and deleted", async ({ client, conversation }) => {
    const { id, version } = await client.addMessage(conversation.id, user("Is it raining in Olso? 🌧"));
    expect((await client.getMessage(conversation.id, id, { skip: 23 })).content).toBe("🌧");
    const same = client.getMessage(conversation.id, id, {}, { ifNoneMatch: version });
    expect((await failure(same)).code).toBe("not_modified");
    const edit = { content: "Oslo?", metadata: { edited: true }, token_count: 3 };
    const edited = await client.updateMessage(conversation.id, id, edit, { ifMatch: version });
    expect(edited).toMatchObject(edit);
    expect((await client.updateMessage(conversation.id, id, { token_count: null })).token_count).toBeNull();
    await client.deleteMessage(conversation.id, id);
    expect((await failure(client.getMessage(conversation.id, id))).code).toBe("not_found");
  });

  test("a piece is appended at its place, and a wrong place is a conflict with the length", async ({
    client,
    conversation,
  }) => {
    const begun = await client.addMessage(conversation.id, { role: "assistant", status: "in_progress" });
    await client.updateMessage(conversation.id, begun.id, { append: "🌧 rain", at: 0 });
    const wrong = client.updateMessage(conversation.id, begun.id, { append: "!", at: 3 });
    expect(await failure(wrong)).toMatchObject({ code: "conflict", param: "at", length: 6 });
    const ended = await client.updateMessage(conversation.id, begun.id, { append: ".", at: 6, status: "complete" });
    expect(ended).toMatchObject({ content: "🌧 rain.", status: "complete" });
  });

  test("a conversation is rewound", async ({ client, conversation }) => {
    const { version } = await client.addMessages(conversation.id, { messages: [user("a"), user("b"), user("c")] });
    expect(await client.rewindConversation(conversation.id, { from: 3 }, { ifMatch: version })).toMatchObject({
      deleted: 1,
    });
    expect(await client.rewindConversation(conversation.id)).toMatchObject({ deleted: 2 });
  });
});

describe("versions", () => {
  test("another answer is a version, and both are kept", async ({ client, conversation: { id } }) => {
    const question = await client.addMessage(id, user("Rain?"));
    const first = await client.addMessage(id, { role: "assistant", content: "No." });
    const fields = { role: "assistant", content: "Yes.", parent_id: question.id, id: newId() } as const;
    const second = await client.addMessage(id, fields);
    expect(await client.addMessage(id, fields)).toEqual(second);
    expect(await contents(client.getChatHistory(id))).toEqual(["Rain?", "Yes."]);
    expect(await client.getConversation(id)).toMatchObject({ message_count: 2, kept_count: 1 });

    const history = await client.getChatHistory(id, { include: "versions" }).all();
    expect(history.map(({ versions }) => versions)).toEqual([[question.id], [first.id, second.id]]);
    const kept = await client.getMessage(id, first.id, { include: "versions" });
    expect(kept).toMatchObject({ content: "No.", versions: [first.id, second.id] });
    expect(await client.getMessage(id, first.id)).not.toHaveProperty("versions");
    const elsewhere = client.addMessage(id, { ...fields, parent_id: first.id });
    expect(await failure(elsewhere)).toMatchObject({ code: "conflict", param: "id" });
    expect((await failure(client.addMessage(id, { ...user("?"), parent_id: newId() }))).code).toBe("not_found");
  });

  test("null is the beginning, for messages and turns", async ({ client, conversation: { id } }) => {
    await client.addMessages(id, { messages: [user("one"), { role: "assistant", content: "1" }] });
    await client.addMessages(id, { messages: [user("two")], parent_id: null });
    const turn = await client.turn(id, { ...user("three"), parent_id: null, reply_id: true });
    expect(turn.context.messages.map(({ content }) => content)).toEqual(["three"]);
    expect(await contents(client.getChatHistory(id))).toEqual(["three", ""]);
    const reply = await client.streamReply(id, { parent_id: turn.messages[0]?.id });
    reply.write("3");
    await reply.end();
    expect(await contents(client.getChatHistory(id))).toEqual(["three", "3"]);
    expect((await client.getConversation(id)).kept_count).toBe(4);
  });

  test("another line is read, and chosen at a version", async ({ client, conversation: { id } }) => {
    const said = ["Rain?", "No.", "Sure?", "Yes."].map(user);
    const [question, answer, , last] = (await client.addMessages(id, { messages: said })).items;
    const other = await client.addMessage(id, { ...user("It is."), parent_id: question?.id });
    const line = last?.id ?? "";
    expect(await contents(client.getChatHistory(id, { line, limit: 3 }, { pageSize: 2 }))).toEqual(
      said.slice(0, 3).map(({ content }) => content),
    );
    const context = await client.getContext(id, { line: answer?.id, format: "openai" });
    expect(context.messages.map(({ content }) => content)).toEqual(["Rain?", "No."]);

    const late = client.selectLine(id, { message_id: line }, { ifMatch: '"1"' });
    expect(await failure(late)).toMatchObject({ code: "precondition_failed" });
    const chosen = await client.selectLine(id, { message_id: answer?.id ?? "" }, { ifMatch: other.version });
    expect(chosen).toMatchObject({ message_count: 2, kept_count: 3 });
    await client.selectLine(id, { message_id: answer?.id ?? "", newest: true });
    expect(await contents(client.getChatHistory(id))).toEqual(["Rain?", "No.", "Sure?", "Yes."]);
    expect(await client.selectLine(id, { message_id: null })).toMatchObject({ message_count: 0, kept_count: 5 });
    expect((await failure(client.selectLine(id, { message_id: newId() }))).code).toBe("not_found");
  });

  test("the whole tree is read page by page", async ({ client, conversation: { id } }) => {
    const [one, two] = (await client.addMessages(id, { messages: [user("1"), user("2")] })).items;
    const three = await client.addMessage(id, { ...user("3"), parent_id: one?.id });
    const four = await client.addMessage(id, { ...user("4"), parent_id: null });
    const tree = await client.tree(id, {}, { pageSize: 3 }).all();
    expectTypeOf(tree).toExtend<{ parent_id: string | null; on_line: boolean }[]>();
    expect(tree.map(({ id: message, parent_id, on_line }) => [message, parent_id, on_line])).toEqual([
      [one?.id, null, false],
      [two?.id, one?.id, false],
      [three.id, one?.id, false],
      [four.id, null, true],
    ]);
    expect(await contents(client.tree(id, { order: "desc", limit: 2 }))).toEqual(["4", "3"]);
  });
});

describe("lists", () => {
  test("a history is read page by page, up to its limit", async ({ client, conversation }) => {
    const texts = Array.from({ length: 7 }, (_, number) => String(number));
    await client.addMessages(conversation.id, { messages: texts.map(user) });
    const history = client.getChatHistory(conversation.id, {}, { pageSize: 3 });
    const read: unknown[] = [];
    for await (const message of history) read.push(message.content);
    expect(read).toEqual(texts);
    const sizes: number[] = [];
    for await (const page of client.getChatHistory(conversation.id, { limit: 5 }, { pageSize: 3 }).pages()) {
      sizes.push(page.items.length);
    }
    expect(sizes).toEqual([3, 2]);
    const newest = await client.getChatHistory(conversation.id, { order: "desc", limit: 2, before: 7 }).all();
    expect(newest.map(({ position }) => position)).toEqual([6, 5]);
    expect((await client.getChatHistory(conversation.id, { last: 1 }).all())[0]?.position).toBe(7);
  });

  test("a page says where the next one begins", async ({ client, conversation }) => {
    await client.addMessages(conversation.id, { messages: [user("a"), user("b"), user("c")] });
    const history = client.getChatHistory(conversation.id, {}, { pageSize: 2 });
    const first = await history.page();
    expect(first).toMatchObject({ version: '"2"', next: expect.stringMatching(/^\/conversations\//) as string });
    const second = await history.page(first.next);
    expect(second.items.map(({ content }) => content)).toEqual(["c"]);
    expect(second.next).toBeUndefined();
    await expect(history.page("http://example.com/")).rejects.toThrow(TypeError);
  });

  test("a history that has not changed is not sent", async ({ client, conversation, proxy, behind }) => {
    await client.addMessages(conversation.id, { messages: [user("a"), user("b"), user("c")] });
    const current = await client.getChatHistory(conversation.id).page();
    const same = client.getChatHistory(conversation.id, {}, { ifNoneMatch: current.version });
    expect((await failure(same.all())).code).toBe("not_modified");
    // The condition is about the first page: the others are sent.
    const changed = behind().getChatHistory(conversation.id, {}, { ifNoneMatch: '"1"', pageSize: 1 });
    expect(await changed.all()).toHaveLength(3);
    expect(proxy.seen.map(({ headers }) => headers["if-none-match"])).toEqual(['"1"', undefined, undefined]);
  });

  test("no more is asked for than the limit", async ({ conversation, proxy, behind }) => {
    for (const [limit, pageSize] of [
      [5, undefined],
      [5, 3],
      [5000, undefined],
      [undefined, undefined],
    ]) {
      await behind().getChatHistory(conversation.id, { limit }, { pageSize }).all();
    }
    const asked = proxy.seen.map(({ path }) => /limit=(\d+)$/.exec(path)?.[1]);
    expect(asked).toEqual(["5", "3", "1000", undefined]);
  });

  test("a user's conversations are filtered", async ({ client }) => {
    const owner = someone();
    const made = [];
    for (const title of ["Rain in Oslo", "Snow", "More rain"]) {
      made.push(
        await client.getOrCreateConversation({ user_id: owner, new: true, title, metadata: { n: made.length } }),
      );
    }
    const [rain, snow, more] = made.map(({ id }) => id) as [string, string, string];
    await client.updateConversation(snow, { archived: true });
    await client.updateConversation(more, { pinned: true });
    await client.addMessage(rain, user("Hello"));
    const ids = async (fields: Parameters<typeof client.getUserConversations>[1]) =>
      (await client.getUserConversations(owner, fields).all()).map(({ id }) => id);
    expect(await ids({})).toEqual([rain, more, snow]);
    expect(await ids({ title: "RAIN" })).toEqual([rain, more]);
    expect(await ids({ archived: true })).toEqual([snow]);
    expect(await ids({ archived: false, pinned: false })).toEqual([rain]);
    expect(await ids({ metadata: { n: 1 } })).toEqual([snow]);
    expect(await ids({ ids: [more, snow] })).toEqual([more, snow]);
    expect(await ids({ limit: 1, order: "activity" })).toEqual([rain]);
    const [listed] = await client.getUserConversations(owner, { include: "last_message", limit: 1 }).all();
    expect(listed?.last_message?.content).toBe("Hello");
  });

  test("messages are searched", async ({ client }) => {
    const owner = someone();
    const { id } = await client.getOrCreateConversation({ user_id: owner, title: "Oslo" });
    await client.addMessages(id, { messages: [user("umbrella & rain"), user("umbrella and snow")] });
    const hits = await client.searchMessages(owner, { q: "umbrella -snow", limit: 5 }, { pageSize: 1 }).all();
    expect(hits).toMatchObject([{ snippet: "**umbrella** & rain", highlights: [[2, 10]], title: "Oslo" }]);
  });
});

describe("a turn", () => {
  test("it begins with what the user said, and has the context", async ({ client }) => {
    const [owner, id] = [someone(), newId()];
    const turn = await client.turn(id, {
      messages: [{ role: "system", content: "Be brief." }, user("Rain?")],
      reply_id: true,
      conversation: { user_id: owner, title: "Rain", metadata: { a: 1 }, expires_in: 3600 },
      context: { format: "anthropic", max_tokens: 8000 },
    });
    expectTypeOf(turn.context.messages).toEqualTypeOf<AnthropicMessage[]>();
    expect(turn.context.system).toEqual([{ type: "text", text: "Be brief." }]);
    expect(turn.conversation).toMatchObject({
      id,
      user_id: owner,
      title: "Rain",
      metadata: { a: 1 },
      message_count: 3,
    });
    expect(turn.messages.map(({ position, role }) => [position, role])).toEqual([
      [1, "system"],
      [2, "user"],
    ]);
    expect(turn.reply).toMatchObject({ position: 3, role: "assistant", content: "", status: "in_progress" });
    expect(turn).toMatchObject({ replayed: false, version: (await client.getConversation(id)).version });
    // A whole answer is one request.
    const ended = await client.updateMessage(id, turn.reply?.id ?? "", { content: "Yes.", status: "complete" });
    expect(ended).toMatchObject({ content: "Yes.", status: "complete" });

    const mine = newId();
    for (const replayed of [false, true]) {
      const again = await client.turn(id, { ...user("And now?"), id: mine });
      expectTypeOf(again.context.messages).toEqualTypeOf<Message[]>();
      expect(again).toMatchObject({ replayed, context: { omitted: 0, tokens: expect.any(Number) as number } });
      expect(again.context.messages.map(({ content }) => content)).toEqual(["Be brief.", "Rain?", "Yes.", "And now?"]);
      expect([again.reply, again.conversation]).toEqual([undefined, undefined]);
    }
    const late = client.turn(id, { ...user("Still?"), from: 4 }, { ifMatch: turn.version });
    expect((await failure(late)).code).toBe("precondition_failed");
    const instead = await client.turn(id, { ...user("Still?"), from: 4 });
    expect(instead.context.messages.map(({ content }) => content)).toEqual(["Be brief.", "Rain?", "Yes.", "Still?"]);
    expect((await failure(client.turn(newId(), user("Hm?")))).code).toBe("not_found");
    const theirs = client.turn(id, { ...user("Hm?"), conversation: { user_id: someone() } });
    expect((await failure(theirs)).code).toBe("conflict");
  });
});

describe("context", () => {
  test("each format has its shape", async ({ client, conversation }) => {
    const { id } = conversation;
    await client.addMessages(id, {
      messages: [
        { role: "system", content: "Be brief." },
        user("Rain?"),
        { role: "assistant", tool_calls: [CALL] },
        { role: "tool", content: "rain", tool_call_id: "call_1" },
      ],
    });
    const plain = await client.getContext(id, { max_messages: 50 });
    expectTypeOf(plain.messages).toEqualTypeOf<Message[]>();
    expect(plain.messages).toHaveLength(4);
    expect(plain).toMatchObject({ omitted: 0, open_calls: [], version: '"2"' });
    const openai = await client.getContext(id, { format: "openai", max_tokens: 1000, unanswered: "drop" });
    expect(openai.messages[1]).toEqual({ role: "user", content: "Rain?" });
    const anthropic = await client.getContext(id, { format: "anthropic", tool_results: 0 });
    expectTypeOf(anthropic.messages).toEqualTypeOf<AnthropicMessage[]>();
    expect(anthropic.system).toEqual([{ type: "text", text: "Be brief." }]);
    const responses = await client.getContext(id, { format: "responses", max_chars: 1000, step: 100 });
    expect(responses.instructions).toBe("Be brief.");
    expect(responses.input).toHaveLength(3);
    const gemini = await client.getContext(id, { format: "gemini" });
    expectTypeOf(gemini.contents).toEqualTypeOf<GeminiContent[]>();
    expect(gemini.systemInstruction).toEqual({ parts: [{ text: "Be brief." }] });
    expect(gemini.contents.map(({ role }) => role)).toEqual(["user", "model", "user"]);
    const converse = await client.getContext(id, { format: "converse" });
    expectTypeOf(converse.messages).toEqualTypeOf<ConverseMessage[]>();
    expect(converse.system).toEqual([{ text: "Be brief." }]);
    const same = client.getContext(id, {}, { ifNoneMatch: plain.version });
    expect((await failure(same)).code).toBe("not_modified");
  });
});

describe("users", () => {
  test("a history is exported, erased and imported, byte for byte", async ({ client }) => {
    const owner = someone();
    const { id } = await client.getOrCreateConversation({ user_id: owner });
    await client.addMessages(id, { messages: [user("Hello\n🌧"), user("Bye")] });
    const lines = await client.exportUser(owner).all();
    expect(lines).toHaveLength(3);
    expect(await client.eraseUser(owner)).toEqual({ conversations: 1, messages: 2 });
    expect(await client.exportUser(owner).all()).toEqual([]);
    expect(await client.importUser(owner, lines)).toEqual({ conversations: 1, messages: 2, skipped: 0, expired: 0 });
    expect(await client.exportUser(owner).all()).toEqual(lines);
    // From another client's pages, and as lines without line breaks.
    expect(await client.importUser(owner, client.exportUser(owner))).toMatchObject({ skipped: 3 });
    expect(await client.importUser(owner, lines.join("\n").split("\n"))).toMatchObject({ skipped: 3 });
  });

  test("a large import takes several requests, and an error has the number of the line in all of them", async ({
    client,
    proxy,
    behind,
  }) => {
    const owner = someone();
    const { id } = await client.getOrCreateConversation({ user_id: owner });
    for (let number = 0; number < 9; number++) await client.addMessage(id, user("ä".repeat(500_000)));
    const lines = await client.exportUser(owner).all();
    expect(lines).toHaveLength(10);
    await client.eraseUser(owner);
    expect(await behind().importUser(owner, lines)).toEqual({ conversations: 1, messages: 9, skipped: 0, expired: 0 });
    expect(proxy.seen.length).toBe(3);
    const broken = behind().importUser(owner, ["", ...lines, "{}\n"]);
    expect((await failure(broken)).param).toMatch(/^line 12/);
    await expect(client.importUser(owner, lines.join(""))).rejects.toThrow(TypeError);
  });

  test("a guest's conversations become an account's", async ({ client }) => {
    const [guest, account] = [someone(), someone()];
    const { id } = await client.getOrCreateConversation({ user_id: guest });
    expect(await client.transferUser(guest, { to: account })).toEqual({ conversations: 1 });
    expect((await client.getConversation(id)).user_id).toBe(account);
  });

  test("a user who is too large for one request takes several, and the counts are added up", async ({
    client,
    proxy,
    behind,
  }) => {
    const owner = someone();
    await client.getOrCreateConversation({ user_id: owner });
    proxy.faults = [
      { status: 202, body: '{"conversations":2,"messages":30}' },
      { status: 202, body: '{"conversations":4,"messages":50}' },
    ];
    expect(await behind().eraseUser(owner)).toEqual({ conversations: 7, messages: 80 });
    proxy.faults = [{ status: 202, body: '{"conversations":2}' }];
    expect(await behind().transferUser(owner, { to: someone() })).toEqual({ conversations: 2 });
  });

  test("a user's id may have any characters, but not those that a URL loses", async ({ client }) => {
    const owner = `${someone()}/ä?#%2e🌧`;
    const { id } = await client.getOrCreateConversation({ user_id: owner });
    expect((await client.getUserConversations(owner).all()).map((found) => found.id)).toEqual([id]);
    for (const lost of ["", ".", ".."]) expect(() => client.getUserConversations(lost)).toThrow(TypeError);
    expect(() => new ScrollbackClient("http://user:secret@localhost")).toThrow(/no user name/);
  });
});

async function contents(history: { all: () => Promise<Message[]> }): Promise<unknown[]> {
  return (await history.all()).map(({ content }) => content);
}

function user(content: string): NewMessage & { content: string } {
  return { role: "user", content };
}
