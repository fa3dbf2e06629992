/** What the tests share. */
import { inject, test as plain, expect } from "vitest";
import { newId, ScrollbackClient, ScrollbackError, type ClientOptions, type Conversation } from "../src/index.js";
import { Proxy } from "./proxy.js";

interface Fixtures {
  server: string;
  client: ScrollbackClient;
  conversation: Conversation;
  /** A proxy to the server, its address, and clients behind it. */
  proxy: Proxy & { url: string };
  behind: (options?: ClientOptions) => ScrollbackClient;
}

export const test = plain.extend<Fixtures>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of the fixtures from the pattern.
  server: async ({}, use) => {
    await use(inject("server"));
  },
  client: async ({ server }, use) => {
    await use(new ScrollbackClient(server));
  },
  conversation: async ({ client }, use) => {
    await use(await client.getOrCreateConversation({ user_id: "ada", new: true }));
  },
  proxy: async ({ server }, use) => {
    const proxy = new Proxy(server);
    const url = await proxy.start();
    await use(Object.assign(proxy, { url }));
    await proxy.stop();
  },
  behind: async ({ proxy }, use) => {
    await use((options) => new ScrollbackClient(proxy.url, { retry: { base: 10 }, ...options }));
  },
});

/** The error that a call ends with. */
export async function failure(call: Promise<unknown>): Promise<ScrollbackError> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ScrollbackError);
  return error as ScrollbackError;
}

/** A user whom no other test uses. */
export function someone(): string {
  return `user-${newId()}`;
}
