/** What the tests share. */
import type { RemoteThreadListAdapter } from "@assistant-ui/react";
import { threadListAdapter } from "../src/index.js";
import { newId, ScrollbackClient } from "@scrollback/client";
import { inject } from "vitest";
import { test as plain } from "../../ai-sdk/tests/fixtures.js";

interface Fixtures {
  /** A new user. */
  userId: string;
  /** The user's threads. */
  adapter: RemoteThreadListAdapter;
}

export const test = plain.extend<Fixtures>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of the fixtures from the pattern.
  userId: async ({}, use) => {
    await use(`user-${newId()}`);
  },
  adapter: async ({ client, userId }, use) => {
    await use(threadListAdapter(client, { userId }));
  },
});

/** A client whose server does what it is told, and whose answers to this method are lost until the test says otherwise. */
export function lossy(method: string) {
  const network = { lost: 0, broken: true };
  const client = new ScrollbackClient(inject("server"), {
    retry: { attempts: 1 },
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      if (!network.broken || init?.method !== method) return response;
      network.lost += 1;
      throw new TypeError("fetch failed");
    },
  });
  return { client, network };
}
