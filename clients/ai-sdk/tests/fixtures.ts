/** What the tests share. */
import { ScrollbackClient, type Message } from "@scrollback/client";
import { inject, test as plain } from "vitest";
import { chatStore, type ChatStore } from "../src/index.js";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the API is. */
    server: string;
  }
}

interface Fixtures {
  client: ScrollbackClient;
  store: ChatStore;
  /** The id of a new conversation. */
  id: string;
  /** What is stored in it. */
  rows: () => Promise<Message[]>;
}

export const test = plain.extend<Fixtures>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of the fixtures from the pattern.
  client: async ({}, use) => {
    await use(new ScrollbackClient(inject("server")));
  },
  store: async ({ client }, use) => {
    await use(chatStore(client));
  },
  id: async ({ client }, use) => {
    await use((await client.getOrCreateConversation({ user_id: "ada", new: true })).id);
  },
  rows: async ({ client, id }, use) => {
    await use(() => client.getChatHistory(id).all());
  },
});

/** The release of the SDK that the tests run with. */
export const release = process.env["AI_SDK"] === "7" ? 7 : 6;
