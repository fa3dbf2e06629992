/** Every UI message comes back as it was. */
import { convertToModelMessages, validateUIMessages, type UIMessage } from "ai";
import * as fc from "fast-check";
import { expect } from "vitest";
import { release, test } from "./fixtures.js";
import { histories } from "./messages.js";

/** What the model is sent, or why the SDK refuses it. */
async function toModel(messages: UIMessage[]): Promise<unknown> {
  try {
    return await convertToModelMessages(messages);
  } catch (error) {
    return (error as Error).message;
  }
}

test("generated histories come back as they were, and the SDK takes them", async ({ client, store }) => {
  await fc.assert(
    fc.asyncProperty(histories(release), async (messages) => {
      // The SDK leaves out what it does not know.
      const valid = await validateUIMessages({ messages });
      const { id } = await client.getOrCreateConversation({ user_id: "ada", new: true });
      await store.saveChat({ id, messages });
      const loaded = await store.loadChat(id);
      expect(loaded).toStrictEqual(messages);
      expect(await validateUIMessages({ messages: loaded })).toEqual(valid);
      expect(await toModel(loaded)).toEqual(await toModel(messages));
      // Nothing is stored twice.
      const { version } = await client.getConversation(id);
      await store.saveChat({ id, messages: loaded });
      expect((await client.getConversation(id)).version).toBe(version);
    }),
    { numRuns: 100 },
  );
});

test("a history that turns into another one is stored as the other one", async ({ client, store }) => {
  await fc.assert(
    fc.asyncProperty(histories(release), histories(release), fc.nat(3), async (first, second, kept) => {
      const { id } = await client.getOrCreateConversation({ user_id: "ada", new: true });
      const begin = first.slice(0, kept);
      const ids = new Set(begin.map((message) => message.id));
      const other = [...begin, ...second.filter((message) => !ids.has(message.id))];
      await store.saveChat({ id, messages: first });
      await store.saveChat({ id, messages: other });
      // Fewer messages than are stored delete none.
      expect((await store.loadChat(id)).slice(0, other.length)).toStrictEqual(other);
    }),
    { numRuns: 50 },
  );
});
