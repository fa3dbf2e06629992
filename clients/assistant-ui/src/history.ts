/** The messages of a thread. */
import type {
  GenericThreadHistoryAdapter,
  MessageFormatAdapter,
  MessageFormatItem,
  ThreadHistoryAdapter,
} from "@assistant-ui/react";
import { chatHistory } from "@scrollback/ai-sdk";
import type { ScrollbackClient } from "@scrollback/client";

/** assistant-ui's name for the AI SDK's UI messages. It has no other name for those of release 7. */
const FORMAT = "ai-sdk/v6";

/** What the history uses of a thread. assistant-ui's `threadListItem` has it. */
export interface Thread {
  getState: () => { remoteId?: string | undefined };
  /** Creates the conversation if there is none. */
  initialize: () => Promise<{ remoteId: string }>;
}

/** Options of `historyAdapter`. */
export interface HistoryOptions {
  /** Your server stores the messages with `@scrollback/ai-sdk`. The page only loads them. */
  readOnly?: boolean | undefined;
}

/** The history of one thread for assistant-ui. `thread` returns the thread that the page shows at the time of the call. */
export function historyAdapter(
  client: ScrollbackClient,
  thread: () => Thread,
  options: HistoryOptions = {},
): ThreadHistoryAdapter {
  const unsupported = () => Promise.reject(new TypeError(`use withFormat with the format "${FORMAT}": ${RUNTIMES}`));
  return {
    load: unsupported,
    append: unsupported,
    withFormat: (adapter) => {
      if (adapter.format !== FORMAT) {
        throw new TypeError(`the format "${adapter.format}" cannot be stored, only "${FORMAT}": ${RUNTIMES}`);
      }
      return formattedHistory(client, thread, adapter, options);
    },
  };
}

const RUNTIMES = "useChatRuntime and useAISDKRuntime have it";

function formattedHistory<Message, Stored extends Record<string, unknown>>(
  client: ScrollbackClient,
  thread: () => Thread,
  adapter: MessageFormatAdapter<Message, Stored>,
  { readOnly = false }: HistoryOptions,
): GenericThreadHistoryAdapter<Message> {
  const chats = chatHistory(client);
  type Item = MessageFormatItem<Message>;
  type UIMessage = Awaited<ReturnType<typeof chats.loadChat>>[number];

  let pinned: Thread | undefined;
  const pin = () => (pinned = thread());

  /** Every message that the page has seen, on all branches. A deleted one is no message any more, but still says what was before it. */
  const seen = new Map<string, { parentId: string | null; message: UIMessage | undefined }>();
  const see = (item: Item): UIMessage => {
    const id = adapter.getId(item.message);
    const message = { ...adapter.encode(item), id } as unknown as UIMessage;
    seen.set(id, { parentId: item.parentId, message });
    return message;
  };
  /** The messages from the first one to `last`. */
  const branchTo = (last: UIMessage): UIMessage[] => {
    const branch: UIMessage[] = [];
    for (let at = seen.get(last.id); at; at = seen.get(at.parentId ?? "")) {
      if (at.message) branch.unshift(at.message);
    }
    return branch;
  };
  const replaced = (stored: UIMessage[], message: UIMessage) =>
    stored.map((one) => (one.id === message.id ? message : one));

  const change = async (edit: (stored: UIMessage[]) => UIMessage[]) => {
    const { remoteId } = await (pinned ?? pin()).initialize();
    await chats.updateChat(remoteId, edit);
  };

  return {
    pin: () => void pin(),
    load: async () => {
      const { remoteId } = pin().getState();
      const items: Item[] = [];
      let parentId: string | null = null;
      for (const { id, ...content } of remoteId === undefined ? [] : await chats.loadChat(remoteId)) {
        const item = adapter.decode({ id, parent_id: parentId, format: FORMAT, content: content as unknown as Stored });
        see(item);
        items.push(item);
        parentId = id;
      }
      return { headId: parentId, messages: items };
    },
    append: async (item) => {
      const message = see(item);
      if (readOnly) return;
      await change((stored) => {
        // A retry after a lost answer.
        if (stored.some(({ id }) => id === message.id)) return replaced(stored, message);
        // The page removes only what it has seen. It has not seen another page's messages, and none if it could not load them.
        if (stored.some(({ id }) => !seen.has(id))) return [...stored, message];
        return branchTo(message);
      });
    },
    update: async (item) => {
      const message = see(item);
      if (!readOnly) await change((stored) => replaced(stored, message));
    },
    delete: async (items) => {
      // A thread without a conversation has nothing to delete, and does not get one.
      const { remoteId } = (pinned ?? pin()).getState();
      if (readOnly || remoteId === undefined) return;
      const ids = items.map(({ message }) => adapter.getId(message));
      await chats.deleteMessages(remoteId, ids);
      for (const id of ids) seen.set(id, { parentId: seen.get(id)?.parentId ?? null, message: undefined });
    },
  };
}
