/** What happens when requests or answers are lost, through a real proxy between the client and the real API. */
import { describe, expect, vi } from "vitest";
import { newId, ScrollbackClient, type NewMessage, type WriteOptions } from "../src/index.js";
import { failure, someone, test } from "./fixtures.js";
import type { Fault } from "./proxy.js";

const FAULTS: Fault[] = [
  "lose the request",
  "lose the answer",
  "cut the answer in the middle",
  ...[429, 500, 502, 503, 504].map((status) => ({ status })),
  ...[500, 502, 503, 504].map((status) => ({ status, afterwards: true })),
];

describe.each(FAULTS.map((fault) => ({ name: JSON.stringify(fault), fault })))("$name", ({ fault }) => {
  test("an append is stored once", async ({ client, conversation, proxy, behind }) => {
    proxy.faults = [fault, fault];
    const stored = await behind().addMessage(conversation.id, { role: "user", content: "Hello" });
    expect(proxy.seen).toHaveLength(3);
    // Each attempt sends the same bytes, and so the same id.
    expect(new Set(proxy.seen.map(({ body }) => body)).size).toBe(1);
    expect(proxy.seen[0]?.body).toContain(stored.id);
    proxy.faults = [fault];
    const messages: NewMessage[] = [
      { role: "assistant", content: "Hi" },
      { role: "user", content: "Bye" },
    ];
    await behind().addMessages(conversation.id, { messages });
    const history = await client.getChatHistory(conversation.id).all();
    expect(history.map(({ content }) => content)).toEqual(["Hello", "Hi", "Bye"]);
  });

  test("a turn begins once", async ({ client, proxy, behind }) => {
    const [owner, id] = [someone(), newId()];
    proxy.faults = [fault, fault];
    const fields = { role: "user", content: "Hello", reply_id: true, conversation: { user_id: owner } } as const;
    const turn = await behind().turn(id, fields);
    expect(proxy.seen).toHaveLength(3);
    expect(new Set(proxy.seen.map(({ body }) => body)).size).toBe(1);
    expect(JSON.parse(proxy.seen[0]?.body ?? "")).toMatchObject({ id: turn.messages[0]?.id, reply_id: turn.reply?.id });
    const history = await client.getChatHistory(id).all();
    expect(history.map((stored) => stored.id)).toEqual([turn.messages[0]?.id, turn.reply?.id]);
    expect(turn.context.messages.map(({ content }) => content)).toEqual(["Hello"]);
  });

  test("every other write is done once, and reads are repeated", async ({ proxy, behind, client }) => {
    const owner = someone();
    const again = behind();
    const lose = () => (proxy.faults = [fault]);
    lose();
    const { id } = await again.getOrCreateConversation({ user_id: owner, new: true });
    const messages: NewMessage[] = ["a", "b", "c", "d"].map((content) => ({ role: "user", content }));
    const stored = (await client.addMessages(id, { messages })).items;
    lose();
    await again.updateConversation(id, { metadata: { a: 1 } });
    lose();
    await again.summarizeConversation(id, { through: 1, content: "a" });
    lose();
    expect((await again.getSummary(id)).content).toBe("a");
    lose();
    const copy = await again.forkConversation(id);
    lose();
    await again.addMessage(id, { role: "user", content: "C", from: 3 });
    lose();
    await again.updateMessage(id, stored[0]?.id ?? "", { content: "A" });
    lose();
    await again.deleteMessage(id, stored[1]?.id ?? "");
    lose();
    expect((await again.getChatHistory(id).all()).map(({ content }) => content)).toEqual(["A", "C"]);
    lose();
    const lines = await again.exportUser(owner).all();
    expect((await client.getUserConversations(owner).all()).map((found) => found.id).sort()).toEqual(
      [id, copy.id].sort(),
    );
    lose();
    await again.deleteConversation(copy.id);
    lose();
    await again.transferUser(owner, { to: `${owner}-2` });
    lose();
    await again.eraseUser(`${owner}-2`);
    lose();
    await again.importUser(owner, lines);
    expect((await client.getUserConversations(owner).all()).map((found) => found.id).sort()).toEqual(
      [id, copy.id].sort(),
    );
  });
});

test("a rewind without a version is done once", async ({ conversation, proxy, behind, client }) => {
  for (const fault of ["lose the answer", "lose the request", { status: 429 }] as Fault[]) {
    await client.addMessage(conversation.id, { role: "user", content: "Hello" });
    proxy.faults = [fault];
    expect(await behind().rewindConversation(conversation.id)).toMatchObject({ deleted: 1 });
  }
});

test("every other write has a key for all its attempts", async ({ conversation, proxy, behind, client }) => {
  const { id } = conversation;
  const messages: NewMessage[] = ["a", "b"].map((content) => ({ role: "user", content }));
  const [first, second] = (await client.addMessages(id, { messages })).items.map((stored) => stored.id);
  const again = behind();
  const keys = new Set<unknown>();
  const calls = [
    (options: WriteOptions) => again.updateConversation(id, { title: "A" }, options),
    (options: WriteOptions) => again.updateMessage(id, first ?? "", { content: "A" }, options),
    (options: WriteOptions) => again.summarizeConversation(id, { through: 1, content: "A" }, options),
    (options: WriteOptions) => again.deleteSummary(id, options),
    (options: WriteOptions) => again.selectLine(id, { message_id: first ?? "" }, options),
    (options: WriteOptions) => again.deleteMessage(id, second ?? "", options),
    (options: WriteOptions) => again.rewindConversation(id, {}, options),
    (options: WriteOptions) => again.deleteConversation(id, options),
  ];
  for (const call of calls) {
    const { version } = await client.getConversation(id);
    proxy.faults = ["lose the answer"];
    proxy.seen.length = 0;
    // A retry is no 412 for the success of the attempt before it.
    await call({ ifMatch: version });
    const sent = proxy.seen.map(({ headers }) => headers["idempotency-key"]);
    expect(sent).toEqual([sent[0], sent[0]]);
    keys.add(sent[0]);
  }
  expect(keys).not.toContain(undefined);
  expect(keys.size).toBe(calls.length);
});

test("a refusal is not repeated", async ({ proxy, behind }) => {
  const error = await failure(behind().getConversation(newId()));
  expect(error).toMatchObject({ code: "not_found", status: 404, maybeDone: false });
  expect(error.requestId).toBeTruthy();
  expect(proxy.seen).toHaveLength(1);
});

test("the attempts and the time have an end", async ({ proxy, behind }) => {
  proxy.faults = Array<Fault>(20).fill({ status: 503 });
  const error = await failure(behind().eraseUser(someone()));
  expect(error).toMatchObject({ code: "server_error", status: 503, detail: "out of order", maybeDone: true });
  expect(proxy.seen).toHaveLength(6);
  const began = performance.now();
  await failure(behind({ retry: { attempts: 1000, base: 50, deadline: 300 } }).getConversation(newId()));
  expect(performance.now() - began).toBeLessThan(1000);
});

test("Retry-After is honoured, as seconds and as a date, up to the deadline", async ({
  conversation,
  proxy,
  behind,
}) => {
  // A date has whole seconds, so this one is more than a second away.
  for (const value of [() => "1", () => new Date(Date.now() + 2000).toUTCString()]) {
    proxy.faults = [{ status: 429, headers: { "retry-after": value() } }];
    const began = performance.now();
    await behind().getConversation(conversation.id);
    expect(performance.now() - began).toBeGreaterThan(900);
  }
  proxy.faults = [{ status: 429, headers: { "retry-after": "3600" } }];
  const error = await failure(behind().getConversation(conversation.id));
  expect(error).toMatchObject({ code: "too_many_requests", status: 429 });
});

test("an attempt has a time limit, and so has a call", async ({ conversation, proxy, behind }) => {
  const silence: Fault = "never answer, though the server does";
  proxy.faults = [silence];
  await behind({ timeout: 200 }).addMessage(conversation.id, { role: "user", content: "Hello" });
  expect(proxy.seen).toHaveLength(2);
  proxy.faults = [silence, silence];
  const call = behind({ retry: { attempts: 2, base: 1 } }).getConversation(conversation.id, { timeout: 100 });
  expect(await failure(call)).toMatchObject({ code: "no_response", maybeDone: false });
});

test("a signal ends a call at once, with its reason", async ({ conversation, proxy, behind }) => {
  const reason = new Error("the page was left");
  const controller = new AbortController();
  proxy.faults = ["never answer, though the server does"];
  const waiting = behind().getConversation(conversation.id, { signal: controller.signal });
  await vi.waitUntil(() => proxy.seen.length === 1);
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  // Before the first attempt, and between two.
  await expect(behind().getConversation(conversation.id, { signal: controller.signal })).rejects.toBe(reason);
  expect(proxy.seen).toHaveLength(1);
  const second = new AbortController();
  proxy.faults = [{ status: 503, headers: { "retry-after": "30" } }];
  const between = behind().getConversation(conversation.id, { signal: second.signal });
  await vi.waitUntil(() => proxy.seen.length === 2);
  setTimeout(() => second.abort(reason), 50);
  await expect(between).rejects.toBe(reason);
  expect(proxy.seen).toHaveLength(2);
});

test("the token is asked for at each attempt, and never shown", async ({ conversation, proxy, behind }) => {
  const tokens = ["one", "two"];
  proxy.faults = [{ status: 503 }];
  await behind({ token: () => Promise.resolve(tokens.shift() ?? "") }).getConversation(conversation.id);
  expect(proxy.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer one", "Bearer two"]);
  await behind({ token: "three" }).getConversation(conversation.id);
  expect(proxy.seen.at(-1)?.headers.authorization).toBe("Bearer three");
  for (const token of ["secret\n", "sécret", " secret", ""]) {
    const call = behind({ token }).getConversation(conversation.id);
    await expect(call).rejects.toThrow(
      "the token must be a text of printable ASCII characters, without spaces around it",
    );
  }
  await expect(behind({ token: () => Promise.reject(new Error("signed out")) }).getConversation("x")).rejects.toThrow(
    "signed out",
  );
});

test("another fetch can be used, and its exception's text stays in it", async ({ server, conversation }) => {
  const urls: unknown[] = [];
  const client = new ScrollbackClient(server, {
    fetch: (url, init) => {
      urls.push(url);
      return fetch(url, init);
    },
  });
  await client.getConversation(conversation.id);
  expect(urls).toEqual([`${server}/conversations/${conversation.id}`]);
  const broken = new ScrollbackClient(server, {
    retry: { attempts: 2, base: 1 },
    fetch: (url) => Promise.reject(new TypeError(`no route to ${url as string}`)),
  });
  const error = await failure(broken.searchMessages("ada", { q: "secret" }).all());
  expect(error.message).toBe("no response after 2 attempts: TypeError (no_response)");
  expect(error.cause).toBeUndefined();
  const odd = Object.assign(new Error(), { name: "SecretError: what was said" });
  const another = new ScrollbackClient(server, { retry: { attempts: 1 }, fetch: () => Promise.reject(odd) });
  expect((await failure(another.getConversation("x"))).detail).toBe("no response after 1 attempt: no connection");
});

test("a request that cannot have arrived is repeated and not maybe done", async ({ proxy }) => {
  await proxy.stop();
  const client = new ScrollbackClient(proxy.url, { retry: { attempts: 2, base: 1 } });
  const error = await failure(client.rewindConversation(newId()));
  expect(error).toMatchObject({ code: "no_response", maybeDone: false });
  expect(error.detail).toBe("no response after 2 attempts: ECONNREFUSED");
});

test("what is not Scrollback's answer is said to be none, without its text", async ({ proxy, behind }) => {
  const answers: Fault[] = [
    { status: 200, body: "<html>secret</html>" },
    { status: 200, body: "[]", headers: { etag: '"1"' } },
    { status: 200, body: "{}" },
    { status: 302, headers: { location: "http://127.0.0.1:1/secret" } },
  ];
  for (const answer of answers) {
    proxy.faults = [answer];
    const error = await failure(behind().getConversation(newId()));
    expect(error.code).toBe("invalid_response");
    expect(String(error)).not.toContain("secret");
  }
  proxy.faults = [{ status: 200, body: "[]", headers: { link: '<http://127.0.0.1:1/>; rel="next"' } }];
  expect((await failure(behind().getUserConversations("ada").all())).code).toBe("invalid_response");
  proxy.faults = [{ status: 200, body: "[]" }];
  expect((await failure(behind().exportUser("ada").all())).code).toBe("invalid_response");
  proxy.faults = [{ status: 401, body: '{"message":"Unauthorized"}' }];
  expect(await failure(behind().getConversation(newId()))).toMatchObject({
    code: "unauthenticated",
    detail: "Unauthorized",
  });
  proxy.faults = [{ status: 418, body: "" }];
  expect(await failure(behind().getConversation(newId()))).toMatchObject({ code: "unknown", status: 418 });
});

test("a base URL may have a path, which a link to the next page may have, too", async ({ proxy, server }) => {
  const path = "/prod";
  const client = new ScrollbackClient(`${proxy.url}${path}/`, { retry: { attempts: 1 } });
  const found = (next: string): Fault => ({ status: 200, body: "[]", headers: { link: `<${next}>; rel="next"` } });
  proxy.faults = [found("/prod/users/ada/conversations?cursor=a"), found("/users/ada/conversations?cursor=b")];
  await client
    .getUserConversations("ada")
    .all()
    .catch(() => undefined);
  expect(proxy.seen.map((seen) => seen.path)).toEqual([
    "/prod/users/ada/conversations",
    "/prod/users/ada/conversations?cursor=a",
    "/prod/users/ada/conversations?cursor=b",
  ]);
  for (const wrong of ["ftp://127.0.0.1", "127.0.0.1:9000", "", `${server}?a=secret`]) {
    expect(() => new ScrollbackClient(wrong)).toThrow(/^(?!.*secret)the base URL must/);
  }
});
