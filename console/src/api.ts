/** The API, and what is read from it. */
import { isProblem, ScrollbackClient, type ContextFields, type ContextFormat, type Message } from "@scrollback/client";
import { QueryClient, useInfiniteQuery, useQueries, useQuery } from "@tanstack/react-query";
import { useCallback } from "react";
import { outline } from "./outline.js";
import { token } from "./settings.js";
import { accessToken, configuration } from "./signin.js";

const bearer = token();
const config = configuration;

// A deployed page and its API have different origins.
export const api = new ScrollbackClient(config?.api ?? location.origin, {
  ...(config === undefined ? {} : { token: async () => (await accessToken(config)) ?? "" }),
  ...(bearer === undefined ? {} : { token: bearer }),
  retry: { attempts: 3, deadline: 10_000 },
});

export const queries = new QueryClient({
  // The client has retries of its own.
  defaultOptions: { queries: { retry: false, staleTime: 1000 } },
});

export const FILTERS = { active: "Active", pinned: "Pinned", archived: "Archived", all: "All" } as const;
export type Filter = keyof typeof FILTERS;

const FIELDS = {
  active: { archived: false },
  pinned: { pinned: true },
  archived: { archived: true },
  all: {},
} as const;

export function useConversations(user: string, filter: Filter, title: string) {
  return useInfiniteQuery({
    queryKey: ["conversations", user, filter, title],
    queryFn: ({ pageParam, signal }) => {
      const fields = { ...FIELDS[filter], order: "activity", ...(title === "" ? {} : { title }) } as const;
      return api.getUserConversations(user, fields, { pageSize: 50, signal }).page(pageParam);
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next,
  });
}

export function useSearch(user: string, q: string) {
  return useQuery({
    queryKey: ["search", user, q],
    queryFn: ({ signal }) => api.searchMessages(user, { q, limit: 30 }, { pageSize: 30, signal }).all(),
    enabled: q !== "",
  });
}

/** A conversation. It is asked for again every two seconds, and an answer without news is a 304. */
export function useConversation(id: string) {
  return useQuery({
    queryKey: ["conversation", id],
    queryFn: async ({ signal, queryKey, client }) => {
      const known = client.getQueryData<Awaited<ReturnType<typeof api.getConversation>>>(queryKey);
      try {
        return await api.getConversation(id, { signal, ifNoneMatch: known?.version });
      } catch (error) {
        if (known !== undefined && isProblem(error, "not_modified")) return known;
        throw error;
      }
    },
    refetchInterval: ({ state }) => (state.status === "error" ? false : 2000),
  });
}

/** How many positions a request for messages covers. */
export const CHUNK = 50;

/** The position of the newest message, which is the number of rows. */
export function useLastPosition(id: string) {
  return useQuery({
    queryKey: ["messages", id, "last"],
    queryFn: async ({ signal }) => {
      const page = await api.getChatHistory(id, { last: 1 }, { signal }).page();
      return page.items[0]?.position ?? 0;
    },
  });
}

/** The loaded messages by position, and the chunks that are there. Only what is on screen is requested. */
export function useMessages(id: string, chunks: number[]) {
  // The same function gives the same maps, as long as the answers are the same.
  const combine = useCallback(
    (results: { data: Message[] | undefined; error: Error | null }[]) => {
      const messages = new Map<number, Message>();
      const loaded = new Set<number>();
      results.forEach(({ data }, index) => {
        if (data === undefined) return;
        loaded.add(chunks[index] ?? -1);
        for (const message of data) messages.set(message.position, message);
      });
      return { messages, loaded, error: results.find(({ error }) => error !== null)?.error ?? null };
    },
    [chunks],
  );
  return useQueries({
    queries: chunks.map((chunk) => ({
      queryKey: ["messages", id, chunk],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        api
          .getChatHistory(
            id,
            { after: chunk * CHUNK, before: (chunk + 1) * CHUNK + 1, include: "versions" },
            { signal },
          )
          .all(),
      staleTime: 60_000,
    })),
    combine,
  });
}

export function useMessage(conversation: string, message: string | undefined) {
  return useQuery({
    queryKey: ["messages", conversation, "one", message],
    queryFn: ({ signal }) => api.getMessage(conversation, message ?? "", {}, { signal }),
    enabled: message !== undefined,
    staleTime: Infinity,
  });
}

/** The outline of a conversation with versions. It needs every message. */
export function useOutline(id: string) {
  return useQuery({
    queryKey: ["messages", id, "outline"],
    queryFn: async ({ signal }) => outline(await api.tree(id, {}, { signal }).all()),
  });
}

export function useContextOf<Format extends ContextFormat>(
  id: string,
  fields: ContextFields & { format: Format },
  enabled = true,
) {
  return useQuery({
    queryKey: ["context", id, fields],
    queryFn: ({ signal }) => api.getContext(id, fields, { signal }),
    enabled,
    placeholderData: (before) => before,
  });
}

/** Something was written, or somebody else has written: what is on screen is read again. */
export async function refresh(conversation?: string): Promise<void> {
  const keys = [["conversations"], ["search"]];
  if (conversation !== undefined)
    for (const of of ["conversation", "messages", "context"]) keys.push([of, conversation]);
  await Promise.all(keys.map((queryKey) => queries.invalidateQueries({ queryKey })));
}

/** What went wrong, for the reader. */
export function reason(error: unknown): string {
  if (isProblem(error, "precondition_failed"))
    return "Somebody has written here in between. Look at it again, and then repeat it.";
  if (isProblem(error, "no_response")) return "The API does not answer.";
  if (isProblem(error)) return error.param === undefined ? error.detail : `${error.param}: ${error.detail}`;
  return error instanceof Error ? error.message : String(error);
}
