/** Replies that are stored while they are written, and their readers. */
import { readFileSync } from "node:fs";
import { expect, vi } from "vitest";
import { newId } from "../src/index.js";
import { failure, someone, test } from "./fixtures.js";
import type { Fault } from "./proxy.js";

test("a reply grows while it is written, and ends complete", async ({ client, conversation }) => {
  const reply = await client.streamReply(
    conversation.id,
    { name: "oslo", metadata: { model: "m" } },
    { flushMilliseconds: 20 },
  );
  expect(reply.message).toMatchObject({ role: "assistant", status: "in_progress", content: "", name: "oslo" });
  reply.write("It is ");
  // The text is stored although nothing more is written.
  await vi.waitUntil(async () => (await client.getMessage(conversation.id, reply.id)).content === "It is ");
  reply.write("raining");
  expect((await reply.flush()).content).toBe("It is raining");
  reply.write(".");
  const ended = await reply.end({ token_count: 4, metadata: { finish: "stop" } });
  expect(ended).toMatchObject({
    content: "It is raining.",
    status: "complete",
    token_count: 4,
    metadata: { model: "m", finish: "stop" },
  });
  expect(reply.text).toBe("It is raining.");
  expect(() => {
    reply.write("!");
  }).toThrow("the reply has ended");
});

test("much text is stored at once, and little text waits", async ({ conversation, proxy, behind }) => {
  const options = { flushMilliseconds: 60_000, flushCharacters: 10 };
  const reply = await behind().streamReply(conversation.id, {}, options);
  reply.write("123456789");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(proxy.seen).toHaveLength(1);
  reply.write("0");
  await vi.waitUntil(() => reply.message.content === "1234567890");
  await reply.end();
  expect(proxy.seen).toHaveLength(3);
});

test("pieces may divide characters, and the API counts code points", async ({ client, conversation }) => {
  const reply = await client.streamReply(conversation.id, {}, { flushCharacters: 1 });
  const text = "🌧".repeat(3);
  for (const unit of text.split("")) {
    reply.write(unit);
    await reply.flush();
  }
  reply.write("\uD83C");
  expect((await reply.end()).content).toBe(`${text}\uFFFD`);
});

const FAULTS: Fault[] = ["lose the request", "lose the answer", { status: 503 }, { status: 500, afterwards: true }];

test.for(FAULTS.map((fault) => ({ name: JSON.stringify(fault), fault })))(
  "no text is lost or stored twice: $name",
  async ({ fault }, { client, conversation, proxy, behind }) => {
    const reply = await behind().streamReply(conversation.id, {}, { flushMilliseconds: 5, flushCharacters: 20 });
    let written = "";
    for (let number = 0; number < 60; number++) {
      if (number % 3 === 0) proxy.faults.push(fault, undefined);
      const piece = `🌧 ${String(number)} `;
      written += piece;
      reply.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    proxy.faults = [fault];
    expect(await reply.end()).toMatchObject({ content: written, status: "complete" });
    expect((await client.getMessage(conversation.id, reply.id)).content).toBe(written);
  },
);

test.for(FAULTS.map((fault) => ({ name: JSON.stringify(fault), fault })))(
  "a reply is written where its turn has the place: $name",
  async ({ fault }, { client, conversation, proxy, behind }) => {
    const turn = await client.turn(conversation.id, { role: "user", content: "Hello", reply_id: true });
    proxy.faults = [fault, undefined, fault];
    const reply = await behind().streamReply(turn, {}, { flushMilliseconds: 5, flushCharacters: 4 });
    expect(await reply.pipe(["one ", "two ", "three"])).toMatchObject({ id: turn.reply?.id, content: "one two three" });
    expect(new Set(proxy.seen.map(({ method }) => method)).has("POST")).toBe(false);
    expect(JSON.parse(proxy.seen[0]?.body ?? "")).toMatchObject({ at: 0, append: "one " });
    expect(await client.getChatHistory(conversation.id).all()).toHaveLength(2);
  },
);

test("a turn that is begun again goes on with the same text", async ({ client, conversation, proxy, behind }) => {
  const fields = { role: "user", content: "Hello", id: newId(), reply_id: newId() } as const;
  const options = { flushMilliseconds: 60_000, heartbeatMilliseconds: 20 };
  const first = await client.streamReply(await client.turn(conversation.id, fields), {}, options);
  first.write("one two ");
  await first.stop();
  const turn = await client.turn(conversation.id, fields);
  expect(turn).toMatchObject({ replayed: true, reply: { content: "one two ", status: "in_progress" } });
  // Another text is not mixed with the first one.
  for (const text of ["une deux trois", "one two"]) {
    const other = await client.streamReply(turn, {}, options);
    expect((await failure(other.pipe([text]))).code).toBe("conflict");
  }
  const reply = await behind().streamReply(turn, {}, options);
  for (const piece of ["one", " two th", "ree"]) {
    reply.write(piece);
    await reply.flush();
    // Signs of life are taken, although the stored text is ahead.
    const sent = proxy.seen.length;
    await vi.waitUntil(() => proxy.seen.length > sent + 6, { timeout: 20_000 });
  }
  expect(await reply.end()).toMatchObject({ content: "one two three", status: "complete" });
});

test("a turn without a place for the reply is refused", async ({ client, conversation }) => {
  const turn = await client.turn(conversation.id, { role: "user", content: "Hello" });
  await expect(client.streamReply(turn)).rejects.toThrow("reply_id: true");
  const other = await client.turn(conversation.id, { role: "user", content: "Hello", reply_id: true });
  await expect(client.streamReply(other, { name: "oslo" })).rejects.toThrow("stored already");
});

test("a turn takes as many requests as the README says", async ({ proxy, behind }) => {
  const readme = readFileSync("README.md", "utf8");
  const told = (row: string) =>
    [...readme.matchAll(/^\| ([^|]+) \| (\d+) \| (\d+) \|/gm)].filter(([, name]) => name === row);
  const counted = async (work: () => Promise<unknown>) => {
    proxy.seen.length = 0;
    await work();
    return String(proxy.seen.length);
  };
  const [client, owner] = [behind(), someone()];
  const begin = async () => {
    const { id } = await client.getOrCreateConversation({ user_id: owner, new: true });
    await client.addMessage(id, { role: "user", content: "Hello" });
    return id;
  };
  const turn = (reply_id?: true) =>
    client.turn(newId(), { role: "user", content: "Hello", conversation: { user_id: owner }, reply_id });

  const whole = told("A new conversation, with a whole answer");
  const before = await counted(async () => {
    const id = await begin();
    await client.getContext(id);
    await client.addMessage(id, { role: "assistant", content: "Hi" });
  });
  const now = await counted(async () => {
    const { conversation } = await turn();
    await client.addMessage(conversation?.id ?? "", { role: "assistant", content: "Hi" });
  });
  expect(whole.map((row) => row.slice(2))).toEqual([[before, now]]);
  expect([before, now]).toEqual(["4", "2"]);

  const streamed = told("A new conversation, with `streamReply`");
  const early = await counted(async () => {
    const id = await begin();
    const reply = await client.streamReply(id);
    await client.getContext(id);
    await reply.pipe(["Hi"]);
  });
  const late = await counted(async () => (await client.streamReply(await turn(true))).pipe(["Hi"]));
  expect(streamed.map((row) => row.slice(2))).toEqual([[early, late]]);
  expect([early, late]).toEqual(["5", "2"]);
});

test("a piece is sent again with the next one, and the end makes up for an outage", async ({
  conversation,
  proxy,
  behind,
}) => {
  const reply = await behind().streamReply(conversation.id, {}, { flushMilliseconds: 1, flushCharacters: 1 });
  proxy.faults = Array<Fault>(4).fill({ status: 503 });
  for (const piece of ["a", "b", "c"]) reply.write(piece);
  await vi.waitUntil(() => proxy.faults.length === 0);
  expect((await reply.end()).content).toBe("abc");
});

test("another writer's text ends the reply", async ({ client, conversation }) => {
  const reply = await client.streamReply(conversation.id, {}, { flushMilliseconds: 60_000 });
  reply.write("one");
  await reply.flush();
  await client.updateMessage(conversation.id, reply.id, { append: "!", at: 3 });
  reply.write("two");
  expect(await failure(reply.flush())).toMatchObject({ code: "conflict", length: 4 });
  expect((await failure(reply.end())).code).toBe("conflict");
});

test("a silent reply says that it is alive, and learns that it was stopped", async ({
  client,
  conversation,
  proxy,
  behind,
}) => {
  const options = { flushMilliseconds: 10, heartbeatMilliseconds: 30 };
  const reply = await behind().streamReply(conversation.id, {}, options);
  // Before the first word, and behind a text.
  for (const text of ["", "🌧 one"]) {
    if (text !== "") reply.write(text);
    const sent = proxy.seen.length;
    await vi.waitUntil(() => proxy.seen.length > sent + 4, { timeout: 20_000 });
    expect(await client.getMessage(conversation.id, reply.id)).toMatchObject({ content: text, status: "in_progress" });
  }
  await client.cancelReply(conversation.id, reply.id);
  await vi.waitUntil(() => reply.signal.aborted, { timeout: 20_000 });
  expect(await failure(reply.end())).toMatchObject({ code: "cancelled" });
  const sent = proxy.seen.length;
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(proxy.seen).toHaveLength(sent);
});

test("a reader stops the reply, and the writer's signal is aborted", async ({
  client,
  conversation,
  proxy,
  behind,
}) => {
  const reply = await behind().streamReply(conversation.id, {}, { flushMilliseconds: 60_000 });
  reply.write("one");
  await reply.flush();
  for (let twice = 0; twice < 2; twice++) {
    expect(await client.cancelReply(conversation.id, reply.id)).toMatchObject({ content: "one", status: "cancelled" });
  }
  expect(reply.signal.aborted).toBe(false);
  reply.write("two");
  const error = await failure(reply.flush());
  expect(error).toMatchObject({ code: "cancelled", status: 409 });
  expect(reply.signal.reason).toBe(error);
  expect(await failure(reply.end())).toBe(error);
  await reply.stop();
  // The beginning, the piece that was stored, and the one that was refused.
  expect(proxy.seen).toHaveLength(3);

  const piped = await client.streamReply(conversation.id, {}, { flushCharacters: 1 });
  const endless = async function* () {
    for (;;) {
      yield "more ";
      await new Promise((resolve) => setTimeout(resolve, 5));
      await client.cancelReply(conversation.id, piped.id);
    }
  };
  expect((await failure(piped.pipe(endless()))).code).toBe("cancelled");
  const complete = await client.addMessage(conversation.id, { role: "user", content: "Rain?" });
  expect(await failure(client.cancelReply(conversation.id, complete.id))).toMatchObject({
    code: "conflict",
    param: "status",
  });
});

test("what fails in the background is thrown by the end, and nothing more is sent", async ({
  client,
  conversation,
  proxy,
  behind,
}) => {
  const reply = await behind().streamReply(conversation.id, {}, { flushCharacters: 1 });
  await client.deleteMessage(conversation.id, reply.id);
  reply.write("one");
  await vi.waitUntil(() => proxy.seen.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  reply.write("two");
  expect((await failure(reply.flush())).code).toBe("not_found");
  expect((await failure(reply.end())).code).toBe("not_found");
  expect(proxy.seen).toHaveLength(2);
  await reply.stop();
});

test("a reply that fails is stored as far as it was written", async ({ client, conversation }) => {
  const broken = new Error("the model is gone");
  const pieces = async function* () {
    yield "It is ";
    await Promise.resolve();
    throw broken;
  };
  const reply = await client.streamReply(conversation.id);
  await expect(reply.pipe(pieces())).rejects.toBe(broken);
  expect(await client.getMessage(conversation.id, reply.id)).toMatchObject({
    content: "It is ",
    status: "in_progress",
  });
});

test("calls at the same time are done one after the other", async ({ client, conversation }) => {
  const reply = await client.streamReply(conversation.id, {}, { flushCharacters: 1 });
  const calls = ["a", "b", "c", "d"].map((piece) => {
    reply.write(piece);
    return reply.flush();
  });
  await Promise.all(calls);
  expect((await reply.end()).content).toBe("abcd");
});

test("a reply is begun once and replaces another", async ({ client, conversation, proxy, behind }) => {
  await client.addMessage(conversation.id, { role: "user", content: "Rain?" });
  const old = await client.addMessage(conversation.id, { role: "assistant", content: "No." });
  proxy.faults = ["lose the answer"];
  const id = newId();
  const reply = await behind().streamReply(conversation.id, { id, from: 2 }, { ifMatch: old.version });
  await reply.pipe(["Y", "es."], { token_count: 2 });
  const history = await client.getChatHistory(conversation.id).all();
  expect(history.map((message) => message.content)).toEqual(["Rain?", "Yes."]);
  expect(history[1]?.id).toBe(id);
  const late = client.streamReply(conversation.id, {}, { ifMatch: old.version });
  expect((await failure(late)).code).toBe("precondition_failed");
});

test("a reader follows a reply from where it is, to its end", async ({ client, conversation }) => {
  const reply = await client.streamReply(conversation.id, {}, { flushCharacters: 1 });
  reply.write("🌧 It is ");
  await reply.flush();
  const read: string[] = [];
  const reader = client.followReply(conversation.id, reply.id, { skip: 2 }, { interval: 10 });
  const reading = (async () => {
    for (;;) {
      const next = await reader.next();
      if (next.done === true) return next.value;
      read.push(next.value);
    }
  })();
  for (const piece of ["rain", "ing"]) {
    reply.write(piece);
    await reply.flush();
    await vi.waitUntil(() => read.join("").endsWith(piece));
  }
  await reply.end();
  expect((await reading).status).toBe("complete");
  expect(read.join("")).toBe("It is raining");
});

test("a reader of a silent reply waits in one request", async ({ client, conversation, proxy, behind }) => {
  const reply = await client.streamReply(conversation.id);
  const reader = behind({ timeout: 900 }).followReply(conversation.id, reply.id, {}, { interval: 0 });
  const next = reader.next();
  // The time of an attempt is shorter than this.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(proxy.seen.map(({ path }) => path.split("?")[1])).toEqual(["skip=0&wait=20", "skip=0&wait=20"]);
  reply.write("It is raining.");
  await reply.flush();
  expect((await next).value).toBe("It is raining.");
  await client.cancelReply(conversation.id, reply.id);
  expect((await reader.next()).value).toMatchObject({ status: "cancelled" });
  expect(proxy.seen).toHaveLength(3);
});

test("a reader can be stopped, and a reply that is missing is an error", async ({ client, conversation }) => {
  const reply = await client.streamReply(conversation.id);
  const reason = new Error("the page was left");
  const controller = new AbortController();
  const reader = client.followReply(conversation.id, reply.id, {}, { interval: 60_000, signal: controller.signal });
  const next = reader.next();
  setTimeout(() => {
    controller.abort(reason);
  }, 50);
  await expect(next).rejects.toBe(reason);
  expect((await failure(client.followReply(conversation.id, newId()).next())).code).toBe("not_found");
  expect(someone()).not.toBe(someone());
  await reply.end();
});
