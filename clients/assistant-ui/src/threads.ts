/** The list of a user's threads. */
import { useAui, type AssistantClient, type RemoteThreadListAdapter, type ThreadMessage } from "@assistant-ui/react";
import { isProblem, newId, type Conversation, type ScrollbackClient } from "@scrollback/client";
import { createAssistantStream } from "assistant-stream";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { historyAdapter, selectBranch, type HistoryOptions, type Thread } from "./history.js";

type Json = Record<string, unknown>;
type Metadata = Awaited<ReturnType<RemoteThreadListAdapter["fetch"]>>;

/** The length of a title that is made of the first message, in characters. */
const TITLE = 60;

/** Options of `threadListAdapter`. */
export interface ThreadListOptions extends HistoryOptions {
  /** The user who has the threads. */
  userId: string;
  /** How many threads a page of the list has, 1 to 1000. 100 by default. */
  pageSize?: number | undefined;
  /** Makes a thread's title. By default it is the beginning of the user's first message. */
  title?: ((messages: readonly ThreadMessage[]) => string | Promise<string>) | undefined;
}

/**
 * The threads of a user for assistant-ui's `useRemoteThreadListRuntime`, and the history of each. A thread is a conversation, and its remote id
 * is the conversation's id. Keep one adapter while the page is open.
 */
export function threadListAdapter(
  client: ScrollbackClient,
  { userId, pageSize = 100, title = beginning, readOnly }: ThreadListOptions,
): RemoteThreadListAdapter {
  // A local id names a thread of this page only: after server-side rendering, every page has the same ones. So they are not a base for ids.
  const ids = new Map<string, string>();

  return {
    list: async ({ after } = {}) => {
      const list = client.getUserConversations(userId, { order: "activity" }, { pageSize });
      const { items, next } = await list.page(after);
      return { threads: items.map(metadataOf), nextCursor: next };
    },
    fetch: async (id) => metadataOf(await client.getConversation(id)),
    initialize: async (threadId, { custom } = {}) => {
      const id = ids.get(threadId) ?? newId();
      ids.set(threadId, id);
      await client.getOrCreateConversation({ user_id: userId, id, metadata: custom });
      return { remoteId: id, externalId: undefined };
    },
    rename: async (id, newTitle) => {
      await client.updateConversation(id, { title: newTitle });
    },
    archive: async (id) => {
      await client.updateConversation(id, { archived: true });
    },
    unarchive: async (id) => {
      await client.updateConversation(id, { archived: false });
    },
    updateCustom: async (id, custom = {}) => {
      const { metadata } = await client.getConversation(id);
      await client.updateConversation(id, { metadata: mergePatch(metadata, custom) });
    },
    delete: async (id) => {
      try {
        await client.deleteConversation(id);
      } catch (error) {
        // It is gone: a retry after a lost answer.
        if (!isProblem(error, "not_found")) throw error;
      }
    },
    generateTitle: async (id, messages) => {
      const made = await title(messages);
      if (made !== "") await client.updateConversation(id, { title: made });
      return createAssistantStream((controller) => {
        if (made !== "") controller.appendText(made);
      });
    },
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- It is marked as experimental. `unstable_Provider` is what it replaces.
    unstable_useAdapters: function useHistory() {
      const thread = useThread();
      return useMemo(() => ({ history: historyAdapter(client, thread, { readOnly }) }), [thread]);
    },
  };
}

/**
 * For the option `unstable_onBranchChange` of `useChatRuntime` and `useAISDKRuntime`, inside of the `runtimeHook`: the branch that the user goes
 * to is the conversation's current line, also for a page that is loaded later and for other programs.
 */
export function useBranchChange(client: ScrollbackClient): (event: { headId: string | null }) => void {
  const thread = useThread();
  return useCallback(
    ({ headId }) => {
      selectBranch(client, thread(), headId).catch((error: unknown) => {
        console.error("Failed to store the branch:", error);
      });
    },
    [client, thread],
  );
}

/** Returns the thread that the hook belongs to, at the time of the call. */
function useThread(): () => Thread {
  const aui = useAui();
  const current = useRef(aui);
  useEffect(() => {
    current.current = aui;
  });
  return useCallback(() => threadOf(current.current), []);
}

/** The thread of the page by its id. What `threadListItem` stands for can change when the user goes to another thread. */
function threadOf(aui: AssistantClient): Thread {
  const shown = aui.threadListItem;
  const { id } = shown.getState();
  const listed = aui.threads.getState().threadItems.some((item) => item.id === id || item.remoteId === id);
  return listed ? aui.threads.item({ id }) : shown;
}

function metadataOf({ id, title, archived_at, last_message_at, metadata }: Conversation): Metadata {
  return {
    remoteId: id,
    status: archived_at === null ? "regular" : "archived",
    title: title ?? undefined,
    lastMessageAt: last_message_at === null ? undefined : new Date(last_message_at),
    custom: metadata,
  };
}

/** The beginning of the user's first message, cut at a word where there is one. Empty if it has no text. */
function beginning(messages: readonly ThreadMessage[]): string {
  const content = messages.find(({ role }) => role === "user")?.content ?? [];
  const text = content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join(" ");
  const characters = Array.from(text.replace(/\s+/g, " ").trim());
  if (characters.length <= TITLE) return characters.join("");
  const cut = characters.slice(0, TITLE - 1).join("");
  return `${cut.replace(/(?<=.{20}) \S*$/u, "")}…`;
}

/** What makes one object of the other by a merge patch (RFC 7396). */
function mergePatch(before: Json, after: Json): Json {
  const patch: Json = { ...after };
  for (const [name, value] of Object.entries(before)) {
    const next = after[name];
    if (next === undefined) patch[name] = null;
    else if (isObject(value) && isObject(next)) patch[name] = mergePatch(value, next);
  }
  return patch;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
